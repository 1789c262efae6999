"""The known faults of the reference, each shown in the pipeline as shipped, and absent here."""

import copy

from scripts.host import in_comfy
from scripts.host.networks import SD15_SHAPE, family, patcher

import comfy.supported_models
import pytest
import torch
from diffusers.pipelines.ledits_pp.pipeline_leditspp_stable_diffusion import (
    LeditsAttentionStore,
    LEDITSCrossAttnProcessor,
    LEditsPPPipelineStableDiffusion,
)
from PIL import Image

from benchmarks.reference.pipeline import AsShipped, Repaired, reference_pipeline
from benchmarks.reference.unet import to_comfyui
from support.levels import LEVELS

STEPS = 6
FEW = [849, 700, 500, 300, 100, 1]
NO_EDIT = {"prompts": [], "reverse": [], "scales": [], "thresholds": [], "warmups": []}
GLASSES = {"prompts": ["glasses"], "reverse": [False], "scales": [7.0], "thresholds": [0.9], "warmups": [0]}


@pytest.fixture
def shipped(pipeline, latents):
    made = pipeline(AsShipped)
    made.invert_latents(latents, STEPS, 0.15, seed=1)
    return made


@pytest.fixture
def concept(clip):
    def make(text="glasses", **settings):
        defaults = {"scale": 7.0, "threshold": 0.9, "warmup": 0}
        return in_comfy.run("LEDITS_Concept", clip=clip, text=text, **(defaults | settings))[0]

    return make


@pytest.fixture(scope="module")
def few(model):
    return in_comfy.run("LEDITS_Schedule", model=model, steps=STEPS, skip=0.15)[0]


@pytest.fixture(scope="module")
def invert(model, few, encode):
    def make(latents, used=model, **inputs):
        scaled = {"samples": used.model.process_latent_out(latents)}
        return in_comfy.run("LEDITS_Invert", model=used, latent=scaled, sigmas=few, negative=encode(""), seed=1, **inputs)[0]

    return make


def edit(model, inversion, concepts=(), **inputs):
    """The edited latents at the model's scale, and the mask at the latent's size."""
    latent, _, mask, _ = in_comfy.run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts, **inputs)
    return model.model.process_latent_in(latent["samples"]), mask[:, ::8, ::8]


def replay_error(model, inversion, concepts):
    """Error of a run in which the network is asked at every step and the concept changes nothing.

    In units of the noise maps' spread where that exceeds 1: those of a random network reach 30.
    """
    error = (edit(model, inversion, concepts)[0] - inversion.trajectory.x0).abs().max()
    return (error / inversion.trajectory.noise_maps.std().clamp_min(1)).item()


@pytest.fixture
def idle(concept):
    """A concept that acts everywhere, too weakly to be seen in float32."""
    return concept(scale=1e-12, mask_mode="none")


# 1. Words


def test_1_padding_counts_as_words(shipped):
    counts = shipped.encode_prompt("cpu", 1, True, editing_prompt=["glasses"])[2]
    assert list(counts) == [75]


def test_1_here_only_words_do(concept):
    (entry,) = concept("glasses on a face")
    assert entry.prompt.words == ("glasses", "on", "a", "face")
    assert entry.prompt.token_indices == ((1,), (2,), (3,), (4,))


# 2. Source prompt


def test_2_source_and_empty_prompt_are_swapped(shipped, latents, text_encoder, tokenizer):
    seen = []
    handle = shipped.unet.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["encoder_hidden_states"]), with_kwargs=True
    )
    shipped.invert_latents(latents, STEPS, 0.15, seed=1, source_prompt="a cat", source_guidance_scale=3.5)
    handle.remove()
    tokens = tokenizer(["a cat", ""], padding="max_length", return_tensors="pt").input_ids
    cat, empty = text_encoder(tokens).last_hidden_state
    # The first call of each step is meant to be the unconditional one.
    assert torch.allclose(seen[0][0], cat, atol=1e-5)
    assert not torch.allclose(seen[0][0], empty, atol=1e-2)


def test_2_low_source_guidance_crashes(shipped, latents):
    with pytest.raises(AttributeError):
        shipped.invert_latents(latents, STEPS, 0.15, seed=1, source_prompt="a cat", source_guidance_scale=1.0)


def test_2_here_the_base_is_what_it_is_called(model, invert, encode, latents, few):
    inversion = invert(latents, positive=encode("a cat"), cfg=3.5)
    x, sigma = inversion.trajectory.x_T, few[:1]
    with torch.inference_mode():
        empty, cat = (model.model.apply_model(x, sigma, c_crossattn=encode(text)[0][0]) for text in ("", "a cat"))
    assert (inversion.trajectory.denoised[0] - (empty + 3.5 * (cat - empty))).abs().max() < 1e-4 * empty.std()
    assert not torch.allclose(empty, cat, atol=1e-2)


