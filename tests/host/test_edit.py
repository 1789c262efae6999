"""Inversion, replay and edits through the real ComfyUI's classes and the pack's nodes."""

import copy

from scripts.host.in_comfy import execute, run

import pytest
import torch


def difference(a, b):
    return (a["samples"] - b["samples"]).abs().max().item()


@pytest.mark.parametrize("scheduler", ["LEDITS", "karras", "sgm_uniform", "beta"])
def test_no_concept_gives_the_photo_back_without_any_call(model, latent, encode, calls, scheduler):
    import comfy.samplers

    if scheduler == "LEDITS":
        sigmas = run("LEDITS_Schedule", model=model, steps=5, skip=0.15)[0]
    else:
        sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, 5)
    counted, sizes = calls
    inversion = run("LEDITS_Invert", model=counted, latent=latent, sigmas=sigmas, negative=encode(""))[0]
    assert sizes == [1] * (len(sigmas) - 1)
    edited, attention, mask, _ = run("LEDITS_Edit", model=counted, inversion=inversion)
    assert difference(edited, latent) < 1e-5
    assert len(sizes) == len(sigmas) - 1
    assert attention.prompts == ()
    assert mask.sum() == 0


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_a_source_prompt_replays_exactly_too(model, latent, sigmas, encode, calls, concept, cfg):
    counted, sizes = calls
    inputs = {"latent": latent, "sigmas": sigmas, "negative": encode(""), "positive": encode("a red circle"), "cfg": cfg}
    inversion = run("LEDITS_Invert", model=counted, **inputs)[0]
    assert sizes == [1 if cfg == 1 else 2] * 6
    # An edit whose guidance is zero everywhere evaluates every prediction again, and still gives the photo.
    nothing = concept("a green circle", mask=torch.zeros(1, 256, 256), warmup=0, mask_mode="none")
    edited = run("LEDITS_Edit", model=model, inversion=inversion, concepts=nothing)[0]
    assert difference(edited, latent) < 1e-4


def test_an_edit_calls_the_network_only_where_it_acts(model, latent, sigmas, encode, calls, concept):
    counted, sizes = calls
    inversion = run("LEDITS_Invert", model=counted, latent=latent, sigmas=sigmas, negative=encode(""))[0]
    sizes.clear()
    concepts = concept("a green circle", warmup=3, concepts=concept("a red circle", direction="remove", warmup=2, cooldown=4))
    run("LEDITS_Edit", model=counted, inversion=inversion, concepts=concepts)
    # Steps 0 and 1: none. Step 2: base and the first concept. Step 3: base and both. Steps 4 and 5: base and the second.
    assert sizes == [2, 3, 2, 2]


def test_reuse_of_the_base_changes_nothing(model, inversion, concept):
    concepts = concept("a green circle")
    edited = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[0]
    other = model.clone()
    other.model_options["something_of_another_pack"] = 1
    assert difference(run("LEDITS_Edit", model=other, inversion=inversion, concepts=concepts)[0], edited) < 1e-4


def test_outside_the_masks_the_early_path_is_kept(model, inversion, latent, concept):
    mask = torch.zeros(1, 256, 256)
    mask[:, 50:150, 40:130] = 1
    # With only the last step edited nothing can spread through the network afterwards.
    concepts = concept("a green circle", warmup=5, mask=mask, mask_mode="none")
    edited = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[0]
    changed = (edited["samples"] - latent["samples"]).abs().amax(1)[0]
    assert changed[7:18, 6:16].max() > 1e-3
    assert changed[20:].max() < 1e-5
    assert changed[:, 18:].max() < 1e-5


@pytest.mark.parametrize("mode", ["none", "noise", "attention", "intersect"])
def test_the_mask_shown_is_the_mask_used(model, inversion, latent, concept, mode):
    concepts = concept("a green circle", warmup=5, mask_mode=mode)
    edited, attention, mask, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)
    assert mask.shape == (1, 256, 256)
    changed = (edited["samples"] - latent["samples"]).abs().amax(1)[0] > 1e-5
    assert torch.equal(changed, mask[0, ::8, ::8] > 0)
    shares = {"none": 1.0, "noise": 205 / 1024, "attention": 13 * 16 / 1024}
    if mode in shares:
        assert mask.mean().item() == pytest.approx(shares[mode], abs=1e-4)
    else:
        assert 0 < mask.mean() < shares["noise"]
    assert attention.prompts[0].steps == (1 if mode in ("attention", "intersect") else 0)


def test_masks_of_all_steps_are_the_share_that_had_each_pixel(model, inversion, concept, part, monkeypatch):
    guider, concepts = part("nodes.comfyui.sampling.guider"), concept("a green circle", concepts=concept("a red circle", cooldown=4))
    used, make = {each.settings: [] for each in concepts}, guider.guidance_mask

    def record(guidance, settings, *inputs):
        used[settings].append(make(guidance, settings, *inputs))
        return used[settings][-1]

    monkeypatch.setattr(guider, "guidance_mask", record)
    latent, _, shown, joined = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)
    assert [len(masks) for masks in used.values()] == [2, 4]
    for mask, masks in zip(shown[:, ::8, ::8], used.values(), strict=True):
        assert (mask - torch.stack(masks).mean(0)[0, 0]).abs().max() < 1e-6
    assert ((shown > 0) & (shown < 1)).any(), "no mask moved in this edit: take another for this test"
    assert torch.equal(joined, shown.amax(0, keepdim=True))
    last = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts, masks="last step")
    assert torch.equal(last[0]["samples"], latent["samples"])
    for mask, masks in zip(last[2][:, ::8, ::8], used.values(), strict=True):
        assert torch.equal(mask, masks[-1][0, 0])


