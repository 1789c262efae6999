"""A concept whose place an edit finds by itself, and the background that it keeps."""

import importlib

from scripts.host import in_comfy
from scripts.host.in_comfy import execute, run

import pytest
import torch
from torch.nn import functional as F

from ledits.inversion import trajectory
from scripts.small_model.drawings import coverage

STEPS = 6


@pytest.fixture
def circle(concept):
    """The photo's red circle becomes green."""

    def make(text="a green circle", **settings):
        return concept(text, **({"where": "a red circle", "words": "red circle", "mask_mode": "attention", "threshold": 0.0} | settings))

    return make


@pytest.fixture
def watched(calls, latent, sigmas, encode):
    """The counted model, its calls without those of the inversion, and that inversion."""
    model, sizes = calls
    inversion = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=encode(""))[0]
    sizes.clear()
    return model, sizes, inversion


def overlap(mask, item):
    truth, mask = torch.from_numpy(coverage(item) >= 0.5), mask > 0.5
    return ((mask & truth).sum() / (mask | truth).sum()).item()


def difference(a, b):
    return (a["samples"] - b["samples"]).abs().amax(1)


def test_it_finds_the_thing_without_being_told_its_size(model, inversion, circle, scene):
    masks = run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle())[2]
    assert overlap(masks[0], scene.items[0]) > 0.8
    masks = run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle(where="a blue square", words="blue square"))[2]
    assert overlap(masks[0], scene.items[1]) > 0.6


@pytest.mark.parametrize("minus", ["-", "\N{MINUS SIGN} ", "\N{FULLWIDTH HYPHEN-MINUS}"])
def test_after_a_minus_it_is_anywhere_but_there(model, inversion, circle, scene, minus):
    places = ("a red circle", f"{minus}a red circle")
    at, elsewhere = (run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle(where=where))[2] for where in places)
    assert torch.equal(elsewhere, 1 - F.max_pool2d(at, 33, 1, 16)), "two latent pixels apart"
    assert 0.7 < elsewhere.mean() < 0.95


def test_after_a_minus_something_is_to_come(circle):
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Concept, input 'text': is '', which has no words: write what to add"):
        circle(text="", where="-a red circle")
    assert "'text'" in in_comfy.nodes()["LEDITS_Concept"].validate_inputs(text=" ", where="-a red circle")
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Concept, input 'where': is '', which has no words: write the words of a thing"):
        circle(where=" - ", words="")


def test_an_empty_text_removes_what_is_there(circle):
    (removed,), (written,) = circle(text=""), circle(text="a red circle", direction="remove")
    assert (removed.settings, removed.prompt.text) == (written.settings, "a red circle")
    assert not removed.settings.add


def test_one_call_more_for_all_concepts(watched, circle):
    model, sizes, inversion = watched
    concepts = circle("a yellow square", where="a blue square", words="", warmup=3, concepts=circle())
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)
    # The first step's own call, then one for both places.
    assert sizes == [2, 2, 3, 3, 3]


def test_no_call_where_no_concept_acts(watched, circle):
    model, sizes, inversion = watched
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle(scale=0.0, concepts=circle(warmup=STEPS)))
    assert sizes == []


def test_empty_is_as_published(model, inversion, concept):
    plain, empty = (
        run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle", **extra)) for extra in ({}, {"where": "  "})
    )
    assert torch.equal(plain[0]["samples"], empty[0]["samples"])
    assert torch.equal(plain[2], empty[2])


def test_the_mask_stands_still_and_is_the_one_shown(model, inversion, circle, part, monkeypatch):
    guider, seen = part("nodes.comfyui.sampling.guider"), []
    make = guider.guidance_mask
    monkeypatch.setattr(guider, "guidance_mask", lambda *inputs: seen.append(make(*inputs)) or seen[-1])
    shown = run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle())[2]
    assert len(seen) == STEPS - 2
    for mask in seen:
        assert torch.equal(F.interpolate(mask, size=(256, 256)), shown[None])


def test_the_words_of_the_place_are_in_the_attention(model, inversion, circle):
    attention = run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle())[1]
    (prompt,) = attention.prompts
    assert (prompt.text, prompt.words, prompt.steps) == ("a red circle", ("a", "red", "circle"), 1)
    assert prompt.mean().shape == (1, 16, 16, 3)


def test_the_threshold_found_is_shown(model, inversion, circle, part, monkeypatch):
    edit, shown = part("nodes.edit"), []
    monkeypatch.setattr(edit, "mask_ui", lambda cls, photo, masks, concepts, record, *rest: shown.append((masks, record.thresholds)))
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle(threshold=0.9, concepts=circle()))
    ((masks, (found, given)),) = shown
    assert found.item() == pytest.approx(1 - masks[0].mean().item())
    assert 0.85 < found.item() < 0.95
    assert given is None


