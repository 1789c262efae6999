"""Checks that several nodes make of their inputs before anything runs."""

from __future__ import annotations

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..ledits.attention_store import map_size
from ..ledits.schedule import check_falling
from ..ledits.tokens import Prompt
from .comfyui.capture import KEY
from .comfyui.fingerprint import family, fingerprint
from .comfyui.model import has_cross_attention, is_flow, pixels_per_cell, prompt_width
from .comfyui.store import settings_of
from .comfyui.text import missing_embeddings
from .comfyui.types import Base, Concept, Conditioning, PictureInversion
from .errors import LeditsInputError


def noise_kind(node: str, model: ModelPatcher) -> bool:
    """Whether the model is a flow model; refuses kinds that the solver does not know."""
    flow = is_flow(model)
    if flow is None:
        kind = type(model.get_model_object("model_sampling")).__name__
        raise LeditsInputError(
            node, "model", f"its noise is of the kind {kind!r}, but only eps-, v- and flow-prediction models can be inverted"
        )
    return flow


def picture_latent(node: str, name: str, latent: dict[str, Any], model: ModelPatcher) -> Tensor:
    """The LATENT's samples, [B, C, H, W]; refuses what is no finite picture latent of this model."""
    samples = latent["samples"]
    channels = model.get_model_object("latent_format").latent_channels
    if samples.is_nested or samples.ndim != 4:
        shape = "nested" if samples.is_nested else f"of shape {list(samples.shape)}"
        raise LeditsInputError(
            node, name, f"is {shape}, but LEDITS++ edits pictures, [batch, channels, height, width]: connect one, not a video or sound"
        )
    if not samples.numel():
        raise LeditsInputError(node, name, f"holds no picture (shape {list(samples.shape)}): connect an encoded picture")
    if samples.shape[1] != channels:
        raise LeditsInputError(
            node, name, f"has {samples.shape[1]} channels, but this model works on {channels}: encode the picture with the model's own VAE"
        )
    if not torch.isfinite(samples).all():
        raise LeditsInputError(
            node, name, "holds values that are not finite (NaN or infinity); check the picture and the VAE that encoded it"
        )
    if "noise_mask" in latent and not torch.isfinite(latent["noise_mask"]).all():
        raise LeditsInputError(node, name, "holds a noise mask with values that are not finite (NaN or infinity); check that mask")
    if not samples.any():
        raise LeditsInputError(node, name, "is empty (all zeros): connect an encoded picture, not an Empty Latent Image")
    return samples


def falling_sigmas(node: str, sigmas: Tensor, flow: bool) -> None:
    if sigmas.ndim != 1:
        raise LeditsInputError(node, "sigmas", f"has the shape {list(sigmas.shape)}, but must be one list of noise levels")
    try:
        check_falling(sigmas)
    except ValueError as error:
        raise LeditsInputError(node, "sigmas", str(error)) from error
    if flow and sigmas[0] > 1:
        raise LeditsInputError(
            node,
            "sigmas",
            f"begin at {float(sigmas[0]):.4g}, but the noise of a flow model ends at 1: connect LEDITS++ Schedule, or a scheduler "
            "that is fed with this model",
        )


def conditioning(node: str, name: str, value: Conditioning | None, model: ModelPatcher, what: str = "") -> None:
    """Refuses prompts that the network cannot read.

    Args:
        what: begins the message where the input holds more than this conditioning.
    """
    if value is None:
        return
    if not value:
        raise LeditsInputError(node, name, f"{what}is an empty conditioning: connect a CLIP Text Encode node")
    width = prompt_width(model)
    for encoding, _ in value:
        if width is not None and encoding.shape[-1] != width:
            raise LeditsInputError(
                node,
                name,
                f"{what}was encoded {encoding.shape[-1]} wide, but this model reads prompts {width} wide: encode it with the text encoder "
                "of this checkpoint",
            )
        if not torch.isfinite(encoding).all():
            raise LeditsInputError(
                node,
                name,
                f"{what}holds values that are not finite (NaN or infinity): load the text encoder in another precision, or take out "
                "an embedding or a LoRA that breaks it",
            )


def base(node: str, value: Base, model: ModelPatcher) -> None:
    conditioning(node, "negative", value.negative, model)
    conditioning(node, "positive", value.positive, model)
    if value.positive is None and value.cfg != 1:
        raise LeditsInputError(
            node,
            "cfg",
            f"is {value.cfg:g}, which has no effect without a prompt: connect 'positive' with a description of the photo, or set cfg to 1",
        )


def has_words(node: str, prompt: Prompt, if_empty: str) -> None:
    """Refuses a text whose words cannot be found in attention maps."""
    if not prompt.words:
        raise LeditsInputError(node, "text", "was encoded by a text encoder that is not CLIP" if prompt.text.strip() else if_empty)


def embeddings(node: str, clip: Any, text: str) -> None:
    """Refuses embeddings that ComfyUI would leave out of the text."""
    for name in missing_embeddings(clip, text):
        raise LeditsInputError(
            node, "text", f"names the embedding {name!r}, which is not in ComfyUI's models/embeddings: put it there, or correct the name"
        )


def cross_attention(node: str, model: ModelPatcher, why: str) -> None:
    if not has_cross_attention(model):
        kind = type(model.get_model_object("diffusion_model")).__name__
        raise LeditsInputError(node, "model", f"is a {kind} without cross-attention layers, so {why}")