@pytest.mark.parametrize("cfg", [0.0, 0.5, 1.0, 3.5])
def test_2_here_any_source_guidance_replays(model, invert, encode, latents, idle, cfg):
    assert replay_error(model, invert(latents, positive=encode("a cat"), cfg=cfg), idle) < 1e-4


# 3. Batches


@pytest.fixture(scope="module")
def two(latents):
    return torch.cat([latents, latents.flip(-1).roll(5, -2)])


def reference_masks_in_a_batch_and_alone(reference, two):
    """The second picture's first attention mask, edited with the first one and alone."""
    reference.invert_latents(two, STEPS, 0.15, seed=1)
    reference.edit_latents(**GLASSES, mask_mode="attention")
    together = reference.activation_mask[0, 0, 1]
    reference.init_latents, reference.zs, reference.batch_size = reference.init_latents[1:], reference.zs[:, 1:], 1
    reference.edit_latents(**GLASSES, mask_mode="attention")
    return together, reference.activation_mask[0, 0, 0]


def test_3_maps_of_a_batch_are_mixed(pipeline, two):
    together, alone = reference_masks_in_a_batch_and_alone(pipeline(AsShipped), two)
    assert not torch.equal(together, alone)


def test_3_the_repaired_reference_keeps_them_apart(pipeline, two):
    together, alone = reference_masks_in_a_batch_and_alone(pipeline(levels=FEW), two)
    assert torch.equal(together, alone)


def test_3_here_each_picture_keeps_its_own(model, invert, two, concept):
    concepts = concept(mask_mode="attention", threshold=0.6, cooldown=1)
    together = edit(model, invert(two), concepts)[1]
    for number in range(2):
        assert torch.equal(together[number], edit(model, invert(two[number, None]), concepts)[1][0])
    assert not torch.equal(together[0], together[1])


# 4. Sizes


def test_4_sides_must_be_divisible_by_32(shipped):
    with pytest.raises(ValueError, match="factor of 32"):
        LEditsPPPipelineStableDiffusion.encode_image(shipped, Image.new("RGB", (264, 376)))


def test_4_here_any_size_goes(model, invert, concept, idle):
    odd = torch.randn((1, 4, 33, 47), generator=torch.Generator().manual_seed(2))
    inversion = invert(odd)
    edited, mask = edit(model, inversion, concept())
    assert mask.shape == (1, 33, 47)
    assert torch.isfinite(edited).all()
    assert replay_error(model, inversion, idle) < 1e-4


# 5. Windows and equal prompts


def counted_batches(unet):
    sizes = []
    handle = unet.register_forward_pre_hook(lambda module, args, kwargs: sizes.append(len(args[0])), with_kwargs=True)
    return sizes, handle


def test_5_concepts_in_warm_up_are_evaluated_for_nothing(shipped):
    sizes, handle = counted_batches(shipped.unet)
    shipped.edit_latents(**(GLASSES | {"warmups": [STEPS - 1]}))
    handle.remove()
    assert sizes == [2] * STEPS


def test_5_here_all_in_warm_up_costs_nothing_and_changes_nothing(model, invert, latents, concept):
    inversion = invert(latents)
    sizes = []
    handle = model.model.diffusion_model.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    edited, _ = edit(model, inversion, (*concept(warmup=STEPS - 1), *concept("a hat", warmup=STEPS - 1)))
    # Both act in the last step alone; the inversion knows the base there.
    assert sizes == [3] or sizes == [2]
    sizes.clear()
    untouched, mask = edit(model, inversion, concept(warmup=STEPS))
    handle.remove()
    assert sizes == []
    assert mask.max() == 0
    assert (untouched - latents).abs().max() < 1e-5
    assert not torch.equal(edited, untouched)


def test_5_of_two_equal_prompts_the_second_reads_the_firsts_map(shipped, monkeypatch):
    read = []
    original = LeditsAttentionStore.aggregate_attention

    def spy(self, *args, **kwargs):
        read.append(kwargs["select"])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(LeditsAttentionStore, "aggregate_attention", spy)
    shipped.edit_latents(["glasses"] * 2, [False, True], [7.0, 3.0], [0.9, 0.9], [STEPS - 1] * 2)
    assert read == [0, 0]


def test_5_here_each_concept_reads_its_own(model, invert, latents, concept):
    texts = {"text": "glasses and a hat", "mask_mode": "attention", "threshold": 0.8}
    concepts = (*concept(**texts, words="glasses"), *concept(**texts, words="hat", direction="remove"))
    _, attention, masks, _ = in_comfy.run("LEDITS_Edit", model=model, inversion=invert(latents), concepts=concepts)
    assert [prompt.steps for prompt in attention.prompts] == [STEPS, STEPS]
    assert not torch.equal(masks[0], masks[1])


