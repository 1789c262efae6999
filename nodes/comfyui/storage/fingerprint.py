"""Recognising a network in another process, where object identities mean nothing any more."""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor

from ...ledits.inversion_file import NetworkFingerprint
from .model import NetworkIdentity, options
from .types import PictureInversion

SAMPLES = 16
"""Values looked at in each tensor. Training moves all values of the tensors it moves at all."""

_PLAIN = int | float | str | bool | None


class _CannotCompare(Exception):
    """Something that has no identity outside this process."""


def family(model: ModelPatcher) -> str:
    """Which latents and prompts a network understands: two of one family can take each other's inversions."""
    config = model.model.model_config.unet_config
    names = [type(part).__name__ for part in (model.model, _own(model, "diffusion_model"), _own(model, "latent_format"))]
    widths = [f"{key} {config[key]}" for key in ("context_dim", "adm_in_channels") if isinstance(config.get(key), int)]
    return ", ".join(names + widths)


def fingerprint(model: ModelPatcher, own_key: str) -> NetworkFingerprint:
    """A few values of every weight; nothing else is moved between devices.

    Args:
        own_key: what stands under this key in the model's options changes no prediction.
    """
    return NetworkFingerprint(family(model), _checkpoint(model), _changes(model, own_key))


def is_network_of(inversion: PictureInversion, model: ModelPatcher, own_key: str) -> bool:
    """Whether this model predicts what the inversion's did. From a file, only where everything on the model can be compared."""
    if inversion.network is not None:
        return inversion.network == NetworkIdentity.of(model, own_key)
    known = inversion.fingerprint
    return None not in (known.checkpoint, known.changes) and known == fingerprint(model, own_key)


def _own(model: ModelPatcher, name: str) -> Any:
    """A part of the model as it was loaded, though another may be patched over it at the moment."""
    found = model.object_patches_backup.get(name, getattr(model.model, name))
    return getattr(found, "_orig_mod", found)  # behind torch.compile


def _checkpoint(model: ModelPatcher) -> str | None:
    found = _Digest()
    # Other packs bring kinds of tensors of their own (quantised, memory-mapped, not there at all): whatever cannot be read
    # makes the checkpoint unknown, and an unknown one is never taken for the same.
    try:
        with model.use_ejected():
            found.text(str(getattr(model.model, "model_type", None)))
            for name, weight in _own(model, "diffusion_model").named_parameters():
                key = f"diffusion_model.{name}"
                # While patches are baked in, the weight itself waits in a backup.
                kept = model.hook_backup.get(key, (None,))[0]
                if kept is None and key in model.backup:
                    kept = model.backup[key].weight
                found.tensor(key, weight if kept is None else kept)
            for name, table in _own(model, "model_sampling").named_buffers():
                found.tensor(name, table)
        return found.hexdigest()
    except Exception:
        return None


def _changes(model: ModelPatcher, own_key: str) -> str | None:
    if model.injections or model.additional_models or model.weight_wrapper_patches:
        return None
    found = _Digest()
    try:
        for path, value in options(model, own_key):
            found.value(path)
            if not isinstance(value, _PLAIN):
                return None
            found.value(value)
        for key in sorted(model.patches, key=str):
            found.value(key)
            found.value(model.patches[key])
        return found.hexdigest()
    except (_CannotCompare, RuntimeError, NotImplementedError):
        return None


class _Digest:
    """A hash over texts and samples of tensors, in the order they are given, wherever the tensors lie."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._samples: list[Tensor] = []

    def text(self, text: str) -> None:
        self._hash.update(f"{len(text)} {text}".encode())

    def tensor(self, name: str, tensor: Tensor) -> None:
        stored = getattr(tensor, "_qdata", tensor).detach().as_subclass(Tensor)
        self.text(f"{name} {type(tensor).__name__} {stored.dtype} {tuple(stored.shape)}")
        if stored.numel():
            self._samples.append(_samples(stored))

    def value(self, value: Any) -> None:
        """A tree of plain values, tensors and weight adapters (LoRA and its relatives).

        Raises:
            _CannotCompare: it holds anything else.
        """
        if isinstance(value, _PLAIN):
            self.text(repr(value))
        elif isinstance(value, Tensor):
            self.tensor("", value)
        elif isinstance(value, list | tuple):
            self.text(f"{len(value)} items")
            for item in value:
                self.value(item)
        elif isinstance(value, dict):
            self.value(sorted(value.items(), key=lambda item: str(item[0])))
        elif isinstance(value, WeightAdapterBase):
            self.text(type(value).__name__)
            self.value(value.weights)
        else:
            raise _CannotCompare

    def hexdigest(self) -> str:
        places: dict[torch.device, list[int]] = {}
        for place, sample in enumerate(self._samples):
            places.setdefault(sample.device, []).append(place)
        # One transfer for each device.
        moved = {
            device: torch.cat([self._samples[i] for i in chosen]).cpu().split([len(self._samples[i]) for i in chosen])
            for device, chosen in places.items()
        }
        arrived = dict(chain.from_iterable(zip(places[device], moved[device], strict=True) for device in places))
        for place in range(len(self._samples)):
            self._hash.update(arrived[place].numpy().tobytes())
        return self._hash.hexdigest()


def _samples(tensor: Tensor) -> Tensor:
    """Up to SAMPLES values, evenly spread, float32, without copying the tensor."""
    step = max(1, tensor.numel() // SAMPLES)
    if tensor.is_contiguous():
        return tensor.view(-1)[::step][:SAMPLES].float()
    places = torch.arange(0, tensor.numel(), step, device=tensor.device)[:SAMPLES]
    return tensor[torch.unravel_index(places, tensor.shape)].float()
