"""Edits of image transformers with the attention of their own blocks."""

import threading
from dataclasses import replace

from scripts.host.in_comfy import run

import comfy.model_management
import comfy.samplers
import pytest
import torch
from comfy.patcher_extension import WrappersMP

from support.transformers import TRANSFORMERS

STEPS = 4
TOKENS = 9
NEEDS_PATCHES = [name for name in ("PixArt-Sigma", "Hunyuan-DiT", "Ernie-Image") if TRANSFORMERS[name].is_there]


@pytest.fixture(scope="module")
def family():
    return TRANSFORMERS["Flux.1 schnell"]


@pytest.fixture(scope="module")
def flux(family):
    return family.model()


@pytest.fixture
def concept(part):
    """A concept whose encoding is random: no text encoder is as narrow as these networks."""

    def make(family, length=None, **settings):
        length = length or family.columns(TOKENS)
        settings = part("ledits.guidance").EditSettings(
            **({"scale": 2.0, "threshold": 0.8, "mask_mode": "attention", "warmup": 1} | settings)
        )
        prompt = part("ledits.prompt").Prompt("a red circle", ("a", "red", "circle"), ((0,), (1,), (2, 3)), length)
        return (part("nodes.comfyui.types").Concept(settings, prompt, (1, 2), family.prompt(3)),)

    return make


def invert(family, model, size, batch=1, negative=None):
    latent = {"samples": family.latent(*size, batch=batch)}
    sigmas = run("LEDITS_Schedule", model=model, steps=STEPS, skip=0.1)[0]
    return latent, run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=negative or family.prompt(1))[0]


def test_an_edit_changes_its_mask_and_nothing_else(family, flux, concept):
    latent, inversion = invert(family, flux, (9, 12), batch=2)
    edited, attention, mask, _ = run("LEDITS_Edit", model=flux, inversion=inversion, concepts=concept(family, warmup=STEPS - 1))
    assert attention.prompts[0].mean().shape == (2, 5, 6, 3)
    assert mask.shape == (2, 72, 96)
    changed = (edited["samples"] - latent["samples"]).abs().amax(1)
    assert torch.equal(changed > 1e-5, mask[:, ::8, ::8] > 0)
    assert 0.1 < mask.mean() < 0.3


@pytest.mark.parametrize("name", [name for name in ("Flux.1 schnell", "PixArt-Sigma", "Qwen-Image") if TRANSFORMERS[name].is_there])
def test_a_place_is_found_in_one_call(name, concept, part):
    """In the grid of its tokens, for every image of a batch, and the mask stays where it is."""
    family, calls = TRANSFORMERS[name], []
    model = family.model()
    _, inversion = invert(family, model, family.size, batch=2)
    watched = model.clone()
    watched.add_wrapper_with_key(
        WrappersMP.APPLY_MODEL, "watch", lambda executor, x, *args, **kwargs: calls.append(len(x)) or executor(x, *args, **kwargs)
    )
    (acting,) = concept(family, warmup=2, threshold=0.0)
    thing = part("nodes.comfyui.types").Where(acting.prompt, family.prompt(5))
    concepts = (replace(acting, where=thing), replace(acting, where=thing, settings=replace(acting.settings, add=False)))
    edited, attention, mask, _ = run("LEDITS_Edit", model=watched, inversion=inversion, concepts=concepts, keep_background=True, margin=0)
    assert calls == [6, 4, 6]
    assert [(prompt.steps, tuple(prompt.mean().shape)) for prompt in attention.prompts] == [(1, (2, *family.grid, 3))] * 2
    assert torch.equal(mask[:2], mask[2:])
    assert 0 < mask.mean() < 1
    assert torch.isfinite(edited["samples"]).all()


def test_regional_prompts_count_in_their_area(family, flux, concept):
    """The negative prompt in two halves: the concept is asked in both, and its map is put together."""
    (encoding, options), (other, _) = family.prompt(1)[0], family.prompt(2)[0]
    halves = [[encoding, options | {"area": (8, 6, 0, 0)}], [other, options | {"area": (8, 6, 0, 6)}]]
    _, inversion = invert(family, flux, (8, 12), negative=halves)
    edited, attention, _, _ = run("LEDITS_Edit", model=flux, inversion=inversion, concepts=concept(family))
    maps = attention.prompts[0].mean()
    assert maps.shape == (1, 4, 6, 3)
    assert (maps > 0).all()
    assert torch.isfinite(edited["samples"]).all()


