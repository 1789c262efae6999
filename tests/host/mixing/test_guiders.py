"""Any sampler and guider of ComfyUI on a model that is listened to, and nodes that add rows of their own: each map is its own prompt's."""

from __future__ import annotations

import copy

from scripts.host.in_comfy import run

import comfy.samplers
import pytest
import torch
from comfy_extras.nodes_custom_sampler import (
    BasicGuider,
    CFGGuider,
    DisableNoise,
    DualCFGGuider,
    SamplerCustomAdvanced,
    SplitSigmas,
)
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_perpneg import PerpNeg, PerpNegGuider
from comfy_extras.nodes_sag import SelfAttentionGuidance

import nodes
from ledits.inversion import trajectory
from support import third_party
from support.stock_nodes import first_output, outputs_of

POSITIVE, NEGATIVE, THIRD = "a red circle and a blue square", "a green square", "a yellow triangle"


class FirstState:
    """Looks at one state alone, so that maps do not depend on what a guider makes of its predictions."""

    def generate_noise(self, latent):
        return torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(4))


FirstState.seed = 0


def sample(guider, sigmas, size=16):
    empty = {"samples": torch.zeros(1, 4, size, size)}
    with torch.inference_mode():
        return first_output(SamplerCustomAdvanced.execute(FirstState(), guider, comfy.samplers.sampler_object("euler"), sigmas[:2], empty))


@pytest.fixture
def captured(clip):
    def read(store, latent, text, branch):
        return run("LEDITS_CaptureAttention", store=store, latent=latent, clip=clip, text=text, branch=branch)[0].prompts[0]

    return read


@pytest.fixture(scope="session")
def alone(model, sigmas, encode, clip):
    """The maps of each text where nothing else is asked, at the first state."""
    maps = {}
    for text in (POSITIVE, NEGATIVE):
        patched, store = run("LEDITS_AttentionStore", model=model)
        latent = sample(first_output(BasicGuider.execute(patched, encode(text))), sigmas)
        words = run("LEDITS_CaptureAttention", store=store, latent=latent, clip=clip, text=text)[0].prompts[0]
        assert words.steps == 1
        maps[text] = words.mean()
    return maps


GUIDERS = {
    "CFGGuider": lambda m, e: CFGGuider.execute(m, e(POSITIVE), e(NEGATIVE), 4.0),
    "BasicGuider": lambda m, e: BasicGuider.execute(m, e(POSITIVE)),
    "DualCFGGuider": lambda m, e: DualCFGGuider.execute(m, e(POSITIVE), e(THIRD), e(NEGATIVE), 4.0, 4.0, "regular"),
    "DualCFGGuider nested": lambda m, e: DualCFGGuider.execute(m, e(POSITIVE), e(THIRD), e(NEGATIVE), 4.0, 4.0, "nested"),
    "PerpNegGuider": lambda m, e: PerpNegGuider.execute(m, e(POSITIVE), e(NEGATIVE), e(THIRD), 4.0, 1.0),
    "PerpNeg": lambda m, e: CFGGuider.execute(first_output(PerpNeg.execute(m, e(THIRD), 1.0)), e(POSITIVE), e(NEGATIVE), 4.0),
    "PAG": lambda m, e: CFGGuider.execute(first_output(PerturbedAttentionGuidance.execute(m, scale=3.0)), e(POSITIVE), e(NEGATIVE), 4.0),
    "SAG": lambda m, e: CFGGuider.execute(
        first_output(SelfAttentionGuidance.execute(m, scale=0.5, blur_sigma=2.0)), e(POSITIVE), e(NEGATIVE), 4.0
    ),
    "both texts the same": lambda m, e: CFGGuider.execute(m, e(POSITIVE), e(POSITIVE), 4.0),
}


@pytest.mark.parametrize("name", GUIDERS)
def test_each_guiders_prompts_are_told_apart(name, model, encode, sigmas, alone, captured, unchanged):
    patched, store = run("LEDITS_AttentionStore", model=model)
    with unchanged(patched, model):
        latent = sample(first_output(GUIDERS[name](patched, encode)), sigmas)
    assert torch.equal(latent["samples"], sample(first_output(GUIDERS[name](model, encode)), sigmas)["samples"])
    assert torch.allclose(captured(store, latent, POSITIVE, "positive").mean(), alone[POSITIVE], atol=1e-5)
    if name == "BasicGuider":
        with pytest.raises(ValueError, match=r"^LEDITS\+\+ Capture Attention, input 'branch': .*'negative'"):
            captured(store, latent, NEGATIVE, "negative")
    else:
        text = POSITIVE if name == "both texts the same" else NEGATIVE
        assert torch.allclose(captured(store, latent, text, "negative").mean(), alone[text], atol=1e-5)