def test_a_painted_mask_is_shown_as_it_is(model, inversion, concept):
    """Its greys are no share of the steps, and no rounding changes them."""
    painted = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    shown = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle", mask=painted, mask_mode="none"))[2]
    assert torch.equal(shown[:, ::8, ::8], painted)


def test_the_joined_mask_has_an_image_for_each_of_a_batch(model, vae, photo, sigmas, encode, concept):
    with torch.inference_mode():
        latents = {"samples": vae.encode(torch.cat([photo, photo.flip(2)]))}
    pair = run("LEDITS_Invert", model=model, latent=latents, sigmas=sigmas, negative=encode(""))[0]
    concepts = concept("a green circle", concepts=concept("a red circle", direction="remove"))
    for used, count in ((concepts, 4), ((), 2)):
        masks, joined = run("LEDITS_Edit", model=model, inversion=pair, concepts=used)[2:]
        assert len(masks) == count
        assert joined.shape == (2, 256, 256)
        for place in range(2):
            assert torch.equal(joined[place], masks[place::2].amax(0))


def test_the_same_seed_gives_the_same_picture_and_another_one_does_not(model, latent, sigmas, encode, inversion, concept):
    concepts = concept("a green circle")
    once, again = (run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[0] for _ in range(2))
    assert torch.equal(once["samples"], again["samples"])
    other = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=encode(""), seed=1)[0]
    assert difference(run("LEDITS_Edit", model=model, inversion=other, concepts=concepts)[0], once) > 1e-3


def test_equal_prompts_keep_their_own_maps(model, inversion, concept):
    both = concept("a green circle", concepts=concept("a green circle", direction="remove", cooldown=4))
    attention = run("LEDITS_Edit", model=model, inversion=inversion, concepts=both)[1]
    # Steps 2 and 3, and steps 2 to 5.
    assert [words.steps for words in attention.prompts] == [2, 4]


def test_a_batch_equals_its_pictures_alone(model, vae, photo, sigmas, encode, concept):
    pictures = torch.cat([photo, photo.flip(2)])
    with torch.inference_mode():
        latents = vae.encode(pictures)
    concepts = concept("a green circle", mask_mode="none", scale=2.0)

    def edit(samples):
        inversion = run("LEDITS_Invert", model=model, latent={"samples": samples}, sigmas=sigmas, negative=encode(""))[0]
        return run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[0]["samples"]

    together = edit(latents)
    for place in range(2):
        assert (edit(latents[place : place + 1]) - together[place]).abs().max() < 1e-3


@pytest.mark.parametrize("size", [(33, 47), (8, 64)])
def test_any_size(model, encode, sigmas, concept, size):
    samples = torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(0)) * 0.7
    inversion = run("LEDITS_Invert", model=model, latent={"samples": samples}, sigmas=sigmas, negative=encode(""))[0]
    edited, attention, mask, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle"))
    assert edited["samples"].shape == samples.shape
    assert mask.shape == (2, 8 * size[0], 8 * size[1])
    assert attention.prompts[0].mean().shape[:3] == (2, -(-size[0] // 4), -(-size[1] // 4))
    assert difference(run("LEDITS_Edit", model=model, inversion=inversion)[0], {"samples": samples}) < 1e-4


PAINTED = torch.zeros(1, 32, 32)
PAINTED[:, 6:19, 5:16] = 1


@pytest.mark.parametrize("size", [(32, 32), (256, 256), (64, 64), (480, 480), (263, 260)])
def test_a_mask_of_the_photo_serves_at_any_size(model, inversion, latent, concept, size):
    mask = torch.nn.functional.interpolate(PAINTED[:, None], size=size, mode="nearest")[:, 0]
    concepts = concept("a green circle", warmup=5, mask=mask, mask_mode="none")
    edited, _, used, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)
    assert (used[:, ::8, ::8] - PAINTED).abs().max() <= (0 if size[0] % 32 == 0 else 0.6)
    changed = (edited["samples"] - latent["samples"]).abs().amax(1)
    assert changed[used[:, ::8, ::8] == 0].max() < 1e-5
    assert changed[used[:, ::8, ::8] > 0.5].max() > 1e-3


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (100, 30)])
def test_a_mask_in_which_nothing_is_painted_changes_nothing_and_says_so(model, clip, inversion, latent, size):
    """Load Image gives a black mask of 64x64 pixels for a photo of any size, or a black one of its size where the file has an alpha channel."""
    settings = {"clip": clip, "text": "a green circle", "scale": 4.0, "mask_mode": "none"}
    output = execute("LEDITS_Concept", **settings, mask=torch.zeros(1, *size))
    (text,) = output.ui["text"]
    assert "'mask'" in text
    assert "black" in text
    assert "MaskEditor" in text
    edited, _, used, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=output.result[0])
    assert difference(edited, latent) < 1e-5
    assert not used.any()
    for mask in (None, PAINTED, torch.full((1, 64, 64), 0.01)):
        assert execute("LEDITS_Concept", **settings, mask=mask).ui is None


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else vars(value).values()
    return [tensor for item in inner if isinstance(item, torch.Tensor | dict | list | tuple) for tensor in tensors_in(item)]