def test_the_store_says_which_blocks(family, flux, concept):
    _, inversion = invert(family, flux, (8, 8))

    def maps(blocks):
        model = flux if blocks is None else run("LEDITS_AttentionStore", model=flux, blocks=blocks)[0]
        return run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept(family, warmup=STEPS - 1))[1].prompts[0].mean()

    first, last = maps("0"), maps("3")
    assert not torch.allclose(first, last, atol=1e-4)
    assert torch.allclose(maps("0, 3"), (first + last) / 2, atol=1e-6)
    assert torch.allclose(maps("0-3"), torch.stack([maps(str(block)) for block in range(4)]).mean(0), atol=1e-6)
    assert torch.equal(maps(""), maps(None))
    assert torch.equal(maps(None), maps("2")), "the middle third"


@pytest.mark.parametrize("blocks", ["x", "1-", "5-3", "-1", "1.5"])
def test_what_is_no_list_of_blocks(flux, blocks):
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Attention Store, input 'blocks': has '.*'8-12, 15'"):
        run("LEDITS_AttentionStore", model=flux, blocks=blocks)


def test_a_block_that_the_network_does_not_have(family, flux, concept):
    _, inversion = invert(family, flux, (8, 8))
    model = run("LEDITS_AttentionStore", model=flux, blocks="2-4")[0]
    with pytest.raises(
        ValueError, match=r"^LEDITS\+\+ Attention Store, input 'blocks': has 4, .*Flux are 0 to 3 \(used by LEDITS\+\+ Edit\)"
    ):
        run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept(family))


def test_any_sampler_is_recorded_and_stays_the_same(family, flux):
    patched, store = run("LEDITS_AttentionStore", model=flux)
    latent = family.latent(8, 12)

    def sample(model):
        guider = comfy.samplers.CFGGuider(model)
        guider.set_conds(family.prompt(1), family.prompt(2))
        guider.set_cfg(3.0)
        sigmas = run("LEDITS_Schedule", model=model, steps=STEPS, skip=0.1)[0]
        with torch.inference_mode():
            return guider.sample(
                torch.randn_like(latent), latent, comfy.samplers.sampler_object("euler"), sigmas, disable_pbar=True, seed=1
            )

    torch.manual_seed(0)
    plain = sample(flux)
    torch.manual_seed(0)
    samples = sample(patched)
    assert torch.equal(samples, plain)
    maps = store.find(samples).maps
    assert {name for name, _ in maps} == {"positive", "negative"}
    for (found,) in (by_length.values() for by_length in maps.values()):
        assert found.count == STEPS
        assert found.mean().shape == (1, 4, 6, TOKENS)


@pytest.mark.parametrize("name", NEEDS_PATCHES)
def test_a_network_that_must_be_patched_is_patched_on_a_clone(name, part, concept):
    """Its modules are their own again for whoever samples next, and an inversion file knows no difference."""
    family = TRANSFORMERS[name]
    model = family.model()
    network = model.model.diffusion_model
    _, inversion = invert(family, model, family.size)
    plain = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept(family, mask_mode="none"))[0]["samples"]
    everywhere = concept(family, threshold=1e-9)
    edited, attention, _, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=everywhere)
    assert torch.equal(edited["samples"], plain), "the recorded run predicts the same"
    assert attention.prompts[0].steps == STEPS - 1
    assert attention.prompts[0].mean().shape == (1, *family.grid, 3)
    assert not model.object_patches
    run("LEDITS_Edit", model=model, inversion=inversion)
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept(family, mask_mode="none"))
    audible = part("nodes.comfyui.attention.patched_layers").AudibleForward
    assert not any(isinstance(module.forward, audible) for module in network.modules())

    fingerprint = part("nodes.comfyui.storage.fingerprint").fingerprint
    stored = run("LEDITS_AttentionStore", model=model)[0]
    assert stored.object_patches
    assert fingerprint(stored) == fingerprint(model)
    assert fingerprint(stored).changes is not None
    other = family.model()
    clone = stored.clone(model_override=other.get_clone_model_override())
    assert {patch._module for patch in clone.object_patches.values()} <= set(other.model.diffusion_model.modules()), (
        "of the network it patches"
    )