def test_it_is_written_below_the_mask(model, inversion, circle, part, monkeypatch):
    preview, labels = part("nodes.comfyui.images.preview"), []
    make = preview.contact_sheet
    monkeypatch.setattr(preview, "contact_sheet", lambda panels, names, columns: labels.extend(names) or make(panels, names, columns))
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle(threshold=0.9, concepts=circle()))
    assert "threshold 0." in labels[0]
    assert "threshold" not in labels[1]


@pytest.mark.parametrize("mode", ["attention", "intersect", "noise"])
def test_a_threshold_of_zero_is_automatic_for_each_steps_maps_too(model, inversion, concept, mode):
    shares = [
        run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a green circle", mask_mode=mode, threshold=threshold))[
            2
        ].mean()
        for threshold in (0.0, 0.01)
    ]
    assert 0 < shares[0] < 0.8
    assert shares[1] > 0.9


def test_every_photo_of_a_batch_has_its_own_place(model, vae, photo, encode, sigmas, circle, scene):
    with torch.inference_mode():
        latents = {"samples": vae.encode(torch.cat([photo, photo.flip(2)]))}
    inversion = run("LEDITS_Invert", model=model, latent=latents, sigmas=sigmas, negative=encode(""))[0]
    masks = run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle())[2]
    assert overlap(masks[0], scene.items[0]) > 0.8
    assert overlap(masks[1].flip(-1), scene.items[0]) > 0.7


@pytest.mark.parametrize("keep", [False, True])
def test_the_guider_equals_edit(model, inversion, circle, keep):
    inputs = {"model": model, "inversion": inversion, "concepts": circle(), "keep_background": keep}
    edited = run("LEDITS_Edit", **inputs)[0]["samples"]
    guider = run("LEDITS_MaskedGuider", **inputs)[0]
    sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    with torch.inference_mode():
        samples = guider.sample(noise.generate_noise(latent), latent["samples"], sampler, sigmas, disable_pbar=True, seed=inversion.seed)
    assert torch.equal(samples, edited)


@pytest.mark.parametrize("margin", [0, 2])
@pytest.mark.parametrize("mode", ["attention", "intersect"])
def test_outside_the_grown_masks_the_inversions_own_state_is_kept(model, inversion, latent, circle, margin, mode):
    concepts = circle(warmup=0, mask_mode=mode)
    edited, _, mask, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts, keep_background=True, margin=margin)
    place = run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle(warmup=0))[2]
    area = F.max_pool2d(place[:, ::8, ::8], 2 * margin + 1, 1, margin) > 0
    *_, end = trajectory(inversion.trajectory)
    own = model.model.process_latent_out(end)
    assert torch.equal(edited["samples"][:, :, ~area[0]], own[:, :, ~area[0]])
    assert difference(edited, latent)[mask[:, ::8, ::8] > 0].max() > 1e-2
    free = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[0]
    assert difference(free, latent)[~area].max() > 1e-3, "what is kept would change"


def test_what_a_concept_changed_stays_when_it_no_longer_acts(model, inversion, latent, circle):
    concepts = circle(warmup=0, cooldown=3)
    edited, _, mask, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts, keep_background=True)
    assert difference(edited, latent)[mask[:, ::8, ::8] > 0].max() > 1e-2


def test_kept_background_costs_no_call_and_changes_no_zero_edit(watched, latent, concept):
    model, sizes, inversion = watched
    concepts = concept("a green circle", warmup=3)
    run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts, keep_background=True)
    assert sizes == [2, 2, 2]
    nothing = concept("a green circle", mask=torch.zeros(1, 256, 256), warmup=0, mask_mode="none")
    edited = run("LEDITS_Edit", model=model, inversion=inversion, concepts=nothing, keep_background=True)[0]
    assert difference(edited, latent).max() < 1e-5


def test_a_noise_mask_limits_beside_it(model, vae, photo, encode, sigmas, circle, latent):
    left = torch.zeros(1, 32, 32)
    left[:, :, :16] = 1
    inversion = run("LEDITS_Invert", model=model, latent=latent | {"noise_mask": left}, sigmas=sigmas, negative=encode(""))[0]
    concepts = circle(warmup=0, mask_mode="attention", threshold=0.5)
    edited, _, mask, _ = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts, keep_background=True)
    changed = difference(edited, latent)
    assert changed[:, :, 16:].max() < 1e-5
    assert changed[:, :, :16][F.max_pool2d(mask[:, ::8, ::8], 3, 1, 1)[:, :, :16] == 0].max() < 1e-5


