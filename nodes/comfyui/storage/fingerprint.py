"""Recognises a network, also in another process, where object ids mean nothing, and tells whether it made an inversion."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor

from .. import KEY
from ..types import ImageInversion, NetworkFingerprint

SAMPLES = 16  # values read of each tensor; training changes every value of the tensors that it changes

_PLAIN = int | float | str | bool | None
_Part = tuple[str, Tensor | None]  # what is hashed: a text, or a tensor with its name


def fingerprint(model: ModelPatcher) -> NetworkFingerprint:
    """Reads a few values of every weight; no weights are moved between devices."""
    return NetworkFingerprint(family(model), _hash(_checkpoint(model)), _hash(_changes(model)))


def family(model: ModelPatcher) -> str:
    """Which latents and prompts a network reads. Networks of one family can use each other's inversions."""
    config = model.model.model_config.unet_config
    names = [type(part).__name__ for part in (model.model, _unpatched(model, "diffusion_model"), _unpatched(model, "latent_format"))]
    widths = [f"{key} {config[key]}" for key in ("context_dim", "adm_in_channels") if isinstance(config.get(key), int)]
    return ", ".join(names + widths)


def provenance_note(model: ModelPatcher, inversion: ImageInversion) -> str | None:
    """What a user should know of an inversion with this model; None where the model that made it in this process predicts the same."""
    maker = inversion.maker and inversion.maker()
    if maker and maker.model is model.model and _is_patched_alike(maker, model):
        return None
    known, connected = inversion.fingerprint, fingerprint(model)
    if known.checkpoint is None or connected.checkpoint is None:
        return (
            "The weights of this checkpoint, or of the one that made the inversion, cannot be compared. "
            "If they are not the same, the photo is not kept exactly outside the masks."
        )
    if known.checkpoint != connected.checkpoint:
        return (
            "Warning: the inversion was made with another checkpoint, or another precision of this one. "
            "The photo is not kept exactly outside the masks. Load the checkpoint that made it, or invert again."
        )
    if known.changes is None or known.changes != connected.changes:
        return (
            "The inversion was made with this checkpoint, but other nodes changed it then or change it now. "
            "If those are not the same (LoRA, merge, FreeU, sampling), the photo is not kept exactly outside the masks."
        )
    return None if inversion.maker else "The loaded inversion was made with this checkpoint."


def _is_patched_alike(model: ModelPatcher, other: ModelPatcher) -> bool:
    """Whether other nodes put the same objects on two clones of one model."""

    def placed(clone: ModelPatcher) -> dict[tuple, Any]:
        code = {"injections": clone.injections, "weight_wrapper_patches": clone.weight_wrapper_patches}
        return {path: repr(value) if isinstance(value, _PLAIN) else id(value) for path, value in _leaves(_options(clone) | code)}

    has_same_weights = model.patches_uuid == other.patches_uuid or not (model.patches or other.patches)
    return has_same_weights and placed(model) == placed(other)


def _unpatched(model: ModelPatcher, name: str) -> Any:
    """A part of the model as it was loaded, also while another is patched over it."""
    found = model.object_patches_backup.get(name, getattr(model.model, name))
    return getattr(found, "_orig_mod", found)  # behind torch.compile


def _checkpoint(model: ModelPatcher) -> Iterator[_Part]:
    with model.use_ejected():
        yield str(getattr(model.model, "model_type", None)), None
        for name, weight in _unpatched(model, "diffusion_model").named_parameters():
            key = f"diffusion_model.{name}"
            # While patches are applied, the original weight is in a backup.
            if model.hook_backup.get(key, (None,))[0] is not None:
                weight = model.hook_backup[key][0]
            elif key in model.backup:
                weight = model.backup[key].weight
            yield key, weight
        yield from _unpatched(model, "model_sampling").named_buffers()


def _changes(model: ModelPatcher) -> Iterator[_Part]:
    if model.injections or model.additional_models or model.weight_wrapper_patches:
        raise TypeError("code cannot be compared between processes")
    for path, value in _leaves(_options(model)):
        if not isinstance(value, _PLAIN):
            raise TypeError(f"{path} cannot be compared between processes")
        yield from _parts(path)
        yield from _parts(value)
    for key in sorted(model.patches, key=str):
        yield from _parts(key)
        yield from _parts(model.patches[key])


def _options(model: ModelPatcher) -> dict[str, Any]:
    return dict(model.model_options, wrappers=model.wrappers, object_patches=model.object_patches, hook_patches=model.hook_patches)


def _leaves(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Each value in nested options with the keys that lead to it, without this pack's own, which change no prediction."""
    if isinstance(value, dict | list | tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if key != KEY:
                yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _parts(value: Any) -> Iterator[_Part]:
    """A tree of plain values, tensors and weight adapters (LoRA and its relatives), in an order that is always the same."""
    if isinstance(value, _PLAIN):
        yield repr(value), None
    elif isinstance(value, Tensor):
        yield "", value
    elif isinstance(value, list | tuple):
        yield f"{len(value)} items", None
        for item in value:
            yield from _parts(item)
    elif isinstance(value, dict):
        yield from _parts(sorted(value.items(), key=lambda item: str(item[0])))
    elif isinstance(value, WeightAdapterBase):
        yield type(value).__name__, None
        yield from _parts(value.weights)
    else:
        raise TypeError(f"a {type(value).__name__} cannot be compared between processes")


def _hash(parts: Iterable[_Part]) -> str | None:
    """A hash of the texts and of some values of each tensor; None where a part cannot be read or compared."""
    digest = hashlib.blake2b(digest_size=16)
    samples: list[Tensor] = []
    # Other packs bring their own kinds of tensors (quantised, memory-mapped, missing), so reading one may raise anything.
    try:
        for text, tensor in parts:
            if tensor is not None:
                stored = getattr(tensor, "_qdata", tensor).detach().as_subclass(Tensor)
                text = f"{text} {type(tensor).__name__} {stored.dtype} {tuple(stored.shape)}"
                samples.append(_sample(stored))
            digest.update(f"{len(text)} {text}".encode())
        # One transfer for all neighbours on one device.
        for _, neighbours in itertools.groupby(samples, key=lambda sample: sample.device):
            digest.update(torch.cat(list(neighbours)).cpu().numpy().tobytes())
        return digest.hexdigest()
    except Exception:
        return None


def _sample(tensor: Tensor) -> Tensor:
    """Up to SAMPLES values, evenly spread, float32, without copying the tensor."""
    step = max(1, tensor.numel() // SAMPLES)
    if tensor.is_contiguous():
        return tensor.view(-1)[::step][:SAMPLES].float()
    indices = torch.arange(0, tensor.numel(), step, device=tensor.device)[:SAMPLES]
    return tensor[torch.unravel_index(indices, tensor.shape)].float()