def map_resolution(node: str, model: ModelPatcher, height: int, width: int) -> None:
    """Refuses a store whose resolution the latent cannot give."""
    try:
        map_size(height, width, settings_of(model).resolution)
    except ValueError as error:
        raise LeditsInputError("LEDITS++ Attention Store", "resolution", f"{error} (used by {node})") from error


def edit(node: str, model: ModelPatcher, inversion: PictureInversion, concepts: tuple[Concept, ...]) -> None:
    """Refuses concepts that cannot be applied to this inversion with this model."""
    original = inversion.walk.original
    channels = model.get_model_object("latent_format").latent_channels
    made_with, connected = inversion.fingerprint.family, family(model)
    if original.shape[1] != channels or noise_kind(node, model) != inversion.walk.flow or made_with != connected:
        raise LeditsInputError(
            node,
            "inversion",
            f"was made with another kind of model ({made_with}) than the one connected ({connected}): invert again with this model",
        )
    height, width = original.shape[-2:]
    for number, concept in enumerate(concepts, 1):
        conditioning(node, "concepts", concept.conditioning, model, f"concept {number} ({concept.text!r}) ")
        if concept.looks:
            cross_attention(
                node,
                model,
                f"concept {number} ({concept.text!r}) cannot use mask_mode {concept.edit.mask_mode!r}: choose 'noise' or 'none'",
            )
            map_resolution(node, model, height, width)
            if not concept.words:
                raise LeditsInputError(
                    node,
                    "concepts",
                    f"concept {number} ({concept.text!r}) was encoded by a text encoder that is not CLIP, so its words cannot be "
                    "found in the attention: choose mask_mode 'noise' or 'none'",
                )
        _seen(node, number, concept, original, pixels_per_cell(model))
        _user_mask(node, number, concept, original, pixels_per_cell(model))


def origin(model: ModelPatcher, inversion: PictureInversion) -> str | None:
    """What a user should know of a loaded inversion beside this model; None for one that was made in this process."""
    if inversion.network is not None:
        return None
    known, connected = inversion.fingerprint, fingerprint(model, KEY)
    if known.checkpoint is None or connected.checkpoint is None:
        return (
            "The weights of this checkpoint, or of the one that made the loaded inversion, cannot be compared. "
            "If they are not the same, the photo is not kept exactly outside the masks."
        )
    if known.checkpoint != connected.checkpoint:
        return (
            "Warning: the loaded inversion was made with another checkpoint, or another precision of this one. "
            "The photo is not kept exactly outside the masks. Load the checkpoint that made it, or invert again."
        )
    if known.changes is None or known.changes != connected.changes:
        return (
            "The loaded inversion was made with this checkpoint, but other nodes changed it then or change it now. "
            "If those are not the same (LoRA, sampling), the photo is not kept exactly outside the masks."
        )
    return "The loaded inversion was made with this checkpoint."


def photo(node: str, image: Tensor, model: ModelPatcher, inversion: PictureInversion) -> None:
    """Refuses pictures that cannot be the inverted ones, in whatever size."""
    batch, _, height, width = inversion.walk.original.shape
    cell = pixels_per_cell(model)
    count, rows, columns, _ = image.shape
    scale = max(height / rows, width / columns)
    # The VAE drops what does not fill a cell.
    if max(rows * scale - height, columns * scale - width) >= 1:
        raise LeditsInputError(
            node,
            "image",
            f"is {columns}x{rows} pixels, but the photo that was inverted is {width * cell}x{height * cell}: connect the picture that went "
            "into VAE Encode, or leave this input unconnected",
        )
    if count not in (1, batch):
        raise LeditsInputError(
            node, "image", f"holds {count} pictures, but the inversion is of {batch}: connect the batch that was inverted"
        )


def _seen(node: str, number: int, concept: Concept, original: Tensor, cell: int) -> None:
    """Refuses attention that was captured in other pictures."""
    if concept.seen is None:
        return
    batch, _, height, width = original.shape
    count, picture = len(concept.seen.prompts[0].mean()), (concept.seen.height, concept.seen.width)
    if picture != (height * cell, width * cell) or count not in (1, batch):
        raise LeditsInputError(
            node,
            "concepts",
            f"the attention of concept {number} ({concept.text!r}) was captured in {count} of {picture[1]}x{picture[0]} pixels, but the "
            f"inversion is of {batch} of {width * cell}x{height * cell}: probe the photo that was inverted",
        )


def _user_mask(node: str, number: int, concept: Concept, original: Tensor, cell: int) -> None:
    if concept.mask is None:
        return
    batch, _, height, width = original.shape
    count, rows, columns = concept.mask.shape
    # The VAE drops what does not fill a cell, so a mask may be up to a cell larger than the encoded picture.
    if (rows // cell, columns // cell) != (height, width) and (rows, columns) != (height, width):
        raise LeditsInputError(
            node,
            "concepts",
            f"the mask of concept {number} ({concept.text!r}) is {columns}x{rows} pixels, but the picture is "
            f"{width * cell}x{height * cell}: make the mask from the same picture, or resize it",
        )
    if count not in (1, batch):
        raise LeditsInputError(
            node,
            "concepts",
            f"the mask of concept {number} ({concept.text!r}) holds {count} masks for {batch} pictures: give one for all, or one for each",
        )
