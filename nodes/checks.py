"""What several nodes check of their inputs before anything runs; each function raises LeditsInputError."""

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..ledits.attention import WordMaps
from ..ledits.prompt import Prompt, find_words, merge_words
from ..ledits.schedule import check_falling
from ..ledits.solver import NoiseKind
from .comfyui.attention.adapters import KNOWN_NETWORKS, adapter_for, encoding_width, make_adapter, make_place_adapters
from .comfyui.attention.store import store_settings
from .comfyui.images.size import is_fitted, vae_scale_factor
from .comfyui.sampling.noise import noise_kind
from .comfyui.storage.fingerprint import family
from .comfyui.text.words import missing_embeddings, words_of
from .comfyui.types import Attention, Base, Concept, Conditioning, ImageInversion
from .errors import LeditsInputError, named, require

NOT_FINITE = "not finite (NaN or infinity)"
NO_WORDS = "a text encoder whose words cannot be found: LEDITS++ does not know it, or this version of transformers misreads its vocabulary"


def get_noise_kind(model: ModelPatcher) -> NoiseKind:
    """The model's kind of noise; refuses kinds that the solver does not know."""
    noise = noise_kind(model)
    if noise is None:
        kind = type(model.get_model_object("model_sampling")).__name__
        raise LeditsInputError("model", f"has noise of the kind {kind!r}, but only eps-, v- and flow-prediction models can be inverted")
    require(noise.scale > 0, "model", "has its noise scaled to 0, so there is none to find: raise 'noise_scale' in ModelNoiseScale")
    return noise


def check_latent(name: str, latent: dict[str, Any], model: ModelPatcher) -> None:
    """Refuses a LATENT that is not a finite image latent of this model, [B, C, H, W]."""
    samples, kind = latent["samples"], model.get_model_object("latent_format")
    channels = kind.latent_channels
    has_frames = not samples.is_nested and samples.ndim == 5 and kind.latent_dimensions == 3
    if has_frames and samples.shape[2] > 1:
        problem = f"is a video of {samples.shape[2]} frames, but LEDITS++ edits single images: encode one frame of it"
    elif samples.is_nested or (samples.ndim != 4 and not has_frames):
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
    require(sigmas.ndim == 1, "sigmas", f"has the shape {list(sigmas.shape)}, but must be one list of noise levels")
    try:
        check_falling(sigmas)
    except ValueError as error:
        raise LeditsInputError("sigmas", str(error)) from error
    problem = f"begin at {float(sigmas[0]):.4g}, but the noise of a flow model ends at 1: connect LEDITS++ Schedule with this model"
    require(not noise.flow or sigmas[0] <= 1, "sigmas", problem)


def check_conditioning(name: str, value: Conditioning | None, model: ModelPatcher, subject: str = "") -> None:
    """Refuses prompts that the network cannot read; `subject` begins the message where the input has more than this conditioning."""
    require(value is None or value, name, f"{subject}is an empty conditioning: connect a CLIP Text Encode node")
    width = encoding_width(model)
    for encoding, _ in value or ():
        problem = f"{subject}was encoded {encoding.shape[-1]} wide, but this model reads {width}: use the text encoder of this checkpoint"
        require(width in (None, encoding.shape[-1]), name, problem)
        remedy = "load the text encoder in another precision, or remove a broken embedding or LoRA"
        require(torch.isfinite(encoding).all(), name, f"{subject}has values that are {NOT_FINITE}: {remedy}")


def check_base(base: Base, model: ModelPatcher) -> None:
    check_conditioning("negative", base.negative, model)
    check_conditioning("positive", base.positive, model)
    problem = f"is {base.cfg:g}, which has no effect without a prompt: connect a description of the photo to 'positive', or set cfg to 1"
    require(base.positive is not None or base.cfg == 1, "cfg", problem)


def check_text(text: str | None, remedy: str) -> None:
    """Refuses a text in which nothing is written; None is not known yet."""
    require(text is None or text.strip(), "text", f"is {text!r}, which has no words: {remedy}")


