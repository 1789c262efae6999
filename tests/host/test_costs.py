"""What an edit costs in memory beside the network's own calls, counted by the allocator."""

from __future__ import annotations

from scripts.host.in_comfy import run

import pytest
import torch

from support.allocations import Allocations
from support.attention import with_torch_attention

MB = 1_000_000
SIDE = 96
"""Cells of a latent of 768 pixels; the small checkpoint attends from half of them on."""
SCORES = 4 * (SIDE // 2) ** 4
"""Bytes of one head's scores of self-attention at the finest level."""


@pytest.fixture(scope="module")
def large():
    return {"samples": 0.7 * torch.randn(1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(0))}


def sampled(model, encode, latent):
    """One step of a plain KSampler with two prompts, a call of two rows."""
    import nodes

    positive, negative = encode("a red circle"), encode("")
    with torch.inference_mode():
        return Allocations.during(lambda: nodes.common_ksampler(model, 0, 1, 4.0, "euler", "normal", positive, negative, latent))


def inverted(model, encode, latent, sigmas):
    return run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=encode(""))[0]


def edited(model, inversion, concepts):
    return Allocations.during(lambda: run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts))


@pytest.fixture(scope="module")
def attending(model):
    """The model with one kind of attention for everything that samples with it, so that the rest can be compared."""
    return with_torch_attention(model)


@pytest.fixture(scope="module")
def plain(attending, encode, large):
    return sampled(attending, encode, large)


@pytest.mark.parametrize("mode", ["intersect", "none"])
def test_an_edit_needs_hardly_more_than_a_sampler_with_as_many_rows(
    attending, encode, concept, sigmas, large, plain, mode, part, monkeypatch
):
    # What the node shows afterwards is drawn on the CPU, in pixels, and has a largest size of its own.
    monkeypatch.setattr(part("nodes.edit"), "mask_ui", lambda *arguments: None)
    inversion = inverted(attending, encode, large, sigmas[-4:])
    edit = edited(attending, inversion, concept("a green circle", warmup=1, mask_mode=mode))
    assert plain.peak > 30 * MB
    assert edit.peak <= 1.05 * plain.peak
    assert edit.largest <= plain.largest


def test_inverting_needs_what_a_sampler_does(attending, encode, sigmas, large, plain):
    inversion = Allocations.during(lambda: inverted(attending, encode, large, sigmas[-4:]))
    assert inversion.peak <= 1.05 * plain.peak


def test_the_scores_of_self_attention_are_held_by_comfyui_alone(model, attending, encode, concept, sigmas, large):
    """ComfyUI's default attention on a CPU holds them all, every head's at once; an edit holds no more, and where ComfyUI holds none, none."""
    default = sampled(model, encode, large)
    assert default.largest >= SCORES
    inversion = inverted(model, encode, large, sigmas[-3:])
    assert edited(model, inversion, concept("a green circle", warmup=0)).largest <= default.largest
    inversion = inverted(attending, encode, large, sigmas[-3:])
    assert edited(attending, inversion, concept("a green circle", warmup=0)).largest < SCORES


def test_an_edit_of_many_steps_needs_what_one_of_few_does(model, encode, concept, latent):
    def cost(steps):
        sigmas = run("LEDITS_Schedule", model=model, steps=steps)[0]
        inversion = inverted(model, encode, latent, sigmas)
        return edited(model, inversion, concept("a green circle", warmup=1))

    # The first one of all loads the model. From the third active step on there is a mean of masks beside the last one.
    _, few, many = cost(2), cost(4), cost(12)
    assert many.kept == few.kept
    assert many.peak == few.peak


# SDXL at 1,024 pixels: 32 x 32 cells, 1,280 channels in 20 heads, 20 layers on the way down and 30 on the way up.
CELLS, CHANNELS, HEADS, TOKENS = 32 * 32, 1280, 20, 77


@pytest.fixture
def recording(part, model):
    """Records so many layers of one concept at the size of SDXL, as the network would hand them over; gives what was allocated."""

    def record(layers, heads=HEADS, dtype=torch.float16):
        generator = torch.Generator().manual_seed(0)
        query = torch.randn(1, CELLS, CHANNELS, generator=generator).to(dtype)
        key = torch.randn(1, TOKENS, CHANNELS, generator=generator).to(dtype)
        adapter = part("nodes.comfyui.attention.unet").UNetAdapter(
            model.model.diffusion_model, part("ledits.attention").StoreSettings(), 128, 128
        )
        recorder = part("nodes.comfyui.attention.recorder").Recorder(adapter, lambda key: True)
        call = part("nodes.comfyui.attention.rows").RecordedCall(recorder.sums, {(0, 0): slice(0, 1)}, 1, (32, 32))

        def run_layers():
            for _ in range(layers):
                call.add_layer(query, key, heads)
            return recorder.maps((0, 0), torch.device("cpu"))

        with torch.inference_mode():
            return Allocations.during(run_layers)

    return record


def test_recording_sdxl_takes_less_than_8_mb_a_concept(recording):
    seen = recording(layers=50)
    assert seen.peak <= 8 * MB
    # Between layers the sum alone is kept; at the end the mean as well.
    assert seen.kept <= 2 * 4 * CELLS * TOKENS + 100_000


@pytest.mark.parametrize(("layers", "heads", "dtype"), [(50, 20, torch.float16), (2, 5, torch.float16), (2, 20, torch.float32)])
def test_recording_does_not_depend_on_layers_and_heads(recording, layers, heads, dtype):
    assert recording(layers, heads, dtype).peak <= recording(layers=2, heads=20).peak


@pytest.mark.parametrize("steps", [1, 50])
def test_what_is_kept_of_sdxl_is_a_small_map_for_each_word(part, steps):
    maps = part("ledits.attention").WordMaps("", ("word",) * 75)

    def edit():
        for _ in range(steps):
            maps.add(torch.zeros(1, 32, 32, 75))

    assert Allocations.during(edit).kept <= 4 * CELLS * 75 + 1000


@pytest.mark.parametrize("steps", [2, 9])
def test_what_a_store_keeps_of_a_sampler_does_not_grow_with_its_steps(model, encode, latent, steps):
    import nodes

    listening, store = run("LEDITS_AttentionStore", model=model)
    positive, negative = encode("a red circle"), encode("a blue square and " * 20)

    def sample():
        with torch.inference_mode():
            return nodes.common_ksampler(listening, 0, steps, 4.0, "euler", "normal", positive, negative, latent)[0]["samples"]

    kept = store.find(sample()).maps
    held = [maps.total.untyped_storage().nbytes() for columns in kept.values() for maps in columns.values()]
    assert [maps.count for columns in kept.values() for maps in columns.values()] == [steps, steps]
    # Two prompts, the shorter one repeated beside the longer.
    assert held == [4 * (32 // 4) ** 2 * 2 * 77] * 2


@pytest.mark.parametrize(("heads", "keys"), [(4, 700), (8, 700), (4, 1400)])
def test_joint_attention_is_compared_in_pieces_of_bounded_size(part, monkeypatch, heads, keys):
    """Memory for twice so many scores and the result, whatever the number of heads."""
    attention, scores = part("ledits.attention"), 1 << 16
    monkeypatch.setattr(attention, "MAX_SCORES", scores)
    query, key = torch.randn(1, heads, 600, 32), torch.randn(1, heads, keys, 32)
    with torch.inference_mode():
        seen = Allocations.during(lambda: attention.attention_probabilities(query, key, [[slice(0, 100)]]))
    assert seen.peak <= 4 * (2.5 * scores + 600 * 100 + 2 * keys * 32)