# 6. Ready-made embeddings, rescaled guidance


def test_6_ready_made_embeddings_crash_with_an_attention_mask(shipped):
    with pytest.raises((TypeError, AttributeError)):
        shipped(editing_prompt_embeds=torch.randn(1, 77, 64), edit_guidance_scale=7.0, output_type="latent")


def test_6_guidance_rescale_crashes(shipped):
    with pytest.raises(AttributeError):
        shipped.edit_latents(**GLASSES, mask_mode="noise", guidance_rescale=0.7)


def test_6_here_weighted_words_and_rescaled_guidance_work(model, invert, encode, latents, concept, idle):
    from comfy_extras.nodes_model_advanced import RescaleCFG

    rescaled = RescaleCFG().patch(model, 0.7)[0]
    inversion = invert(latents, used=rescaled, positive=encode("a cat"), cfg=3.5)
    assert replay_error(rescaled, inversion, idle) < 1e-4
    edited, mask = edit(rescaled, inversion, concept("(glasses:1.4) on a face"))
    assert torch.isfinite(edited).all()
    assert 0 < mask.mean() < 0.2


# 7. Precision


def reconstruction_error(reference, latents):
    reference.invert_latents(latents, len(FEW), 0.15, seed=1)
    return (reference.edit_latents(**NO_EDIT, mask_mode="noise") - latents).abs().max().item()


def test_7_its_default_last_level_never_replays(pipeline, latents):
    assert reconstruction_error(pipeline(AsShipped), latents) > 1e-2


def test_7_half_precision_does_not_replay(latents, reference_unet, text_encoder, tokenizer):
    # Copies: weights do not come back from half precision.
    networks = copy.deepcopy(reference_unet), copy.deepcopy(text_encoder)
    half = reference_pipeline(Repaired, *networks, tokenizer, levels=LEVELS).to(torch.bfloat16)
    half.invert_latents(latents.bfloat16(), len(LEVELS), 0.15, seed=1)
    assert (half.edit_latents(**NO_EDIT, mask_mode="noise").float() - latents).abs().max() > 0.1


def test_7_here_half_precision_replays(reference_unet, invert, latents, idle):
    config = family(SD15_SHAPE, comfy.supported_models.SD15)
    config.set_inference_dtype(torch.bfloat16, None)
    half = patcher(config, to_comfyui(reference_unet.state_dict(), SD15_SHAPE))
    inversion = invert(latents, used=half)
    assert half.model.diffusion_model.dtype == torch.bfloat16
    assert inversion.trajectory.noise_maps.dtype == torch.float32
    assert replay_error(half, inversion, idle) < 1e-4


# 8. What stays behind


def test_8_its_processors_stay_installed(shipped):
    shipped.edit_latents(**GLASSES)
    assert any(isinstance(processor, LEDITSCrossAttnProcessor) for processor in shipped.unet.attn_processors.values())


def test_8_here_nothing_stays(model, invert, latents, concept):
    inversion = invert(latents)
    before = repr(model.model_options), {name: dict(module._forward_pre_hooks) for name, module in model.model.named_modules()}
    edit(model, inversion, concept())
    assert before == (repr(model.model_options), {name: dict(module._forward_pre_hooks) for name, module in model.model.named_modules()})
    assert not any(module._forward_hooks for module in model.model.modules())


# 9. A small mask of the user's


SMALL = torch.nn.functional.pad(torch.ones(1, 1, 4, 4), (6, 14, 5, 7))


def test_9_a_small_user_mask_opens_the_noise_mask_everywhere(shipped):
    shipped.edit_latents(**GLASSES, mask_mode="noise", user_mask=SMALL)
    assert shipped.activation_mask.min() == 1


@pytest.mark.parametrize("mode", ["noise", "intersect", "none"])
def test_9_here_the_result_stays_inside_it(model, invert, latents, concept, mode):
    pixels = torch.nn.functional.interpolate(SMALL, scale_factor=8, mode="nearest")[:, 0]
    edited, mask = edit(model, invert(latents), concept(mask_mode=mode, mask=pixels))
    assert (mask * (1 - SMALL[0])).max() == 0
    if mode != "intersect":
        assert mask.max() == 1
        assert ((edited - latents).abs() * (1 - SMALL)).max() < (edited - latents).abs().max()


# 10. Hard masks


def test_10_hard_masks_turn_rounding_into_another_picture(model, invert, latents, concept):
    """Why guided steps are compared one by one. The same input gives the same bits here; a last bit's difference is what grows."""
    inversion = invert(latents)
    concepts = concept(mask_mode="noise", scale=12.0)
    once, again = (edit(model, inversion, concepts)[0] for _ in range(2))
    assert torch.equal(once, again)
    nudged = edit(model, invert(latents + 1e-6), concepts)[0]
    assert (nudged - once).abs().max() > 1e-5