def asked_first(entries):
    """A prompt of its own, encoded for the model as ComfyUI does it."""

    def make(x):
        import comfy.conds
        import comfy.sampler_helpers

        conds = comfy.sampler_helpers.convert_cond(entries)
        for cond in conds:
            cond["model_conds"]["c_crossattn"] = comfy.conds.CONDCrossAttn(cond["cross_attn"])
        return conds

    return make


def test_a_prompt_asked_before_ours_is_not_taken_for_ours(model, encode, sigmas, alone, captured):
    patched, store = run("LEDITS_AttentionStore", model=third_party.prompt_adder(model, asked_first(encode(THIRD))))
    latent = sample(first_output(CFGGuider.execute(patched, encode(POSITIVE), encode(NEGATIVE), 4.0)), sigmas)
    assert torch.allclose(captured(store, latent, POSITIVE, "positive").mean(), alone[POSITIVE], atol=1e-5)
    assert torch.allclose(captured(store, latent, NEGATIVE, "negative").mean(), alone[NEGATIVE], atol=1e-5)


@pytest.fixture(scope="session")
def two_concepts(clip):
    """Two edits in the last of two steps, with all they need of attention."""
    settings = {"clip": clip, "scale": 2.0, "threshold": 0.8, "warmup": 1, "mask_mode": "attention"}
    one = run("LEDITS_Concept", text="a green circle", **settings)[0]
    return run("LEDITS_Concept", text="a red square", concepts=one, **settings)[0]


@pytest.mark.parametrize("batch", [1, 2])
def test_an_edit_reads_its_own_rows_beside_another_prompt(
    batch, model, encode, two_concepts, invert, edit, small, assert_photo_returns, unchanged
):
    small = small | {"latent": {"samples": torch.cat([small["latent"]["samples"], small["latent"]["samples"].flip(-1)])[:batch]}}
    patched = third_party.prompt_adder(model, asked_first(encode(THIRD)))
    plain = edit(model, invert(model, **small), two_concepts)
    with unchanged(patched, model):
        inversion = invert(patched, **small)
        assert_photo_returns(patched, inversion)
        beside = edit(patched, inversion, two_concepts)
    for known, found in zip(plain.attention.prompts, beside.attention.prompts, strict=True):
        assert torch.allclose(found.mean(), known.mean(), atol=1e-5)
    assert torch.equal(beside.mask, plain.mask)
    assert torch.allclose(beside.samples, plain.samples, atol=1e-4)


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("prepend", [False, True])
def test_rows_that_another_node_adds_are_refused(prepend, declared, model, encode, sigmas, two_concepts, invert, edit, concept, small):
    """No known pack adds rows around a network call, and a wrong map is worse than none."""
    patched = third_party.row_adder(prepend, declared, declared)(model, encode(THIRD))
    inversion = invert(patched, **small)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Edit, input 'model': .*\b3\b.*\b4\b.*'noise'"):
        edit(patched, inversion, two_concepts)
    listened = run("LEDITS_AttentionStore", model=patched)[0]
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Attention Store, input 'model': .*'noise'"):
        sample(first_output(CFGGuider.execute(listened, encode(POSITIVE), encode(NEGATIVE), 4.0)), sigmas)
    assert torch.isfinite(edit(patched, inversion, concept("a green circle", mask_mode="noise")).samples).all()


def test_other_nodes_know_the_negative_prompt_as_1_and_all_else_as_0(model, two_concepts, invert, edit, small):
    """A network call's wrapper may read it beside the call, and patches inside the network from their options."""
    seen = []

    def around(apply_model, call):
        seen.append((list(call["cond_or_uncond"]), call["c"]["transformer_options"]["cond_or_uncond"]))
        return apply_model(call["input"], call["timestep"], **call["c"])

    watched = model.clone()
    watched.set_model_unet_function_wrapper(around)
    edit(watched, invert(watched, **small), two_concepts)
    assert seen == [([1], [1])] * 2 + [([1, 0, 0], [1, 0, 0])]


