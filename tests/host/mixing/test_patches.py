"""Other packs' patches on the MODEL."""

from __future__ import annotations

from scripts.host import networks
from scripts.host.in_comfy import load_checkpoint, run

import pytest
import torch
from comfy_extras.nodes_freelunch import FreeU, FreeU_V2
from comfy_extras.nodes_hypertile import HyperTile
from comfy_extras.nodes_model_merging import ModelAdd, ModelMergeSimple, ModelSubtract
from comfy_extras.nodes_tomesd import TomePatchModel

from support import third_party
from support.stock_nodes import first_output, sample

LEFT = torch.zeros(2, 16, 16)
LEFT[0, :, 8:] = 1
LEFT[1, :, :8] = 1
"""Where a prompt itself counts, and where a region's."""


@pytest.fixture(scope="session")
def other():
    """The same network with other weights."""
    model = load_checkpoint()[0]
    with torch.inference_mode():
        for weight in model.model.diffusion_model.parameters():
            weight.mul_(1.02)
    return model


def regions(text, one_prompt):
    return lambda model, encode, other: third_party.Regions([encode(text)[0][0]], LEFT, one_prompt).on(model)


def hypertile(model, swap_size=1):
    return first_output(HyperTile.execute(model, tile_size=32, swap_size=swap_size, max_depth=2, scale_depth=False))


