"""Precision, memory and devices: what is computed stays the same however and wherever ComfyUI lets it run."""

from __future__ import annotations

import threading

from scripts.host.in_comfy import load_checkpoint, run

import comfy.model_management
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from support import stock_nodes

FLOAT8, FLOAT16, BFLOAT16 = torch.float8_e4m3fn, torch.float16, torch.bfloat16

# The weights' precision, what ComfyUI is told to compute in, how far two calls with other rows may be apart, and how far the prediction
# may be from that of float32. Without being told ComfyUI computes in float32 on the CPU; the small checkpoint is of float16.
PRECISIONS = {
    "8-bit weights": (FLOAT8, None, 1e-4, 0.5),
    "coarser 8-bit weights": (torch.float8_e5m2, None, 1e-4, 1.0),
    "bfloat16 weights": (BFLOAT16, None, 1e-4, 0.2),
    "float16 weights": (FLOAT16, None, 1e-4, 0.0),
    "in bfloat16": (None, BFLOAT16, 0.5, 0.3),
    "in float16": (None, FLOAT16, 0.1, 0.05),
    "8-bit weights in bfloat16": (FLOAT8, BFLOAT16, 0.5, 0.5),
}


@pytest.mark.parametrize("name", PRECISIONS)
def test_precision(assert_mixing, plain, clip, sigmas, name):
    """The inversion is float32 whatever the network is, and the masks land where those of float32 do."""
    weights, computed, exact, off = PRECISIONS[name]
    model = load_checkpoint(dtype=weights)[0]
    if computed is not None:
        model.set_model_compute_dtype(computed)
    assert {weight.dtype for weight in model.model.diffusion_model.parameters()} == {weights or torch.float32}
    mixed = assert_mixing(model, clip, lambda encode: encode(""), exact=exact, sigmas=sigmas[-2:])
    assert mixed.inversion.trajectory.noise_maps.dtype == torch.float32
    difference = (mixed.base - plain.base[-1:]).abs().max()
    assert (1e-4 if off else 0) <= difference < max(off, 1e-5)
    assert (mixed.cells * plain.cells).sum() > 0.7 * plain.cells.sum()


@pytest.fixture
def watched(model):
    """The model, and for each call of its network the rows and the thread."""
    seen = []

    def around(executor, x, *args, **kwargs):
        seen.append((len(x), threading.get_ident()))
        return executor(x, *args, **kwargs)

    clone = model.clone()
    clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watched", around)
    return clone, seen


@pytest.fixture
def concepts(concept):
    """Three concepts of unequal length, which begin in the last step."""
    mask = torch.ones(1, 256, 256)
    mask[:, :64] = 0
    chain = concept("a green circle", warmup=3)
    chain = concept("a blue square and " * 20, warmup=3, direction="remove", mask_mode="attention", concepts=chain)
    return concept("a yellow triangle", warmup=3, mask=mask, concepts=chain)


def same(one, other):
    assert torch.allclose(one.samples, other.samples, atol=1e-4)
    assert torch.equal(one.mask, other.mask)
    for mine, yours in zip(one.attention.prompts, other.attention.prompts, strict=True):
        assert mine.steps == yours.steps == 1
        assert torch.allclose(mine.mean(), yours.mean(), atol=1e-6)


def test_prompts_one_by_one_where_memory_is_short(invert, edit, watched, concepts, unchanged, monkeypatch):
    model, seen = watched
    inversion = invert(model)
    seen.clear()
    together = edit(model, inversion, concepts)
    assert [rows for rows, _ in seen] == [4]
    seen.clear()
    monkeypatch.setattr(ModelPatcher, "get_free_memory", lambda self, device: 0)
    with unchanged(model):
        apart = edit(model, inversion, concepts)
    assert [rows for rows, _ in seen] == [1, 1, 1, 1]
    same(apart, together)


def sample(model, encode, seed):
    """A plain KSampler."""
    return stock_nodes.sample(model, encode("a red circle and " * 20), encode("a blue square"), seed=seed, steps=6)


def captured(store, latent, clip, text, branch):
    return run("LEDITS_CaptureAttention", store=store, latent=latent, clip=clip, text=text, branch=branch)[0].prompts[0]


@pytest.fixture
def several_cards(model, monkeypatch):
    """ComfyUI's multi-GPU option with a second "card": the CPU under another name, with a network and a thread of its own."""
    multigpu = pytest.importorskip("comfy.multigpu", reason="this ComfyUI has no multi-GPU option")
    cards = [torch.device("cpu"), torch.device("cpu:0")]
    monkeypatch.setattr(comfy.model_management, "get_all_torch_devices", lambda exclude_current=False: cards)

    def share(model):
        shared = multigpu.create_multigpu_deepclones(model, 2)
        assert len(shared.get_additional_models_with_key("multigpu")) == 1
        return shared

    return share


def test_prompts_on_several_cards(invert, edit, assert_photo_returns, several_cards, watched, concepts, unchanged):
    """Nothing of what another card's thread recorded is lost, and it is the same."""
    model, seen = watched
    alone = edit(model, invert(model), concepts)
    shared = several_cards(model)
    with unchanged(shared):
        inversion = invert(shared)
        assert_photo_returns(shared, inversion)
        seen.clear()
        together = edit(shared, inversion, concepts)
    assert len({thread for _, thread in seen}) == 2
    assert sum(rows for rows, _ in seen) == 4
    same(together, alone)


def test_a_store_beside_a_sampler_on_several_cards(several_cards, model, encode, clip):
    prompts = (("a red circle and " * 20, "positive"), ("a blue square", "negative"))
    listening, store = run("LEDITS_AttentionStore", model=model)
    expected = sample(listening, encode, 0)
    shared, shared_store = run("LEDITS_AttentionStore", model=several_cards(model))
    found = sample(shared, encode, 0)
    assert torch.allclose(found["samples"], expected["samples"], atol=1e-3)
    for prompt in prompts:
        one, other = captured(store, expected, clip, *prompt), captured(shared_store, found, clip, *prompt)
        assert one.steps == other.steps == 6
        assert torch.allclose(one.mean(), other.mean(), atol=1e-4)