@pytest.mark.parametrize("name", ["Flux.1 schnell", "PixArt-Sigma"])
def test_prompts_on_several_cards(name, concept, monkeypatch):
    """ComfyUI's multi-GPU option with the CPU under another name: a network and a thread of its own."""
    multigpu = pytest.importorskip("comfy.multigpu", reason="this ComfyUI has no multi-GPU option")
    cards = [torch.device("cpu"), torch.device("cpu:0")]
    monkeypatch.setattr(comfy.model_management, "get_all_torch_devices", lambda exclude_current=False: cards)
    family = TRANSFORMERS[name]
    model = family.model()
    model.cached_patcher_init = (family.model, ())
    _, inversion = invert(family, model, family.size)
    concepts = concept(family) + concept(family, warmup=2)
    alone = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[1]
    threads = set()

    def wrapper(executor, *args, **kwargs):
        threads.add(threading.get_ident())
        return executor(*args, **kwargs)

    shared = multigpu.create_multigpu_deepclones(model, 2)
    shared.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "watch", wrapper)
    together = run("LEDITS_Edit", model=shared, inversion=inversion, concepts=concepts)[1]
    assert len(threads) == 2
    for one, other in zip(alone.prompts, together.prompts, strict=True):
        assert one.steps == other.steps
        assert torch.allclose(one.mean(), other.mean(), atol=1e-4)


def forgetful(model, skipped):
    """A clone whose network is not asked in these calls: what it gave before is given again, as step caches do."""
    model, calls, known = model.clone(), [], []

    def wrapper(executor, *args, **kwargs):
        calls.append(None)
        if len(calls) not in skipped:
            known[:] = [executor(*args, **kwargs)]
        return known[0]

    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "forgetful", wrapper)
    return model


def test_a_step_without_attention_uses_the_map_of_the_step_before_and_says_so(family, flux, part, concept):
    _, inversion = invert(family, flux, (8, 8))
    make_guider = part("nodes.masked_guider").make_guider
    record = part("nodes.comfyui.types").EditRecord.from_concepts(concepts := concept(family))
    guider = make_guider(forgetful(flux, {2}), inversion, concepts, None, None, 0.0, record)
    sample, sampler = part("nodes.comfyui.sampling.sample").sample, part("nodes.comfyui.sampling.samplers").ReplaySampler(inversion)
    with torch.inference_mode():
        sample(guider, sampler, inversion.latent, inversion.trajectory.sigmas, 0)
    assert record.words[0].steps == STEPS - 2
    assert "left out" in record.notice
    with torch.inference_mode():
        record.notice = None
        sample(make_guider(flux, inversion, concepts, None, None, 0.0, record), sampler, inversion.latent, inversion.trajectory.sigmas, 0)
    assert record.notice is None


def test_attention_that_was_never_seen_is_an_error_that_says_what_was(family, flux, concept):
    _, inversion = invert(family, flux, (8, 8))
    with pytest.raises(
        ValueError,
        match=r"^LEDITS\+\+ Edit, input 'model': is a Flux and has no attention maps of 'a red circle'.*none.*ComfyUI \d.*'noise'",
    ):
        run("LEDITS_Edit", model=forgetful_from_the_start(flux), inversion=inversion, concepts=concept(family))

    def merge(executor, x, timestep, context, *args, **kwargs):
        return executor(x, timestep, context[:, :4], *args, **kwargs)

    merged = flux.clone()
    merged.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "merge", merge)
    with pytest.raises(ValueError, match=r"attention of other sizes: 20x20;"):
        run("LEDITS_Edit", model=merged, inversion=inversion, concepts=concept(family))
    run("LEDITS_Edit", model=merged, inversion=inversion, concepts=concept(family, mask_mode="noise"))


def forgetful_from_the_start(model):
    """A clone whose attention runs in kernels of its own."""
    model = model.clone()

    def wrapper(executor, x, *args, **kwargs):
        return x * 0.5

    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "kernels", wrapper)
    return model


def test_a_compiled_network_is_recorded_uncompiled(family, flux, concept):
    _, inversion = invert(family, flux, (8, 8))
    concepts = concept(family, warmup=STEPS - 1)
    wanted = run("LEDITS_Edit", model=flux, inversion=inversion, concepts=concepts)[1].prompts[0].mean()
    compiled = flux.clone()
    compiled.add_object_patch("diffusion_model", torch.compile(flux.model.diffusion_model, backend="eager"))
    try:
        found = run("LEDITS_Edit", model=compiled, inversion=inversion, concepts=concepts)[1].prompts[0].mean()
    finally:
        torch._dynamo.reset()
    assert torch.allclose(found, wanted, atol=1e-6)


def test_the_text_of_flux_2_is_where_its_words_are(part, concept):
    """ComfyUI fills it up at the left; the words' columns are those of the encoding all the same."""
    family = TRANSFORMERS["Flux.2"]
    model = family.model()
    _, inversion = invert(family, model, (4, 4))
    attention = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept(family))[1]
    assert attention.prompts[0].mean().shape == (1, 4, 4, 3)
    assert attention.prompts[0].mean().std() > 1e-6
