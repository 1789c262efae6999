"""What several nodes check of their inputs before anything runs; each function raises LeditsInputError."""

from __future__ import annotations

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..ledits.prompt import Prompt, find_words, merge_words
from ..ledits.schedule import check_falling
from ..ledits.solver import NoiseKind
from .comfyui.attention.adapters import KNOWN_NETWORKS, adapter_for, encoding_width
from .comfyui.attention.store import store_settings
from .comfyui.sampling.noise import noise_kind, vae_scale_factor
from .comfyui.storage.fingerprint import family
from .comfyui.text.words import missing_embeddings
from .comfyui.types import Attention, Base, Concept, Conditioning, ImageInversion
from .errors import LeditsInputError

NOT_FINITE = "not finite (NaN or infinity)"


def get_noise_kind(model: ModelPatcher) -> NoiseKind:
    """The model's kind of noise; refuses kinds that the solver does not know."""
    noise = noise_kind(model)
    if noise is None:
        kind = type(model.get_model_object("model_sampling")).__name__
        raise LeditsInputError("model", f"has noise of the kind {kind!r}, but only eps-, v- and flow-prediction models can be inverted")
    return noise


def check_latent(name: str, latent: dict[str, Any], model: ModelPatcher) -> None:
    """Refuses a LATENT that is not a finite image latent of this model, [B, C, H, W]."""
    samples = latent["samples"]
    channels = model.get_model_object("latent_format").latent_channels
    if samples.is_nested or samples.ndim != 4:
        shape = "nested" if samples.is_nested else f"of shape {list(samples.shape)}"
        problem = f"is {shape}, but LEDITS++ edits images, [batch, channels, height, width]: connect one, not a video or sound"
    elif not samples.numel():
        problem = f"has no image (shape {list(samples.shape)}): connect an encoded image"
    elif samples.shape[1] != channels:
        problem = f"has {samples.shape[1]} channels, but this model works on {channels}: encode the image with the model's own VAE"
    elif not torch.isfinite(samples).all():
        problem = f"has values that are {NOT_FINITE}: check the image and the VAE that encoded it"
    elif "noise_mask" in latent and not torch.isfinite(latent["noise_mask"]).all():
        problem = f"has a noise mask with values that are {NOT_FINITE}: check that mask"
    elif not samples.any():
        problem = "is empty (all zeros): connect an encoded image, not an Empty Latent Image"
    else:
        return
    raise LeditsInputError(name, problem)


def check_sigmas(sigmas: Tensor, noise: NoiseKind) -> None:
    if sigmas.ndim != 1:
        raise LeditsInputError("sigmas", f"has the shape {list(sigmas.shape)}, but must be one list of noise levels")
    try:
        check_falling(sigmas)
    except ValueError as error:
        raise LeditsInputError("sigmas", str(error)) from error
    if noise.flow and sigmas[0] > 1:
        raise LeditsInputError(
            "sigmas",
            f"begin at {float(sigmas[0]):.4g}, but the noise of a flow model ends at 1: connect LEDITS++ Schedule, or a scheduler "
            "that gets this model",
        )


def check_conditioning(name: str, value: Conditioning | None, model: ModelPatcher, subject: str = "") -> None:
    """Refuses prompts that the network cannot read.

    Args:
        subject: begins the message where the input has more than this conditioning.
    """
    if value is None:
        return
    if not value:
        raise LeditsInputError(name, f"{subject}is an empty conditioning: connect a CLIP Text Encode node")
    width = encoding_width(model)
    for encoding, _ in value:
        if width is not None and encoding.shape[-1] != width:
            raise LeditsInputError(
                name,
                f"{subject}was encoded {encoding.shape[-1]} wide, but this model reads prompts {width} wide: encode it with the text encoder "
                "of this checkpoint",
            )
        if not torch.isfinite(encoding).all():
            raise LeditsInputError(
                name,
                f"{subject}has values that are {NOT_FINITE}: load the text encoder in another precision, or take out an embedding or a LoRA "
                "that breaks it",
            )


def check_base(base: Base, model: ModelPatcher) -> None:
    check_conditioning("negative", base.negative, model)
    check_conditioning("positive", base.positive, model)
    if base.positive is None and base.cfg != 1:
        raise LeditsInputError(
            "cfg",
            f"is {base.cfg:g}, which has no effect without a prompt: connect 'positive' with a description of the photo, or set cfg to 1",
        )


def check_words(prompt: Prompt, if_empty: str) -> None:
    """Refuses a text whose words cannot be found in attention maps."""
    if not prompt.length:
        raise LeditsInputError("text", "was encoded by a text encoder whose words cannot be found: use a model with CLIP alone (SD, SDXL)")
    if not prompt.words:
        raise LeditsInputError("text", if_empty)


def check_embeddings(clip: Any, text: str) -> None:
    """Refuses embeddings that ComfyUI would drop from the text."""
    for name in missing_embeddings(clip, text):
        raise LeditsInputError(
            "text", f"names the embedding {name!r}, which is not in ComfyUI's models/embeddings: put it there, or correct the name"
        )