def read_prompt(clip: Any, text: str, remedy: str, needs_words: bool = True, name: str = "text") -> Prompt:
    """The words and tokens of a text at an input. Refuses embeddings that ComfyUI would drop, a text without words, which may be more than
    empty ("()"), and, with `needs_words`, a text encoder whose words cannot be found.
    """
    for embedding in missing_embeddings(clip, text):
        problem = f"names the embedding {embedding!r}, which is not in ComfyUI's models/embeddings: put it there, or correct the name"
        raise LeditsInputError(name, problem)
    prompt = words_of(clip, text)
    require(prompt.length or not needs_words, name, f"was encoded by {NO_WORDS}: use another model")
    is_unknown = prompt.length and any(letter.isalnum() for letter in text) and not prompt.words
    require(not is_unknown, name, f"is {text!r}, of which the text encoder knows no word: write it in another language, such as English")
    require(prompt.words if prompt.length else text.strip(), name, f"is {text!r}, which has no words: {remedy}")
    return prompt


def check_attention(model: ModelPatcher, consequence: str, *size: int) -> None:
    """Refuses networks whose attention cannot be recorded, and an Attention Store's maps that a latent of this size cannot have."""
    network = model.get_model_object("diffusion_model")
    adapter = adapter_for(network)
    require(adapter, "model", f"is a {type(network).__name__}, but attention can be recorded of {KNOWN_NETWORKS} only, so {consequence}")
    if adapter and size:
        with named("LEDITS++ Attention Store"):
            make_adapter(network, store_settings(model), *size)


def check_no_cache(model: ModelPatcher) -> None:
    """Refuses nodes that use predictions again for another step or prompt: an inversion and its edits would do so in different steps."""
    function = model.model_options.get("model_function_wrapper")
    names = [key for keyed in model.wrappers.values() for key in keyed]
    names.append(getattr(function, "__qualname__", type(function).__qualname__).split(".")[0])
    cache = next((name for name in names if "cache" in str(name).lower()), None)
    problem = (
        f"has {cache!r} on it, which uses predictions again for other steps, so the photo would not stay: connect the model without it"
    )
    require(cache is None, "model", problem)


def check_edit(model: ModelPatcher, inversion: ImageInversion, concepts: tuple[Concept, ...]) -> None:
    """Refuses concepts that cannot be applied to this inversion with this model."""
    check_no_cache(model)
    trajectory, factor = inversion.trajectory, vae_scale_factor(model)
    channels = model.get_model_object("latent_format").latent_channels
    for made_with, connected in (
        (inversion.fingerprint.family, family(model)),
        (f"{trajectory.x0.shape[1]} latent channels", f"{channels} latent channels"),
        (str(trajectory.noise), str(get_noise_kind(model))),
    ):
        problem = f"was made with another kind of model ({made_with}) than is connected ({connected}): invert again with this model"
        require(made_with == connected, "inversion", problem)
    for number, concept in enumerate(concepts):  # counted as the inputs 'concept' of Heatmap, Extract Mask and Sweep count
        subject = f"concept {number} ({concept.text!r})"
        check_conditioning("concepts", concept.conditioning, model, f"{subject} ")
        size = trajectory.x0.shape[-2], trajectory.x0.shape[-1]
        if concept.where is not None:
            check_conditioning("concepts", concept.where.conditioning, model, f"'where' of {subject} ")
            consequence = f"{subject} cannot use 'where': clear it, and paint a 'mask' or choose mask_mode 'noise' or 'none'"
            check_attention(model, consequence)
            with named("LEDITS++ Attention Store"):
                make_place_adapters(model.get_model_object("diffusion_model"), store_settings(model), *size)
        elif concept.records_attention:
            consequence = f"{subject} cannot use mask_mode {concept.settings.mask_mode!r}: choose 'noise' or 'none'"
            check_attention(model, consequence, *size)
            require(concept.prompt.length, "concepts", f"{subject} was encoded by {NO_WORDS}: choose mask_mode 'noise' or 'none'")
        _check_source_attention(subject, concept.source_attention, trajectory.x0, factor)
        _check_mask(subject, concept.mask, trajectory.x0, factor)