def assert_shares_nothing(one, other):
    one, other = ({tensor.untyped_storage().data_ptr() for tensor in tensors_in(side)} for side in (one, other))
    assert one
    assert other
    assert not one & other


def test_nothing_is_kept_or_handed_out_that_another_node_may_write_into(model, latent, sigmas, encode, concept):
    given = latent | {"noise_mask": torch.ones(1, 256, 256)}
    made = run("LEDITS_Invert", model=model, latent=given, sigmas=sigmas, negative=encode(""))[0]
    kept = [*tensors_in(made.trajectory), *tensors_in(made.latent)]
    assert len(kept) == 7
    assert_shares_nothing(kept, [given, sigmas])
    _, levels, start, noise = run("LEDITS_ReplaySampler", inversion=made)
    assert_shares_nothing(kept, [levels, start, noise.generate_noise(start)])
    mask = torch.ones(1, 256, 256)
    concepts = concept("a green circle", mask=mask)
    assert_shares_nothing(concepts[0], mask)
    edited, _, used, _ = run("LEDITS_Edit", model=model, inversion=made, concepts=concepts)
    assert_shares_nothing([kept, mask, concepts[0].mask], [edited, used])


def test_a_sampler_that_writes_into_its_sigmas_leaves_the_inversion_whole(model, latent, encode):
    import comfy.samplers
    from comfy_extras.nodes_custom_sampler import SamplerCustom

    sigmas = run("LEDITS_Schedule", model=model, steps=6, skip=0.1)[0]
    inversion = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=encode(""))[0]
    _, levels, start, _ = run("LEDITS_ReplaySampler", inversion=inversion)
    for given in (sigmas, levels):
        with torch.inference_mode():
            SamplerCustom.execute(model, True, 0, 1.0, encode(""), encode(""), comfy.samplers.sampler_object("uni_pc"), given, start)
        assert given[-1] > 0, "this sampler no longer writes into what it is given: take another for this test"
    assert difference(run("LEDITS_Edit", model=model, inversion=inversion)[0], latent) < 1e-5


def test_the_advanced_nodes_do_what_edit_does(model, inversion, concept):
    from comfy_extras.nodes_custom_sampler import SamplerCustomAdvanced

    concepts = concept("a green circle")
    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=concepts)[0]
    sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    with torch.inference_mode():
        ours = SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent).result[0]
    assert torch.equal(ours["samples"], run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[0]["samples"])


def test_the_guider_works_under_a_stock_sampler(model, inversion, concept):
    import comfy.samplers
    from comfy_extras.nodes_custom_sampler import SamplerCustomAdvanced

    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=concept("a green circle"))[0]
    _, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    with torch.inference_mode():
        result = SamplerCustomAdvanced.execute(noise, guider, comfy.samplers.sampler_object("euler"), sigmas, latent).result[0]
    assert torch.isfinite(result["samples"]).all()


def test_a_noise_mask_on_the_latent_bounds_the_edit(model, latent, sigmas, encode, concept):
    mask = torch.zeros(1, 256, 256)
    mask[:, :, :128] = 1
    bounded = latent | {"noise_mask": mask}
    inversion = run("LEDITS_Invert", model=model, latent=bounded, sigmas=sigmas, negative=encode(""))[0]
    concepts = concept("a green circle", mask_mode="none")
    edited, _, used, joined = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)
    changed = (edited["samples"] - latent["samples"]).abs().amax((0, 1))
    assert changed[:, 17:].max() < 1e-5
    assert changed[:, :15].max() > 1e-2
    assert (used == joined).all()
    assert used[0, :, 140:].max() == 0
    assert used[0, :, :112].min() == 1


def test_nothing_is_left_on_the_model(model, inversion, concept):
    before = copy.copy(model.model_options["transformer_options"]), {kind: dict(keys) for kind, keys in model.wrappers.items()}
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle"))
    assert (model.model_options["transformer_options"], {kind: dict(keys) for kind, keys in model.wrappers.items()}) == before


def test_an_exception_in_mid_run_leaves_nothing_behind(model, inversion, concept):
    good = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle"))[0]
    broken = model.clone()

    def fail(*args):
        raise RuntimeError("another pack's patch failed")

    broken.set_model_attn2_patch(fail)
    with pytest.raises(RuntimeError, match="another pack's patch failed"):
        run("LEDITS_Edit", model=broken, inversion=inversion, concepts=concept("a green circle"))
    again = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle"))[0]
    assert torch.equal(again["samples"], good["samples"])
