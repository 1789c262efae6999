"""Pictures of any size, and what they cost in memory."""

from __future__ import annotations

import sys

from scripts.host.in_comfy import pack, run

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scripts.paths import CHECKOUT

OURS = tuple(str(CHECKOUT / folder) for folder in ("ledits", "nodes"))


def drawn(batch, height, width):
    return {"samples": 0.7 * torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(height * width))}


@pytest.mark.parametrize(("height", "width", "batch", "steps"), [(33, 47, 2, 2), (8, 64, 2, 2), (5, 7, 2, 2), (1024, 16, 1, 1)])
def test_any_size(assert_mixing, model, clip, sigmas, height, width, batch, steps):
    mixed = assert_mixing(model, clip, lambda encode: encode(""), latent=drawn(batch, height, width), sigmas=sigmas[-1 - steps :])
    assert mixed.maps.shape == (batch, -(-height // 4), -(-width // 4), 3)
    assert mixed.guidance.std() > 0.01


class LargestOfOurs(TorchDispatchMode):
    """Watches every tensor that the pack's own code makes, here or on the way through PyTorch's."""

    def __init__(self):
        super().__init__()
        self.largest, self.made = 0, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if _asked_by(sys._getframe(1)).startswith(OURS):
            given = {tensor.untyped_storage().data_ptr() for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, torch.Tensor)}
            for tensor in tree_leaves(result):
                if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in given:
                    self.largest, self.made = max(self.largest, tensor.numel()), self.made + 1
        return result


def _asked_by(frame):
    """The file of the code that called PyTorch."""
    while frame is not None and "/torch/" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame.f_code.co_filename if frame is not None else ""


def largest(model, clip, encode, sigmas, height, width):
    store, _ = run("LEDITS_AttentionStore", model=model, mid=True)
    with LargestOfOurs() as seen:
        inversion = run("LEDITS_Invert", model=store, latent=drawn(1, height, width), sigmas=sigmas[-2:], negative=encode(""))[0]
        concept = run("LEDITS_Concept", clip=clip, text="a green circle", warmup=0)[0]
        run("LEDITS_Edit", model=store, inversion=inversion, concepts=concept)
    assert seen.made > 50
    return seen.largest


def test_the_scores_of_self_attention_are_never_made(model, clip, encode, sigmas, monkeypatch):
    """What the pack keeps grows as the picture does, not as its square: four times the picture, four times the largest tensor."""
    # What the node shows afterwards is drawn in pixels and has a largest size of its own.
    monkeypatch.setattr(sys.modules[f"{pack().__name__}.nodes.edit"], "mask_ui", lambda *arguments: None)
    small, large = (largest(model, clip, encode, sigmas, 64 * side, 48 * side) for side in (1, 2))
    cells = 128 * 96
    assert large <= 4.1 * small
    # The maps, one column for each of 77 tokens, and the mask in the picture's pixels.
    assert large == max(77 * cells // 16, 64 * cells)
    # At a quarter of the picture, where maps are recorded, one head's scores among all cells would already be this large.
    assert large < (cells // 16) ** 2 * 4