def test_a_plain_ksampler_is_read(model, encode, captured):
    patched, store = run("LEDITS_AttentionStore", model=model)
    empty = {"samples": torch.zeros(1, 4, 16, 16)}
    with torch.inference_mode():
        listened, plain = (
            first_output(nodes.KSampler().sample(which, 5, 2, 4.0, "dpmpp_2m", "karras", encode(POSITIVE), encode(NEGATIVE), empty, 1.0))
            for which in (patched, model)
        )
    assert torch.equal(listened["samples"], plain["samples"])
    assert [captured(store, listened, text, branch).steps for text, branch in ((POSITIVE, "positive"), (NEGATIVE, "negative"))] == [2, 2]


def test_split_sigmas_replay_their_first_part_and_any_sampler_goes_on(model, invert, edit, concept, small, two_concepts):
    inversion = invert(model, **small)
    sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    high, low = outputs_of(SplitSigmas.execute(sigmas, 1))
    states = list(trajectory(inversion.trajectory))
    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion)[0]
    with torch.inference_mode():
        half = first_output(SamplerCustomAdvanced.execute(noise, guider, sampler, high, latent))
        assert torch.allclose(model.model.process_latent_in(half["samples"]), states[1], atol=1e-4)
        # With what is left, a stock sampler makes a picture from there, guided by the concepts, whose steps are the inversion's.
        guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=two_concepts)[0]
        rest = first_output(
            SamplerCustomAdvanced.execute(first_output(DisableNoise.execute()), guider, comfy.samplers.sampler_object("euler"), low, half)
        )
        with pytest.raises(ValueError, match=r"^LEDITS\+\+ Replay Sampler, input 'sigmas'"):
            SamplerCustomAdvanced.execute(noise, guider, sampler, low, half)
    edited = edit(model, inversion, two_concepts)
    # The last step ends at the prediction, which is the same; only the inversion's own correction is missing from it.
    correction = model.model.process_latent_out(inversion.trajectory.noise_maps[1])
    assert torch.allclose(rest["samples"] + correction, edited.samples, atol=1e-4)


def test_the_edited_latent_is_inverted_again(model, invert, edit, small, two_concepts, assert_photo_returns):
    once = edit(model, invert(model, **small), two_concepts)
    again = invert(model, **(small | {"latent": {"samples": once.samples}}))
    assert_photo_returns(model, again)
    twice = edit(model, again, two_concepts)
    assert (twice.samples - once.samples).abs().max() > 1e-3


def test_a_sampler_is_used_as_other_packs_use_one(model, invert, edit, small, two_concepts, monkeypatch):
    """They wrap what every KSAMPLER has, or read and set its options."""
    inversion = invert(model, **small)
    sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=two_concepts)[0]
    own, asked = comfy.samplers.KSAMPLER.sample, []

    def wrapped(network, x, sigmas, **given):
        def ask(x, sigma, **arguments):
            asked.append(float(sigma[0]))
            return network(x, sigma, **arguments)

        ask.inner_model, ask.sigmas = network.inner_model, network.sigmas
        return sampler.sampler_function(ask, x, sigmas, **given, **sampler.extra_options)

    def sample(self, *given):
        asked.append(type(self).__name__)
        return own(self, *given)

    monkeypatch.setattr(comfy.samplers.KSAMPLER, "sample", sample)
    expected = edit(model, inversion, two_concepts).samples
    assert asked == ["ReplaySampler"]
    with torch.inference_mode():
        result = first_output(SamplerCustomAdvanced.execute(noise, guider, comfy.samplers.KSAMPLER(wrapped), sigmas, latent))
    assert asked == ["ReplaySampler", "KSAMPLER", float(sigmas[1])]
    assert torch.equal(result["samples"], expected)
    assert sampler.extra_options == {}
    assert sampler.extra_options is not run("LEDITS_ReplaySampler", inversion=inversion)[0].extra_options


def test_a_guider_and_a_sampler_are_copied_and_given_prompts(model, encode, invert, edit, small, two_concepts):
    """As a sampler node of another pack does it: it goes on with the guider's own prompts where it cannot set others."""
    inversion = invert(model, **small)
    sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=two_concepts)[0]
    own, copied = copy.copy(guider), copy.deepcopy(sampler)
    own.original_conds = dict(guider.original_conds)
    own.set_cfg(guider.cfg)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Masked Guider, input 'inversion': comes with its own prompts"):
        own.set_conds(encode("a yellow triangle"), encode(""))
    with torch.inference_mode():
        result = first_output(SamplerCustomAdvanced.execute(noise, own, copied, sigmas, latent))
    assert torch.equal(result["samples"], edit(model, inversion, two_concepts).samples)
    assert copied.extra_options is not sampler.extra_options


