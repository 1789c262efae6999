"""LoRA: loaded onto MODEL and CLIP, and scheduled, placed and mixed by ComfyUI's hooks."""

from __future__ import annotations

import functools
from types import SimpleNamespace

from scripts.host.in_comfy import encode as encode_with
from scripts.host.in_comfy import load_checkpoint
from scripts.host.networks import SD15_SHAPE, family, text_encoder

import folder_paths
import pytest
import torch
from comfy import supported_models
from comfy_extras import nodes_hooks
from safetensors.torch import save_file

import nodes

NAME = "test.safetensors"
RANK, ALPHA = 4, 2.0


def adaptable(network, parts, prefix):
    """Weights of a network that a LoRA may touch, by the name that a LoRA file gives them."""
    names = [name.removesuffix(".weight") for name in network.state_dict() if name.endswith(parts)]
    return {prefix + name.split(".", 1)[-1].replace(".", "_"): name + ".weight" for name in names}


@pytest.fixture(scope="module")
def loras(model, tmp_path_factory):
    """A random LoRA in a file, and MODEL and CLIP whose weights were changed by hand as it should change them."""
    unet = adaptable(model.model, ("attn2.to_k.weight", "attn2.to_v.weight", "attn1.to_out.0.weight"), "lora_unet_")
    clip = text_encoder(family(SD15_SHAPE, supported_models.SD15), {"l": 64})
    text = {
        name.replace("transformer_text_model", "text_model"): weight
        for name, weight in adaptable(clip.cond_stage_model, ("self_attn.v_proj.weight", "mlp.fc1.weight"), "lora_te_").items()
    }
    generator = torch.Generator().manual_seed(0)
    file, changes = {}, {}
    for network, keys in ((model.model, unet), (clip.cond_stage_model, text)):
        for name, weight in keys.items():
            rows, columns = network.state_dict()[weight].shape
            up, down = torch.randn(rows, RANK, generator=generator), torch.randn(RANK, columns, generator=generator) * columns**-0.5
            file |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down, f"{name}.alpha": torch.tensor(ALPHA)}
            changes[weight] = ALPHA / RANK * up @ down
    folder = tmp_path_factory.mktemp("loras")
    save_file(file, folder / NAME)

    @functools.cache
    def adapted(strength=1.0):
        by_hand, encoder = load_checkpoint()[0], text_encoder(family(SD15_SHAPE, supported_models.SD15), {"l": 64})
        with torch.inference_mode():
            for network in (by_hand.model, encoder.cond_stage_model):
                for name, weight in network.state_dict().items():
                    if name in changes:
                        weight += strength * changes[name]
        return by_hand, encoder

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(folder)], {".safetensors"}))
        yield SimpleNamespace(clip=clip, adapted=adapted, unet=unet, text=text)


def hook(strength=1.0, *keyframes):
    """The hook of this LoRA, its strength multiplied from each (percent, strength) on."""
    (hooks,) = nodes_hooks.CreateHookLora().create_hook(NAME, strength, strength)
    frames = None
    for percent, factor in keyframes:
        (frames,) = nodes_hooks.CreateHookKeyframe().create_hook_keyframe(factor, percent, frames)
    return nodes_hooks.SetHookKeyframes().set_hook_keyframes(hooks, frames)[0]


def hooked(conditioning, hooks, mask=None):
    return nodes_hooks.ConditioningSetProperties().set_properties(conditioning, 1.0, "default", mask=mask, hooks=hooks)[0]


def neutral(encode):
    return encode("")


@pytest.fixture
def base_of(invert):
    def base(model, clip):
        return model.model.process_latent_out(invert(model, negative=encode_with(clip, "")).trajectory.denoised)

    return base


def close(one, other):
    return torch.allclose(one, other, atol=1e-4)


def test_the_test_lora_reaches_both_networks(loras):
    assert len(loras.unet) == 27
    assert len(loras.text) == 6


@pytest.mark.parametrize("strength", [1.0, -0.5])
def test_loaded_onto_model_and_clip(assert_mixing, base_of, model, loras, unchanged, strength):
    plain = base_of(model, loras.clip)
    with unchanged(model, loras.clip.patcher):
        with_lora, clip = nodes.LoraLoader().load_lora(model, loras.clip, NAME, strength, strength)
        mixed = assert_mixing(with_lora, clip, neutral)
    assert close(mixed.base, base_of(*loras.adapted(strength)))
    assert not close(mixed.base, plain)
    assert torch.equal(base_of(model, loras.clip), plain)


def test_loaded_onto_the_clip_alone_it_still_shapes_the_concept(assert_mixing, model, loras):
    _, clip = nodes.LoraLoader().load_lora(model, loras.clip, NAME, 0.0, 1.0)
    by_hand = assert_mixing(model, loras.adapted()[1], neutral).guidance
    assert close(assert_mixing(model, clip, neutral).guidance, by_hand)
    assert not close(assert_mixing(model, loras.clip, neutral).guidance, by_hand)


def test_by_a_hook_on_the_conditioning(assert_mixing, base_of, model, loras):
    hooks = hook()
    mixed = assert_mixing(model, loras.clip, lambda encode: hooked(encode(""), hooks))
    by_hand = loras.adapted()[0]
    assert close(mixed.base, base_of(by_hand, loras.clip))
    assert close(mixed.guidance, assert_mixing(by_hand, loras.clip, neutral).guidance)


