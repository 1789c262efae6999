"""Capture, probe and extraction in the real ComfyUI."""

import copy

from scripts.host.in_comfy import nodes, run

import pytest
import torch

from support import stock_nodes


def sample(model, encode, positive="a red circle and a blue square", negative="a green square", cfg=4.0, seed=1, steps=4):
    return stock_nodes.sample(model, encode(positive), encode(negative), seed=seed, steps=steps, cfg=cfg)


def test_capture_changes_no_bit_of_a_plain_ksampler(model, encode):
    patched, _ = run("LEDITS_AttentionStore", model=model)
    assert torch.equal(sample(patched, encode)["samples"], sample(model, encode)["samples"])


def test_the_captured_maps_are_the_networks_own(model, encode, clip):
    """Against probabilities computed from what a module hook sees, layer by layer."""
    import comfy.ldm.modules.attention as attention_module

    patched, store = run("LEDITS_AttentionStore", model=model)
    seen, hooks = [], []
    for name, module in model.model.diffusion_model.named_modules():
        if name.endswith("attn2") and not name.startswith("middle") and isinstance(module, attention_module.CrossAttention):
            values = {}
            hooks.append(module.to_q.register_forward_hook(lambda m, i, o, v=values: v.__setitem__("q", o)))

            def finish(m, i, o, v=values, heads=module.heads):
                if v["q"].shape[1] == 64:
                    q, k = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (v["q"], o))
                    seen.append(((q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5).softmax(-1))

            hooks.append(module.to_k.register_forward_hook(finish))
    try:
        result = sample(patched, encode, cfg=1.0)
    finally:
        for hook in hooks:
            hook.remove()
    maps = run("LEDITS_CaptureAttention", store=store, latent=result, clip=clip, text="a red circle and a blue square")[0].prompts[0]
    assert len(seen) == 4 * 5
    assert maps.steps == 4
    known = torch.cat([layer[0] for layer in seen]).mean(0)[:, 1:8].view(8, 8, 7)
    assert torch.allclose(maps.mean()[0], known, atol=1e-5)


def test_branches_are_told_apart(model, encode, clip):
    patched, store = run("LEDITS_AttentionStore", model=model)
    result = sample(patched, encode)
    positive = run("LEDITS_CaptureAttention", store=store, latent=result, clip=clip, text="a red circle and a blue square")[0].prompts[0]
    negative = run("LEDITS_CaptureAttention", store=store, latent=result, clip=clip, text="a green square", branch="negative")[0].prompts[0]
    assert positive.words == ("a", "red", "circle", "and", "a", "blue", "square")
    assert negative.words == ("a", "green", "square")
    assert positive.steps == negative.steps == 4
    # Map by map at the first state, which is the same whatever is asked.
    result = sample(patched, encode, steps=1)
    negative = run("LEDITS_CaptureAttention", store=store, latent=result, clip=clip, text="a green square", branch="negative")[0].prompts[0]
    swapped, other_store = run("LEDITS_AttentionStore", model=model)
    result = sample(swapped, encode, positive="a green square", negative="a red circle and a blue square", cfg=1.0, steps=1)
    alone = run("LEDITS_CaptureAttention", store=other_store, latent=result, clip=clip, text="a green square")[0].prompts[0]
    assert torch.allclose(alone.mean(), negative.mean(), atol=1e-5)


def test_a_long_prompt_beside_a_short_one(model, encode, clip):
    long = "a red circle and " * 20
    patched, store = run("LEDITS_AttentionStore", model=model)
    result = sample(patched, encode, positive="a red circle", negative=long, steps=1)
    beside = run("LEDITS_CaptureAttention", store=store, latent=result, clip=clip, text="a red circle")[0].prompts[0]
    result = sample(patched, encode, positive="a red circle", cfg=1.0, steps=1)
    alone = run("LEDITS_CaptureAttention", store=store, latent=result, clip=clip, text="a red circle")[0].prompts[0]
    assert torch.allclose(beside.mean(), alone.mean(), atol=1e-5)
    result = sample(patched, encode, positive=long, negative="a red circle")
    captured = run("LEDITS_CaptureAttention", store=store, latent=result, clip=clip, text=long)[0].prompts[0]
    assert captured.words == tuple(long.split())


def test_a_store_finds_the_run_by_its_picture(model, encode, clip):
    patched, store = run("LEDITS_AttentionStore", model=model)
    first, second = sample(patched, encode, seed=1), sample(patched, encode, seed=2)
    text = "a red circle and a blue square"
    maps = [
        run("LEDITS_CaptureAttention", store=store, latent=latent, clip=clip, text=text)[0].prompts[0].mean() for latent in (first, second)
    ]
    assert not torch.equal(*maps)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Capture Attention, input 'latent': "):
        run("LEDITS_CaptureAttention", store=store, latent={"samples": first["samples"] + 1}, clip=clip, text=text)


@pytest.mark.parametrize("factor", [1, 8, 16])
def test_the_size_is_that_of_the_models_images(model, encode, clip, factor):
    """KSampler's latent no longer says how many pixels it stands for."""
    other = model.clone()
    kind = copy.copy(model.get_model_object("latent_format"))
    kind.spacial_downscale_ratio = factor
    other.add_object_patch("latent_format", kind)
    patched, store = run("LEDITS_AttentionStore", model=other)
    latent = sample(patched, encode, steps=1)
    attention = run("LEDITS_CaptureAttention", store=store, latent=latent, clip=clip, text="a red circle and a blue square")[0]
    height, width = latent["samples"].shape[-2:]
    assert (attention.height, attention.width) == (height * factor, width * factor)


def test_a_list_of_pictures_is_sampled_before_the_first_of_them_is_captured(model, encode, clip):
    patched, store = run("LEDITS_AttentionStore", model=model)
    text = "a red circle and a blue square"
    latents = [sample(patched, encode, cfg=1.0, steps=1, seed=seed) for seed in range(10)]
    maps = [run("LEDITS_CaptureAttention", store=store, latent=latent, clip=clip, text=text)[0].prompts[0].mean() for latent in latents]
    assert len({tuple(one.flatten().tolist()) for one in maps}) == 10


@pytest.mark.parametrize("runs", [1, 3])
def test_a_store_keeps_the_latest_runs_that_fit(model, encode, clip, part, monkeypatch, runs):
    patched, store = run("LEDITS_AttentionStore", model=model)
    latents = [sample(patched, encode, cfg=1.0, steps=1, seed=seed) for seed in range(2)]
    monkeypatch.setattr(part("nodes.comfyui.attention.store"), "MAX_BYTES", (runs + 0.5) * store.find(latents[0]["samples"]).nbytes)
    latents += [sample(patched, encode, cfg=1.0, steps=1, seed=seed) for seed in (2, 3, 4, 3)]
    kept = [store.find(latent["samples"]) is not None for latent in latents]
    assert kept == ([False] * 2 + [True] * 4 if runs == 3 else [False, False, False, True, False, True])
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Capture Attention, input 'latent': "):
        run("LEDITS_CaptureAttention", store=store, latent=latents[0], clip=clip, text="a red circle and a blue square")


def test_edits_do_not_push_out_the_picture_of_a_sampler(model, inversion, encode, clip, concept):
    """ComfyUI keeps that picture and does not sample it again."""
    patched, store = run("LEDITS_AttentionStore", model=model)
    sampled = sample(patched, encode)
    for scale in range(1, 7):
        run("LEDITS_Edit", model=patched, inversion=inversion, concepts=concept("a green circle", scale=float(scale), warmup=5))
    text = "a red circle and a blue square"
    assert run("LEDITS_CaptureAttention", store=store, latent=sampled, clip=clip, text=text)[0].prompts[0].text == text


def test_an_edit_is_captured_by_its_concept(model, inversion, clip, concept):
    patched, store = run("LEDITS_AttentionStore", model=model)
    edited, attention, _, _ = run("LEDITS_Edit", model=patched, inversion=inversion, concepts=concept("a green circle"))
    captured = run("LEDITS_CaptureAttention", store=store, latent=edited, clip=clip, text="a green circle")[0]
    assert torch.equal(captured.prompts[0].mean(), attention.prompts[0].mean())


def test_store_settings_shape_the_masks_of_an_edit(model, inversion, concept):
    fine, _ = run("LEDITS_AttentionStore", model=model, resolution=16)
    attention = run("LEDITS_Edit", model=fine, inversion=inversion, concepts=concept("a green circle"))[1]
    assert attention.prompts[0].mean().shape[1:3] == (16, 16)


@pytest.mark.parametrize("average_steps", [False, True])
def test_masks_are_made_from_one_step_or_from_the_mean_so_far(model, inversion, concept, average_steps):
    patched, _ = run("LEDITS_AttentionStore", model=model, resolution=16, average_steps=average_steps)
    concepts = concept("a green circle", mask_mode="attention", threshold=0.5)
    _, attention, mask, _ = run("LEDITS_Edit", model=patched, inversion=inversion, concepts=concepts, masks="last step")
    assert attention.prompts[0].steps == 4
    assert torch.equal(mask, run("LEDITS_ExtractMask", attention=attention, quantile=0.5)[0]) == average_steps


@pytest.mark.parametrize(("setting", "recorded"), [("down", "input"), ("mid", "middle"), ("up", "output")])
def test_only_the_parts_that_are_asked_for_are_recorded(model, part, setting, recorded):
    settings = part("ledits.attention").StoreSettings(**({"down": False, "mid": False, "up": False} | {setting: True}))
    adapter = part("nodes.comfyui.attention.unet").UNetAdapter(model.model.diffusion_model, settings, 32, 32)
    with adapter.hook(model.model.diffusion_model, {}, None) as options:
        assert {address[0] for address in options["patches_replace"]["attn2"]} == {recorded}


def test_an_earlier_occupant_of_the_slot_is_called_through(model, encode, clip):
    def scaled(q, k, v, extra):
        from comfy.ldm.modules.attention import optimized_attention

        return 0.5 * optimized_attention(q, k, v, extra["n_heads"])

    occupied = model.clone()
    occupied.set_model_attn2_replace(scaled, "input", 5)
    occupied.set_model_attn2_replace(scaled, "output", 0, 0)
    # ComfyUI takes the transformer's own slot first, so that this one is never called.
    occupied.set_model_attn2_replace(lambda query, key, value, extra: torch.zeros_like(query), "output", 0)
    patched, store = run("LEDITS_AttentionStore", model=occupied)
    late = patched.clone()
    late.set_model_attn2_replace(scaled, "output", 1)
    plain = occupied.clone()
    plain.set_model_attn2_replace(scaled, "output", 1)
    assert torch.equal(sample(late, encode)["samples"], sample(plain, encode)["samples"])
    assert not torch.equal(sample(late, encode)["samples"], sample(model, encode)["samples"])
    assert run("LEDITS_CaptureAttention", store=store, latent=sample(late, encode), clip=clip, text="a red circle and a blue square")


def test_probe_looks_once(calls, latent, clip):
    counted, sizes = calls
    attention = run("LEDITS_ProbeAttention", model=counted, latent=latent, clip=clip, text="a red circle")[0]
    assert sizes == [1]
    assert attention.prompts[0].words == ("a", "red", "circle")
    again = run("LEDITS_ProbeAttention", model=counted, latent=latent, clip=clip, text="a red circle")[0]
    assert torch.equal(attention.prompts[0].mean(), again.prompts[0].mean())


def test_extraction(model, latent, clip, photo):
    attention = run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle")[0]
    mask, heatmap = run("LEDITS_ExtractMask", attention=attention, words="circle", quantile=0.9)
    assert mask.shape == (1, 256, 256)
    assert heatmap.shape == (1, 256, 256, 3)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask.mean().item() == pytest.approx(7 / 64)
    soft, _ = run("LEDITS_ExtractMask", attention=attention, binary=False, width=100, height=60)
    assert soft.shape == (1, 60, 100)
    assert len(soft.unique()) > 10
    panels = run("LEDITS_Heatmap", image=photo, attention=attention)[0]
    assert panels.shape[2] == 3 * 256 + 2 * 8


def test_color_words_land_on_their_object(model, latent, clip, scene):
    """The small model's own knowledge: 'blue' looks at the blue square more than at the rest, and 'red' at the red circle."""
    import numpy as np

    attention = run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle and a blue square")[0].prompts[0]
    maps = attention.mean()[0]
    cells = [torch.from_numpy(mask.reshape(8, 32, 8, 32).mean((1, 3)).astype(np.float32)) for mask in scene.masks()]
    red, blue = maps[..., attention.words.index("red")], maps[..., attention.words.index("blue")]
    contrast = red / red.mean() - blue / blue.mean()
    assert (contrast * cells[0]).sum() / cells[0].sum() > (contrast * cells[1]).sum() / cells[1].sum()


@pytest.mark.parametrize(("text", "doubted"), [("a red circle and a blue square", False), ("a red square and a blue square", True)])
def test_a_text_that_was_not_sampled_with_is_doubted(model, encode, clip, text, doubted):
    """Its words are as many as those that were, so nothing else would tell."""
    patched, store = run("LEDITS_AttentionStore", model=model)
    latent = sample(patched, encode, cfg=1.0)
    with torch.inference_mode():
        answer = nodes()["LEDITS_CaptureAttention"].execute(store=store, latent=latent, clip=clip, text=text, branch="positive")
    assert ("did not read this text" in str(answer.ui)) == doubted


LEFT = torch.zeros(1, 16, 16)
LEFT[..., :8] = 1

# What sets the first of two entries apart, and its share of the map in the left and in the right half.
SHARES = {
    "equal": ({}, 1 / 2, 1 / 2),
    "strength": ({"strength": 3.0}, 3 / 4, 3 / 4),
    "mask": ({"mask": LEFT}, 1 / 2, 0),
    "mask strength": ({"mask": LEFT, "mask_strength": 0.5}, 1 / 3, 0),
    "area": ({"area": (16, 8, 0, 8)}, 0, 1 / 2),
    "default": ({"default": True}, 0, 0),
}


@pytest.mark.parametrize("name", SHARES)
def test_the_entries_of_a_concept_count_in_its_map_as_their_predictions_do(model, part, name):
    options, *shares = SHARES[name]
    adapter = part("nodes.comfyui.attention.unet").UNetAdapter(
        model.model.diffusion_model, part("ledits.attention").StoreSettings(), 16, 16
    )
    recorder = part("nodes.comfyui.attention.recorder").Recorder(adapter, lambda key: True)
    first, second = torch.rand(1, 4, 4, 5), torch.rand(1, 4, 4, 5)
    # Of an area that is predicted alone, the network sees nothing else.
    seen = first[:, :, 2:] if "area" in options else first
    for uuid, maps in enumerate((seen, second)):
        recorder.sums["concept", uuid] = part("ledits.attention").RunningMean()
        recorder.sums["concept", uuid].add(2 * maps, 2)
    prompt = part("ledits.prompt").Prompt("red circle", ("red", "circle"), ((1,), (2, 3)), 5)
    conds = [{"uuid": 0, **options}, {"uuid": 1}]
    concept_map = part("nodes.comfyui.attention.concept_map")
    words = concept_map.concept_word_maps(recorder, "concept", conds, prompt, torch.zeros(1, 4, 16, 16))
    share = torch.tensor(shares).repeat_interleave(2)[:, None]
    known = share * first + (1 - share) * second
    assert torch.allclose(words, torch.stack([known[..., 1], known[..., 2] + known[..., 3]], -1), atol=1e-5)