PATCHED = {
    "image prompt": lambda model, encode, other: third_party.image_prompt(model),
    "image prompt of blocks": lambda model, encode, other: third_party.image_prompt(model, of_block=True),
    "two image prompts": lambda model, encode, other: third_party.image_prompt(third_party.image_prompt(model), seed=5),
    "image prompt over a store": lambda model, encode, other: third_party.image_prompt(run("LEDITS_AttentionStore", model=model)[0]),
    "regions": regions("a yellow triangle", False),
    "regions of long prompts": regions("a yellow triangle and " * 20, False),
    "regions for one prompt": regions("a yellow triangle", True),
    "regions under an image prompt": lambda model, encode, other: third_party.Regions([encode("a yellow triangle")[0][0]], LEFT, False).on(
        third_party.more_tokens(model)
    ),
    "pushed from a text": lambda model, encode, other: third_party.pushed_from(model, encode("a yellow triangle")[0][0]),
    "attention without precision": lambda model, encode, other: third_party.without_precision(model),
    "more tokens": lambda model, encode, other: third_party.more_tokens(model),
    "attn1_patch": lambda model, encode, other: third_party.softened_self_attention(model),
    "attn1_replace": lambda model, encode, other: third_party.without_self_attention(model),
    "attention override": lambda model, encode, other: third_party.fading_attention(model),
    "attention override over a store": lambda model, encode, other: third_party.fading_attention(run("LEDITS_AttentionStore", model=model)[0]),
    "FreeU": lambda model, encode, other: first_output(FreeU.execute(model, 1.3, 1.4, 0.9, 0.2)),
    "FreeU_V2": lambda model, encode, other: first_output(FreeU_V2.execute(model, 1.3, 1.4, 0.9, 0.2)),
    "HyperTile": lambda model, encode, other: hypertile(model),
    "ModelMergeSimple": lambda model, encode, other: first_output(ModelMergeSimple().merge(model, other, 0.5)),
    "ModelAdd of ModelSubtract": lambda model, encode, other: first_output(
        ModelAdd().merge(model, first_output(ModelSubtract().merge(other, model, 1.0)))
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def unpatched(model, encode, invert, predictions, small):
    """What the network itself predicts: the base at every step, and what the concept adds in the last."""
    inversion = invert(model, **small)
    empty, asked = (predictions(model, inversion, encode(text)) for text in ("", "a green circle"))
    return empty, (asked - empty)[-1]


@pytest.fixture
def known_maps(predictions):
    """Where a prompt's own words look in the last step, seen from inside the layers: of all rows and tokens there, the prompt's own."""

    def look(model, inversion, conditioning, prompt):
        maps, queries, hooks = [], {}, []
        for name, module in model.model.diffusion_model.named_modules():
            if name.endswith("attn2") and not name.startswith("middle"):
                hooks.append(module.to_q.register_forward_hook(lambda _, __, out, name=name: queries.__setitem__(name, out)))

                def finish(_, __, key, name=name, heads=module.heads):
                    if queries[name].shape[1] == 16:
                        q, k = (rows[0].unflatten(-1, (heads, -1)).transpose(0, 1) for rows in (queries[name], key[:, :77]))
                        maps.append((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1))

                hooks.append(module.to_k.register_forward_hook(finish))
        try:
            predictions(model, inversion, conditioning)
        finally:
            for hook in hooks:
                hook.remove()
        known = torch.cat(maps[-len(maps) // inversion.trajectory.steps :]).mean(0).unflatten(0, (4, 4))
        return torch.stack([known[..., list(columns)].sum(-1) for columns in prompt.token_indices], -1)[None]

    return look


@pytest.mark.parametrize("name", PATCHED)
def test_a_patched_network(
    name, model, other, encode, clip, concept, invert, edit, predictions, small, unpatched, assert_photo_returns, unchanged, known_maps
):
    """An edit predicts what ComfyUI's own guider predicts with this network, and masks come from the concept's own words in it."""
    patched = PATCHED[name](model, encode, other)
    text = "a green circle"
    last = {"scale": 1.0, "warmup": 1}
    everywhere = concept(text, mask_mode="none", **last)
    with unchanged(patched, model):
        inversion = invert(patched, **small)
        photo = inversion.latent["samples"]
        assert_photo_returns(patched, inversion)
        # As ComfyUI has them: the neutral prompt on the negative side, the concept on the other.
        empty, asked = (predictions(patched, inversion, encode(""), encode(text), cfg) for cfg in (0.0, 1.0))
        base = patched.model.process_latent_out(inversion.trajectory.denoised)
        assert torch.allclose(base, empty, atol=1e-4)
        guidance = edit(patched, inversion, everywhere).samples - photo
        assert torch.allclose(guidance, (asked - empty)[-1], atol=1e-4)
        masked = edit(patched, inversion, concept(text, mask_mode="attention", **last))
        known = known_maps(patched, inversion, encode(text), everywhere[0].prompt)
        assert torch.allclose(masked.attention.prompts[0].mean(), known, atol=1e-5)
        assert torch.allclose(masked.samples - photo, guidance * masked.mask[:, None, ::8, ::8], atol=1e-4)
        two = edit(patched, inversion, concept(text, mask_mode="none", **last, concepts=concept("a red circle", mask_mode="none", **last)))
        one = edit(patched, inversion, concept("a red circle", mask_mode="none", **last))
        assert torch.allclose(two.samples - photo, guidance + one.samples - photo, atol=1e-4)
    # The other feature has its effect; regional prompts leave the negative side as it is.
    changed = [(now - before).abs().max() for now, before in zip((base, guidance), unpatched, strict=True)]
    assert max(changed) > 1e-2
    assert name not in ("regions", "regions of long prompts", "regions for one prompt") or changed[0] < 1e-4


@pytest.mark.parametrize("name", [name for name in PATCHED if not name.startswith("Model")])
def test_listening_to_a_patched_network_changes_no_bit(name, model, other, encode):
    patched = PATCHED[name](model, encode, other)
    listened = run("LEDITS_AttentionStore", model=patched)[0]
    empty = {"samples": torch.zeros(1, 4, 16, 16)}
    plain, heard = (sample(which, encode("a red circle"), encode(""), empty, steps=2)["samples"] for which in (patched, listened))
    assert torch.equal(plain, heard)


@pytest.fixture(scope="session")
def large(model):
    """A random network that attends at the latent's own size, where tokens are merged and tiles are cut."""
    import comfy.supported_models

    return networks.patcher(networks.family(networks.SD15_LEVELS, comfy.supported_models.SD15), branches=0.3)


LOTS = {
    "ToMe": lambda model: first_output(TomePatchModel.execute(model, 0.6)),
    "HyperTile": lambda model: hypertile(model, swap_size=4),
}  # fmt: skip


@pytest.mark.parametrize("source", [None, "a red circle"])
def test_noise_that_is_drawn_into_texts_falls_the_same(source, model, encode, invert, concept, edit, small, assert_photo_returns):
    noisy = third_party.noisy_texts(model)
    base = {} if source is None else {"positive": encode(source), "cfg": 3.0}
    inversion = invert(noisy, **small, **base)
    assert_photo_returns(noisy, inversion)
    assert (inversion.trajectory.denoised - invert(model, **small, **base).trajectory.denoised).abs().max() > 1e-2


@pytest.mark.parametrize("name", LOTS)
def test_lots_that_a_network_draws_fall_the_same_at_the_same_step(
    name, large, invert, edit, concept, small, assert_photo_returns, unchanged
):
    patched = LOTS[name](large)
    concepts = concept("a green circle", warmup=0)
    with unchanged(patched, large):
        inversion = invert(patched, **small)
        assert_photo_returns(patched, inversion, exact=2e-3)  # a random network makes more of a last digit than a trained one
        torch.manual_seed(1)
        state = torch.random.get_rng_state()
        edited = edit(patched, inversion, concepts)
        assert torch.equal(torch.random.get_rng_state(), state), "other nodes' lots are not drawn for them"
        torch.manual_seed(2)
        assert torch.equal(edit(patched, inversion, concepts).samples, edited.samples)
    assert torch.equal(invert(patched, **small).trajectory.denoised, inversion.trajectory.denoised)
    assert not torch.allclose(inversion.trajectory.denoised, invert(large, **small).trajectory.denoised, atol=1e-3)


def test_a_slot_that_refuses_third_parties_finds_none(model):
    stored = run("LEDITS_AttentionStore", model=third_party.image_prompt(model))[0]
    again = third_party.image_prompt(stored, seed=1)
    slots = again.model_options["transformer_options"]["patches_replace"]["attn2"]
    assert {type(occupant) for occupant in slots.values()} == {third_party.ImagePrompt}
    seated = model.clone()
    seated.set_model_attn2_replace(lambda *args: None, "input", 5, 0)
    with pytest.raises(RuntimeError, match="another pack sits"):
        third_party.image_prompt(seated)