def check_image(image: Tensor, model: ModelPatcher, inversion: ImageInversion) -> None:
    """Refuses images that cannot be the inverted ones, in whatever size."""
    batch, _, height, width = inversion.trajectory.x0.shape
    factor = vae_scale_factor(model)
    count, rows, columns, _ = image.shape
    problem = (
        f"is {columns}x{rows} pixels, but the photo that was inverted is {width * factor}x{height * factor}: "
        "connect the image that went into VAE Encode, or leave this input unconnected"
    )
    require(_has_shape(rows, columns, height, width), "image", problem)
    require(count in (1, batch), "image", f"has {count} images, but the inversion is of {batch}: connect the batch that was inverted")


def get_maps(attention: Attention, concept: int) -> WordMaps:
    """A concept's maps; refuses a concept that is not there or has none."""
    count = len(attention.prompts)
    known = f"has {count}, counted from 0" if count else "has none: no concept was connected to the edit"
    require(concept < count, "concept", f"is {concept}, but the attention {known}")
    prompt = attention.prompts[concept]
    problem = (
        f"is {concept}, which has no maps ({prompt.text!r}): its mask_mode is noise or none, its 'attention' is connected, "
        "or it never acted (scale 0, or a warmup beyond the last step)"
    )
    require(prompt.steps, "concept", problem)
    return prompt


def merge_map(prompt: WordMaps, words: str = "") -> Tensor:
    """The mean map of a concept's chosen words, [B, h, w]; refuses a word that is not there."""
    maps = merge_words(prompt.mean(), select_words(prompt.words, words))
    problem = f"has maps that are {NOT_FINITE}: load the model that was recorded in another precision"
    require(torch.isfinite(maps).all(), "attention", problem)
    return maps


def select_words(words: tuple[str, ...], wanted: str) -> tuple[int, ...]:
    """Indices of the words that input 'words' asks for; refuses one that is not there."""
    require(words or not wanted.strip(), "words", f"is {wanted!r}, but the text was encoded by {NO_WORDS}: leave it empty")
    try:
        return find_words(words, wanted)
    except ValueError as error:
        raise LeditsInputError("words", str(error)) from error


def _check_source_attention(subject: str, attention: Attention | None, x0: Tensor, factor: int) -> None:
    """Refuses attention that was captured in other images."""
    if attention is None:
        return
    batch, height, width = len(x0), x0.shape[-2] * factor, x0.shape[-1] * factor
    count = len(attention.prompts[0].mean())
    captured, inverted = f"{count} of {attention.width}x{attention.height} pixels", f"{batch} of {width}x{height}"
    problem = (
        f"the attention of {subject} was captured in {captured}, but the inversion is of {inverted}: probe the photo that was inverted"
    )
    is_same = _has_shape(attention.height, attention.width, *x0.shape[-2:]) and count in (1, batch)
    require(is_same, "concepts", problem)


def _check_mask(subject: str, mask: Tensor | None, x0: Tensor, factor: int) -> None:
    if mask is None:
        return
    batch, _, height, width = x0.shape
    count, rows, columns = mask.shape
    problem = (
        f"the mask of {subject} is {columns}x{rows} pixels, but the image is {width * factor}x{height * factor}, of another shape: "
        "make the mask from that image, or crop it as the image was cropped"
    )
    fits = _has_shape(rows, columns, height, width) or is_fitted(rows, columns, height * factor, width * factor)
    # Load Image gives 64x64 black pixels of every photo without a painted mask.
    require(fits or not mask.any(), "concepts", problem)
    problem = f"the mask of {subject} has {count} masks for {batch} images: give one for all, or one for each"
    require(count in (1, batch), "concepts", problem)


def _has_shape(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether an image of any size has the shape of height x width latent pixels, but for what the VAE crops: less than one of them."""
    scale = max(height / rows, width / columns)
    return max(rows * scale - height, columns * scale - width) < 1