def check_attention(model: ModelPatcher, consequence: str) -> None:
    """Refuses networks whose attention cannot be recorded."""
    if adapter_for(model) is None:
        network = type(model.get_model_object("diffusion_model")).__name__
        raise LeditsInputError("model", f"is a {network}, but attention can be recorded of {KNOWN_NETWORKS} only, so {consequence}")


def check_resolution(model: ModelPatcher, height: int, width: int) -> None:
    """Refuses settings of an Attention Store that ask for maps which a latent of height x width cannot have."""
    adapter = adapter_for(model)
    try:
        if adapter is not None:
            adapter(store_settings(model), height, width)
    except ValueError as error:
        raise LeditsInputError("resolution", str(error), node="LEDITS++ Attention Store") from error


def check_edit(model: ModelPatcher, inversion: ImageInversion, concepts: tuple[Concept, ...]) -> None:
    """Refuses concepts that cannot be applied to this inversion with this model."""
    x0 = inversion.trajectory.x0
    channels = model.get_model_object("latent_format").latent_channels
    made_with, connected = inversion.fingerprint.family, family(model)
    if x0.shape[1] != channels or get_noise_kind(model) != inversion.trajectory.noise or made_with != connected:
        raise LeditsInputError(
            "inversion",
            f"was made with another kind of model ({made_with}) than the one connected ({connected}): invert again with this model",
        )
    for number, concept in enumerate(concepts, 1):
        subject = f"concept {number} ({concept.text!r})"
        check_conditioning("concepts", concept.conditioning, model, f"{subject} ")
        if concept.records_attention:
            check_attention(model, f"{subject} cannot use mask_mode {concept.settings.mask_mode!r}: choose 'noise' or 'none'")
            check_resolution(model, *x0.shape[-2:])
            if not concept.words:
                raise LeditsInputError(
                    "concepts",
                    f"{subject} was encoded by a text encoder whose words cannot be found in the attention: choose mask_mode 'noise' or 'none'",
                )
        _check_source_attention(subject, concept.source_attention, x0, vae_scale_factor(model))
        _check_mask(subject, concept.mask, x0, vae_scale_factor(model))


def check_image(image: Tensor, model: ModelPatcher, inversion: ImageInversion) -> None:
    """Refuses images that cannot be the inverted ones, in whatever size."""
    batch, _, height, width = inversion.trajectory.x0.shape
    factor = vae_scale_factor(model)
    count, rows, columns, _ = image.shape
    scale = max(height / rows, width / columns)
    # The VAE crops what does not fill a latent pixel.
    if max(rows * scale - height, columns * scale - width) >= 1:
        raise LeditsInputError(
            "image",
            f"is {columns}x{rows} pixels, but the photo that was inverted is {width * factor}x{height * factor}: connect the image that went "
            "into VAE Encode, or leave this input unconnected",
        )
    if count not in (1, batch):
        raise LeditsInputError("image", f"has {count} images, but the inversion is of {batch}: connect the batch that was inverted")


def merge_map(attention: Attention, concept: int, words: str = "") -> Tensor:
    """The mean map of a concept's chosen words, [B, h, w]; refuses a concept or word that is not there."""
    if concept >= len(attention.prompts):
        raise LeditsInputError("concept", f"is {concept}, but the attention has {len(attention.prompts)}, counted from 0")
    prompt = attention.prompts[concept]
    if not prompt.steps:
        raise LeditsInputError(
            "concept", f"is {concept} ({prompt.text!r}), which has no maps: its mask_mode used no attention, or it never acted"
        )
    maps = merge_words(prompt.mean(), select_words(prompt.words, words))
    if not torch.isfinite(maps).all():
        raise LeditsInputError("attention", f"has maps that are {NOT_FINITE}: load the model that was recorded in another precision")
    return maps


def select_words(words: tuple[str, ...], wanted: str) -> tuple[int, ...]:
    """Indices of the words that input 'words' asks for; refuses one that is not there."""
    try:
        return find_words(words, wanted)
    except ValueError as error:
        raise LeditsInputError("words", str(error)) from error


def _check_source_attention(subject: str, attention: Attention | None, x0: Tensor, factor: int) -> None:
    """Refuses attention that was captured in other images."""
    if attention is None:
        return
    batch, _, height, width = x0.shape
    count, size = len(attention.prompts[0].mean()), (attention.height, attention.width)
    if size != (height * factor, width * factor) or count not in (1, batch):
        raise LeditsInputError(
            "concepts",
            f"the attention of {subject} was captured in {count} of {size[1]}x{size[0]} pixels, but the "
            f"inversion is of {batch} of {width * factor}x{height * factor}: probe the photo that was inverted",
        )


def _check_mask(subject: str, mask: Tensor | None, x0: Tensor, factor: int) -> None:
    if mask is None:
        return
    batch, _, height, width = x0.shape
    count, rows, columns = mask.shape
    # The VAE crops what does not fill a latent pixel, so a mask may be a little larger than the encoded image.
    if (rows // factor, columns // factor) != (height, width) and (rows, columns) != (height, width):
        raise LeditsInputError(
            "concepts",
            f"the mask of {subject} is {columns}x{rows} pixels, but the image is {width * factor}x{height * factor}: make the mask from the "
            "same image, or resize it",
        )
    if count not in (1, batch):
        raise LeditsInputError("concepts", f"the mask of {subject} has {count} masks for {batch} images: give one for all, or one for each")