def mask_over(columns, softly=False):
    mask = torch.zeros(1, 128, 128)
    mask[..., columns] = 1
    if softly:
        mask = torch.linspace(0, 1, 128).expand(1, 128, 128).clone()
    return mask


def test_a_latent_noise_mask_bounds_an_edit_in_every_sampler_node(model, invert, edit, small, two_concepts):
    masked = first_output(nodes.SetLatentNoiseMask().set_mask(small["latent"], mask_over(slice(0, 64))))
    inversion = invert(model, **(small | {"latent": masked}))
    edited = edit(model, inversion, two_concepts).samples
    sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=two_concepts)[0]
    with torch.inference_mode():
        advanced = first_output(SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent))["samples"]
    assert torch.equal(edited, advanced)
    free = edit(model, invert(model, **small), two_concepts).samples
    changed = edited - masked["samples"]
    assert changed[..., 9:].abs().max() < 1e-5
    assert torch.allclose(changed[..., :7], (free - masked["samples"])[..., :7], atol=1e-5)
    assert changed.abs().max() > 1e-2


def test_another_photos_latent_is_refused(model, invert, small, two_concepts):
    inversion = invert(model, **small)
    sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=two_concepts)[0]
    other = latent | {"samples": latent["samples"].flip(-1)}
    with torch.inference_mode(), pytest.raises(ValueError, match=r"^LEDITS\+\+ Replay Sampler, input 'latent_image': is of another photo"):
        SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, other)


@pytest.mark.parametrize("change", [lambda x: x.repeat(2, 1, 1, 1), lambda x: x[..., :-2]], ids=["batch", "size"])
def test_where_is_looked_for_in_the_inverted_photo_alone(model, invert, small, concept, change):
    inversion = invert(model, **small)
    concepts = concept("a green circle", where="red circle", mask_mode="attention", threshold=0.0, warmup=0)
    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=concepts)[0]
    _, sigmas, latent, _ = run("LEDITS_ReplaySampler", inversion=inversion)
    other = latent | {"samples": change(latent["samples"])}
    with torch.inference_mode(), pytest.raises(ValueError, match=r"^LEDITS\+\+ Masked Guider, input 'latent_image': .* 'where'"):
        SamplerCustomAdvanced.execute(first_output(DisableNoise.execute()), guider, comfy.samplers.sampler_object("euler"), sigmas, other)


def test_differential_diffusion_lets_each_place_change_from_its_own_step_on(
    model, concept, invert, edit, latent, sigmas, assert_photo_returns, unchanged
):
    patched = first_output(DifferentialDiffusion.execute(model))
    samples = latent["samples"][..., 4:20, 2:18].contiguous()
    soft = {"samples": samples, "noise_mask": mask_over(slice(0, 0), softly=True)}
    concepts = concept("a green circle", mask_mode="none", warmup=0)
    with unchanged(patched, model):
        inversion = invert(patched, latent=soft, sigmas=sigmas)
        assert_photo_returns(patched, inversion)
        edited = edit(patched, inversion, concepts).samples
    # In ComfyUI's own sampler with the same mask each cell opens at the step at which its mask exceeds the share of steps that are left.
    opened = _opens(model, sigmas, 16)
    free = edit(model, invert(model, latent={"samples": samples}, sigmas=sigmas), concepts).samples
    changed = (edited - samples).abs().amax((0, 1, 2))
    assert changed[opened == len(sigmas) - 1].max() < 1e-5
    assert changed[opened < len(sigmas) - 1].min() > 1e-3
    assert (edited - edit(model, invert(model, latent=soft, sigmas=sigmas), concepts).samples).abs().max() > 1e-2
    assert (edited - free).abs().max() > 1e-2


def _opens(model, sigmas, columns):
    """The first step at which Differential Diffusion lets each column change, by its published rule; the number of steps where none does."""
    sampling = model.get_model_object("model_sampling")
    steps = [float(sampling.timestep(sigma)) for sigma in sigmas[:-1]]
    last = float(sampling.timestep(max(sigmas[-1], sampling.sigma_min)))
    shares = [(step - last) / (steps[0] - last) for step in steps]
    mask = torch.linspace(0, 1, 128).view(columns, -1).mean(1)
    return torch.tensor([next((step for step, share in enumerate(shares) if value >= share), len(shares)) for value in mask.tolist()])