def test_half_by_the_loader_and_half_by_a_hook(assert_mixing, base_of, model, loras):
    hooks = hook(0.5)
    half, _ = nodes.LoraLoader().load_lora(model, loras.clip, NAME, 0.5, 0.0)
    assert close(assert_mixing(half, loras.clip, lambda encode: hooked(encode(""), hooks)).base, base_of(loras.adapted()[0], loras.clip))


def test_a_hook_that_begins_in_the_middle(assert_mixing, base_of, model, loras):
    hooks = hook(1.0, (0.0, 0.0), (0.5, 1.0))
    mixed = assert_mixing(model, loras.clip, lambda encode: hooked(encode(""), hooks))
    plain, by_hand = base_of(model, loras.clip), base_of(loras.adapted()[0], loras.clip)
    assert close(mixed.base, torch.cat([plain[:2], by_hand[2:]]))
    assert not close(plain[2:], by_hand[2:])


def test_a_hook_that_grows_with_every_step(assert_mixing, base_of, model, loras):
    """Each of its keyframes holds for one step at least, whether or not that step of an edit calls the network."""
    strengths = [0.0, 0.4, 0.8, 1.2]
    hooks = hook(1.0, *((0.25 * place, strength) for place, strength in enumerate(strengths)))
    mixed = assert_mixing(model, loras.clip, lambda encode: hooked(encode(""), hooks))
    assert close(mixed.base, torch.stack([base_of(loras.adapted(strength)[0], loras.clip)[i] for i, strength in enumerate(strengths)]))


def test_a_hook_on_half_the_picture(assert_mixing, base_of, model, loras):
    """The network has the LoRA in the left half, for the base and for concepts alike."""
    hooks = hook()
    mask = torch.zeros(1, 256, 256)
    mask[..., :128] = 1

    def place(encode):
        return [*hooked(encode(""), hooks, mask), *hooked(encode(""), None, 1 - mask)]

    mixed = assert_mixing(model, loras.clip, place)
    plain, by_hand = assert_mixing(model, loras.clip, neutral), assert_mixing(loras.adapted()[0], loras.clip, neutral)
    for name in ("base", "guidance"):
        found, left, right = (getattr(one, name)[..., half] for one, half in ((mixed, ...), (by_hand, slice(16)), (plain, slice(16, 32))))
        assert close(found, torch.cat([left, right], -1))
    assert close(mixed.maps, torch.cat([by_hand.maps[:, :, :4], plain.maps[:, :, 4:]], 2))


@pytest.mark.parametrize("scheduled", [False, True])
def test_by_hooks_on_the_clip(assert_mixing, base_of, model, loras, scheduled):
    """The text encoder has the LoRA too: always, or with a schedule only while the hook's strength is not 0."""
    (clip,) = nodes_hooks.SetClipHooks().apply_hooks(loras.clip, scheduled, True, hook(1.0, (0.0, 0.0), (0.5, 1.0)))
    mixed = assert_mixing(model, clip, neutral)
    by_hand, encoder = loras.adapted()
    early, late = base_of(model, loras.clip if scheduled else encoder), base_of(by_hand, encoder)
    assert close(mixed.base, torch.cat([early[:2], late[2:]]))
    assert close(mixed.guidance, assert_mixing(by_hand, encoder, neutral).guidance)


def test_a_concept_from_a_clip_without_the_hooks_of_the_neutral_prompt(assert_mixing, model, loras):
    """It is seen with the same LoRA at every step, though its text is not."""
    hooks = hook(1.0, (0.0, 1.0), (0.5, 0.5))
    (clip,) = nodes_hooks.SetClipHooks().apply_hooks(loras.clip, True, True, hooks)
    negative = encode_with(clip, "")
    assert len(negative) == 2
    assert_mixing(model, loras.clip, lambda _: negative, asked=lambda encode: hooked(encode("a green circle"), negative[0][1]["hooks"]))


def test_a_concept_from_a_clip_with_hooks_of_its_own(assert_mixing, model, loras):
    """It is seen with the LoRA of the neutral prompt and with its own."""
    hooks = hook(0.5)
    (clip,) = nodes_hooks.SetClipHooks().apply_hooks(loras.clip, False, True, hook(0.5))
    negative = hooked(encode_with(loras.clip, ""), hooks)
    mixed = assert_mixing(model, clip, lambda _: negative, asked=lambda encode: hooked(encode("a green circle"), hooks))
    assert close(mixed.base, assert_mixing(model, loras.clip, lambda encode: hooked(encode(""), hooks)).base)


def test_in_a_network_that_memory_has_room_for_only_in_parts(assert_mixing, base_of, loras, monkeypatch):
    """What --novram and --lowvram do on a graphics card: weights are brought in, and patched, at every use."""
    from comfy.model_management import LoadedModel

    load = LoadedModel.model_load
    monkeypatch.setattr(LoadedModel, "model_load", lambda self, room=0, *rest, **more: load(self, 0.1, *rest, **more))
    with_lora, clip = nodes.LoraLoader().load_lora(load_checkpoint()[0], loras.clip, NAME, 1.0, 1.0)
    mixed = assert_mixing(with_lora, clip, neutral)
    assert with_lora.model.model_lowvram
    assert with_lora.lowvram_patch_counter() > 0
    monkeypatch.undo()
    assert close(mixed.base, base_of(*loras.adapted()))