def test_random_numbers_and_keyframes_of_hooks_are_as_without_a_look(model, latent, sigmas, encode, concept):
    """A concept that changes nothing still replays the photo, beside patches that draw and LoRAs that change from step to step."""
    import comfy.hooks

    weights = {"diffusion_model.input_blocks.0.0.weight": ("diff", (torch.full((32, 4, 3, 3), 0.05),))}
    hooks = comfy.hooks.create_hook_lora(lora={}, strength_model=1.0, strength_clip=0.0)
    for hook in hooks.hooks:
        hook.weights, hook.need_weight_init = weights, False
    keyframes = comfy.hooks.HookKeyframeGroup()
    for strength, start in ((0.2, 0.0), (0.6, 0.4), (1.0, 0.75)):
        keyframes.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
    hooks.set_keyframes_on_hooks(keyframes)
    negative = [[encoding, options | {"hooks": hooks}] for encoding, options in encode("")]

    drawing = model.clone()
    drawing.set_model_attn1_output_patch(lambda hidden, extra: hidden + 0.01 * torch.randn(hidden.shape[1:]))
    inversion = run("LEDITS_Invert", model=drawing, latent=latent, sigmas=sigmas, negative=negative)[0]
    nothing = {"mask": torch.zeros(1, 256, 256), "warmup": 0}
    edits = (concept("a green circle", **nothing, **extra) for extra in ({}, {"where": "a red circle"}))
    without, found = (run("LEDITS_Edit", model=drawing, inversion=inversion, concepts=concepts)[0]["samples"] for concepts in edits)
    assert torch.equal(without, found)


def test_it_sees_the_photo_through_the_base_prompts_areas(model, latent, sigmas, encode, circle, scene):
    """The place is looked for where the prompt that it differs from counts, with what hangs on it."""
    half = [[encoding, options | {"area": (32, 16, 0, 0), "strength": 1.0}] for encoding, options in encode("")]
    other = [[encoding, options | {"area": (32, 16, 0, 16), "strength": 1.0}] for encoding, options in encode("")]
    inversion = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=half + other)[0]
    masks = run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle(where="a red circle", threshold=0.9))[2]
    assert 0 < masks.mean() < 0.2


def test_extract_mask_finds_a_quantile_too(model, latent, clip, part):
    attention = run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle")[0]
    output = execute("LEDITS_ExtractMask", attention=attention, words="red circle", quantile=0.0)
    mask = output.result[0]
    assert 0 < mask.mean() < 0.5
    assert output.ui["text"] == (f"The quantile found: {1 - mask.mean().item():.2f}",)


@pytest.mark.parametrize("mode", ["noise", "none"])
def test_a_place_without_attention_is_refused_before_and_while_it_runs(concept, mode):
    with pytest.raises(ValueError, match=rf"^LEDITS\+\+ Concept, input 'where': is 'a red circle', which mask_mode '{mode}' does not use"):
        concept("a green circle", where="a red circle", mask_mode=mode)
    node = in_comfy.nodes()["LEDITS_Concept"]
    assert f"mask_mode '{mode}'" in node.validate_inputs(mask_mode=mode, where="a red circle")
    assert node.validate_inputs(mask_mode=mode, where=" ") is True
    assert node.validate_inputs(mask_mode="attention", where="a red circle") is True
    assert "must be one of" in node.validate_inputs(mask_mode="everywhere")
    assert node.validate_inputs() is True, "both over a link"


def test_two_answers_to_where_are_refused(model, latent, clip, circle):
    attention = run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle")[0]
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Concept, input 'where': is 'a red circle', but 'attention' says where already"):
        circle(attention=attention)


def test_words_are_those_of_the_place(circle):
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Concept, input 'words': .*'green'.*a, red, circle"):
        circle(words="green")


def test_a_place_without_words_is_refused(circle):
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Concept, input 'where': is '\(\)', which has no words"):
        circle(where="()", words="")


def test_a_network_without_an_adapter_is_refused(model, inversion, circle, part, monkeypatch):
    monkeypatch.setattr(part("nodes.comfyui.attention.adapters"), "ADAPTERS", [])
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Edit, input 'model': .*cannot use 'where': clear it, and paint a 'mask'"):
        run("LEDITS_Edit", model=model, inversion=inversion, concepts=circle())


def test_maps_of_half_and_a_quarter_of_the_latent(model, part):
    adapters, settings = part("nodes.comfyui.attention.adapters"), importlib.import_module("ledits_pack.ledits.attention").StoreSettings()
    network = model.get_model_object("diffusion_model")
    made = adapters.make_place_adapters(network, settings, 33, 48)
    assert [adapter.map_size(33, 48) for adapter in made] == [(17, 24), (9, 12)]
