"""What nodes show of their results: masks over the image, sheets and their labels."""

import importlib

from scripts.host.in_comfy import execute, pack, pictures_on, run

import comfy.cli_args
import comfy.latent_formats
import comfy.utils
import numpy as np
import pytest
import torch

from ledits.guidance import MASK_MODES

preview = importlib.import_module(f"{pack().__name__}.nodes.comfyui.images.preview")
panels = importlib.import_module(f"{pack().__name__}.nodes.comfyui.images.panels")
fonts = importlib.import_module(f"{pack().__name__}.nodes.comfyui.images.fonts")
SIZE, GAP = 256, panels.GAP
GRAY = torch.full((1, SIZE, SIZE, 3), 0.5)


def show(node_id, **inputs):
    """A node's results, the images that it shows and the text beside them."""
    output = execute(node_id, **inputs)
    return output.result, pictures_on(output), (output.ui or {}).get("text")


def panel(sheet, index, size=SIZE):
    """An image above its label, of a sheet's first row."""
    left = index * (size + GAP)
    return sheet[:size, left : left + size]


def recover_mask(drawn):
    """Where the mask is that is drawn over an even gray: tinted, or the white line inside its edge."""
    return ((drawn.amax(-1) - drawn.amin(-1) > 0.1) | (drawn.amin(-1) > 0.9)).float()


@pytest.fixture
def edit(model, inversion):
    return lambda concepts, **inputs: show("LEDITS_Edit", **({"model": model, "inversion": inversion, "concepts": concepts} | inputs))


@pytest.fixture
def labels(monkeypatch):
    """The labels that were drawn."""
    drawn = []
    add_labels = preview.add_labels

    def record(images, labels, columns=1):
        drawn.extend(labels)
        return add_labels(images, labels, columns)

    monkeypatch.setattr(preview, "add_labels", record)
    monkeypatch.setattr(panels, "add_labels", record)
    return drawn


@pytest.fixture(scope="module")
def pair(model, vae, photo, sigmas, encode):
    with torch.inference_mode():
        latents = {"samples": vae.encode(torch.cat([photo, photo.flip(2)]))}
    return run("LEDITS_Invert", model=model, latent=latents, sigmas=sigmas, negative=encode(""))[0]


def test_the_masks_drawn_are_the_masks_used(edit, concept, labels):
    concepts = concept(
        "a green circle", threshold=0.7, concepts=concept("a red circle", direction="remove", threshold=0.6, mask_mode="noise")
    )
    (_, _, masks, _), (sheet,), text = edit(concepts, image=GRAY, masks="last step")
    for index, mask in enumerate(masks):
        assert 0 < mask.mean() < 0.5
        assert torch.equal(recover_mask(panel(sheet, index)), mask)
    assert not torch.equal(*masks)
    assert sheet.shape[1] == 2 * SIZE + GAP
    assert labels == [
        f"remove: a red circle\n{masks[0].mean():.0%} of the picture",
        f"add: a green circle\n{masks[1].mean():.0%} of the picture",
    ]
    assert text is None


def test_what_a_mask_had_in_a_part_of_the_steps_is_drawn_weaker(edit, concept, labels):
    (_, _, (mask,), _), (sheet,), _ = edit(concept("a green circle", mask_mode="noise", threshold=0.6), image=GRAY)
    drawn = panel(sheet, 0)
    ever = mask > 0
    assert labels == [f"add: a green circle\n{ever.float().mean():.0%} of the picture"]
    # Away from the white line, which is inside the edge.
    inside = torch.nn.functional.max_pool2d((~ever).float()[None], 5, 1, 2)[0] == 0
    tint = drawn[..., 0] - drawn[..., 1]
    assert tint[inside & (mask < 0.5)].mean() < 0.6 * tint[inside & (mask == 1)].mean()
    assert (tint[inside] > 0).all()
    assert (tint[~ever] == 0).all()


def test_the_image_is_unchanged_outside_the_mask(edit, concept, photo):
    (_, _, masks, _), (sheet,), _ = edit(concept("a green circle"), image=photo)
    far = torch.nn.functional.max_pool2d(masks[:, None], 9, 1, 4)[0, 0] == 0
    assert (panel(sheet, 0)[far] - photo[0][far]).abs().max() < 1.01 / 255


def test_without_an_image_masks_are_drawn_over_the_latent_preview(edit, concept, model, latent):
    (_, _, masks, _), (sheet,), _ = edit(concept("a green circle"))
    inner = model.model.process_latent_in(latent["samples"])
    kind = model.model.latent_format
    rough = (inner[0].movedim(0, -1) @ torch.tensor(kind.latent_rgb_factors) + torch.tensor(kind.latent_rgb_factors_bias or 0.0) + 1) / 2
    large = torch.nn.functional.interpolate(rough.clamp(0, 1).movedim(-1, 0)[None], size=(SIZE, SIZE), mode="bilinear")[0].movedim(0, -1)
    far = torch.nn.functional.max_pool2d(masks[:, None], 9, 1, 4)[0, 0] == 0
    assert (panel(sheet, 0)[far] - large[far]).abs().max() < 3 / 255


@pytest.mark.parametrize("with_photo", [False, True])
def test_drawing_calls_no_network(calls, concept, inversion, photo, with_photo, monkeypatch, vae):
    counted, sizes = calls
    concepts = concept("a green circle")
    sampler, sigmas, start, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    guider = run("LEDITS_MaskedGuider", model=counted, inversion=inversion, concepts=concepts)[0]
    with torch.inference_mode():
        guider.sample(noise.generate_noise(start), start["samples"], sampler, sigmas, disable_pbar=True)
    needed = list(sizes)
    sizes.clear()
    for coder in ("encode", "decode"):
        monkeypatch.setattr(type(vae), coder, lambda *arguments: pytest.fail("the VAE was called"))
    _, images, _ = show("LEDITS_Edit", model=counted, inversion=inversion, concepts=concepts, **({"image": photo} if with_photo else {}))
    assert len(images) == 1
    assert sizes == needed


def test_a_replay_shows_nothing(edit, photo):
    for inputs in ({}, {"image": photo}):
        _, images, text = edit((), **inputs)
        assert images == []
        assert text is None


def test_a_concept_that_never_acts_says_so(edit, concept, labels):
    _, (sheet,), _ = edit(concept("a green circle", warmup=100), image=GRAY)
    assert (panel(sheet, 0) - GRAY[0]).abs().max() < 1 / 255
    assert labels == ["add: a green circle\nit never acted"]


@pytest.mark.parametrize("shape", [(512, 512), (64, 64), (263, 260), (1000, 1003)])
def test_the_image_may_have_another_size(edit, concept, shape):
    (_, _, masks, _), (sheet,), _ = edit(concept("a green circle"), image=torch.full((1, *shape, 3), 0.5))
    assert torch.equal(recover_mask(panel(sheet, 0)), (masks[0] > 0).float())


def test_an_alpha_channel_is_ignored(edit, concept):
    (_, _, masks, _), (sheet,), _ = edit(concept("a green circle"), image=torch.cat([GRAY, GRAY[..., :1]], -1))
    assert torch.equal(recover_mask(panel(sheet, 0)), (masks[0] > 0).float())


@pytest.mark.parametrize("photos", [1, 2])
def test_each_image_of_a_batch_is_shown_with_its_own_masks(edit, concept, pair, photos, labels):
    image = torch.cat([GRAY, GRAY * 0.6])[:photos]
    concepts = concept("a green circle", concepts=concept("a red circle", direction="remove"))
    (_, _, masks, _), sheets, _ = edit(concepts, inversion=pair, image=image)
    assert len(sheets) == 2
    for number, sheet in enumerate(sheets):
        for index in range(2):
            assert torch.equal(recover_mask(panel(sheet, index)), (masks[2 * index + number] > 0).float())
        assert (panel(sheet, 0)[-1, -1] - image[number % photos, -1, -1]).abs().max() < 1.01 / 255
    assert labels[-2:] == ["1 of 2", "2 of 2"]


def test_a_large_batch_says_what_is_not_shown(edit, concept, pair, labels, monkeypatch):
    monkeypatch.setattr(preview, "MAX_PREVIEWS", 1)
    (_, _, masks, _), sheets, _ = edit(concept("a green circle"), inversion=pair)
    assert len(masks) == 2
    assert len(sheets) == 1
    assert labels[-1] == "1 of 2; the other 1 are not shown"


def test_letters_without_a_font_are_named_beside_the_image(edit, concept, monkeypatch):
    monkeypatch.setattr(fonts, "SYSTEM_FONTS", ())
    _, (sheet,), text = edit(concept("a \u7ea2 circle"), image=GRAY)
    _, (question,), no_text = edit(concept("a ? circle"), image=GRAY)
    assert text == ("No font on this computer has the letters \u7ea2: the labels show ? instead.",)
    assert no_text is None
    # The same letters on both, whatever the share says.
    assert torch.equal(sheet[SIZE : SIZE + 24], question[SIZE : SIZE + 24])


@pytest.fixture
def sent(monkeypatch):
    """The previews that reach the page: progress, total, the longest side to show, and the image, [H, W, 3] in 0..1."""
    messages = []

    def record(value, total, preview, node_id=None):
        if preview is not None:
            _format, image, longest = preview
            messages.append((value, total, longest, torch.from_numpy(np.array(image.convert("RGB"), np.float32)) / 255))

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", record)
    monkeypatch.setattr(comfy.cli_args.args, "preview_method", comfy.cli_args.LatentPreviewMethod.Latent2RGB)
    return messages


def test_the_result_replaces_the_last_preview(edit, concept, sent, model, vae, inversion):
    """The page keeps showing the last preview of a node, so it must be the result."""
    _, (sheet,), _ = edit(concept("a green circle"), image=GRAY)
    assert len(sent) == 7
    assert sent[-1][:3] == (6, 6, max(sheet.shape))
    assert (sent[-1][3] - sheet).abs().max() < 1.01 / 255
    sent.clear()
    edit(())
    assert len(sent) == 6, "a replay keeps showing the image"
    sent.clear()
    _, (sheet,), _ = show(
        "LEDITS_Sweep", model=model, vae=vae, inversion=inversion, concepts=concept("a green circle"), column_values="2, 4"
    )
    assert sent[-1][:3] == (12, 12, max(sheet.shape))
    assert (sent[-1][3] - sheet).abs().max() < 1.01 / 255


def test_the_last_preview_has_all_images_of_a_batch(edit, concept, pair, sent):
    _, sheets, _ = edit(concept("a green circle"), inversion=pair)
    assert len(sheets) == 2
    last = sent[-1][3]
    for index, sheet in enumerate(sheets):
        left = index * (sheet.shape[1] + GAP)
        assert (last[: sheet.shape[0], left : left + sheet.shape[1]] - sheet).abs().max() < 1.01 / 255


def test_without_previews_none_is_sent(edit, concept, sent, monkeypatch):
    monkeypatch.setattr(comfy.cli_args.args, "preview_method", comfy.cli_args.LatentPreviewMethod.NoPreviews)
    _, images, _ = edit(concept("a green circle"))
    assert len(images) == 1
    assert sent == []


def test_latents_of_unknown_colors_are_gray(model, latent):
    unknown = model.clone()
    unknown.add_object_patch("latent_format", comfy.latent_formats.LatentFormat())
    drawn = preview.latents_to_rgb(unknown, latent["samples"])
    assert drawn.shape == (1, 32, 32, 3)
    assert torch.equal(drawn[..., 0], drawn[..., 2])
    assert drawn.max() - drawn.min() > 0.9


def test_latents_of_many_channels_are_shown(model):
    large = model.clone()
    large.add_object_patch("latent_format", comfy.latent_formats.Flux2())
    drawn = preview.latents_to_rgb(large, torch.randn(2, 128, 4, 6))
    assert drawn.shape == (2, 8, 12, 3)
    assert 0 <= drawn.min() < drawn.max() <= 1


@pytest.fixture(scope="module")
def attention(model, latent, clip):
    return run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle")[0]


@pytest.mark.parametrize(
    ("settings", "times"), [({}, 1), ({"binary": False}, 1), ({"width": 64, "height": 64}, 4), ({"width": 2048, "height": 1024}, 0.5)]
)
def test_extract_mask_shows_its_mask_and_map(attention, settings, times):
    (mask, heatmap), (sheet,), _ = show("LEDITS_ExtractMask", attention=attention, words="circle", **settings)
    height, width = (round(side * times) for side in mask.shape[1:])
    scaled = (
        torch.nn.functional.interpolate(image.movedim(-1, 1), size=(height, width), mode="area" if times < 1 else "nearest")[0]
        for image in (mask[..., None].expand_as(heatmap), heatmap)
    )
    for index, image in enumerate(scaled):
        left = index * (width + GAP)
        assert (sheet[:height, left : left + width] - image.movedim(0, -1)).abs().max() < 1.01 / 255


def test_heatmap_and_sweep_show_their_sheets(attention, photo, model, vae, inversion, concept):
    results = {
        "LEDITS_Heatmap": {"attention": attention, "image": photo},
        "LEDITS_Sweep": {
            "model": model,
            "vae": vae,
            "inversion": inversion,
            "concepts": concept("a green circle"),
            "column_values": "2, 4",
        },
    }
    for node_id, inputs in results.items():
        result, (sheet,), _ = show(node_id, **inputs)
        assert (sheet - result[0][0]).abs().max() < 1.01 / 255


# What an edit's concept may be without making maps, and what is said of it.
WITHOUT_MAPS = {
    "noise": ({"mask_mode": "noise"}, "mask_mode"),
    "none": ({"mask_mode": "none"}, "mask_mode"),
    "scale 0": ({"scale": 0.0}, "scale 0"),
    "warmup": ({"warmup": 6}, "warmup"),
    "attention": ({}, "'attention'"),
    "no concept": (None, "no concept"),
}


@pytest.mark.parametrize("name", WITHOUT_MAPS)
def test_an_edit_without_maps_is_looked_at_all_the_same(name, model, inversion, concept, attention, photo):
    settings, why = WITHOUT_MAPS[name]
    if name == "attention":
        settings = {"attention": attention}
    concepts = () if settings is None else concept("a green circle", **settings)
    edited = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[1]
    assert_shows_the_image_and_says(photo, edited, {}, "'concept' is 0", why)
    assert_a_black_mask_and_says(edited, {}, "'concept' is 0", why)


@pytest.mark.parametrize("texts", [(), ("a red circle",), ("a red circle", "a green circle")], ids=len)
@pytest.mark.parametrize("mode", MASK_MODES)
def test_no_viewer_ends_a_run_whatever_is_bypassed(mode, texts, model, inversion, concept, photo):
    """Whatever mask the concepts make, and however many of a chain of two are left."""
    concepts = ()
    for text in texts:
        concepts = concept(text, mask_mode=mode, warmup=5, concepts=concepts)
    attention = run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts)[1]
    for number in range(2):
        sheet = run("LEDITS_Heatmap", image=photo, attention=attention, concept=number)[0]
        mask = run("LEDITS_ExtractMask", attention=attention, concept=number)[0]
        has_maps = number < len(texts) and mode in ("intersect", "attention")
        assert (sheet.shape[2] > photo.shape[2]) == bool(mask.any()) == has_maps


def assert_shows_the_image_and_says(image, attention, settings, *words):
    (sheet,), shown, (text,) = show("LEDITS_Heatmap", image=image, attention=attention, **settings)
    assert torch.equal(sheet[:, : image.shape[1], : image.shape[2]], image)
    assert len(shown) == len(image)
    assert all(word in text for word in words), text


def assert_a_black_mask_and_says(attention, settings, *words):
    (mask, heatmap), (_,), (text,) = show("LEDITS_ExtractMask", attention=attention, **settings)
    assert mask.shape == (1, settings.get("height", 256), settings.get("width", 256))
    assert heatmap.shape == (*mask.shape, 3)
    assert not mask.any()
    assert all(word in text for word in words), text


@pytest.mark.parametrize("binary", [True, False])
def test_a_concept_that_is_not_there(attention, photo, binary):
    assert_shows_the_image_and_says(photo, attention, {"concept": 3}, "'concept' is 3", "has 1,")
    assert_a_black_mask_and_says(attention, {"concept": 3, "binary": binary, "width": 64, "height": 32}, "'concept' is 3", "has 1,")


def test_a_heatmap_of_what_does_not_fit_shows_the_image(attention, photo, model, latent, clip):
    assert_shows_the_image_and_says(photo.repeat(3, 1, 1, 1), attention, {}, "'image' has 3", "of 1")
    broken = model.clone()
    broken.set_model_attn2_patch(lambda query, key, value, options: (query * float("nan"), key, value))
    unknown = run("LEDITS_ProbeAttention", model=broken, latent=latent, clip=clip, text="a red circle")[0]
    assert_shows_the_image_and_says(photo, unknown, {}, "'attention'", "NaN")


def test_a_concept_without_maps_is_captured_and_looked_at(model, inversion, concept, clip, photo):
    patched, store = run("LEDITS_AttentionStore", model=model)
    edited = run("LEDITS_Edit", model=patched, inversion=inversion, concepts=concept("a green circle", mask_mode="noise"))[0]
    captured = run("LEDITS_CaptureAttention", store=store, latent=edited, clip=clip, text="a green circle")[0]
    assert_shows_the_image_and_says(photo, captured, {}, "'a green circle'", "mask_mode")


@pytest.mark.parametrize(
    ("text", "size", "grid"), [("a red circle", 64, (3, 1)), ("a red circle and a blue square", 64, (3, 3)), ("a red circle", 2048, (3, 1))]
)
def test_heatmaps_are_readable_at_any_size(model, latent, clip, photo, text, size, grid):
    attention = run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text=text)[0]
    image = torch.nn.functional.interpolate(photo.movedim(-1, 1), size=(size, size)).movedim(1, -1)
    sheet = run("LEDITS_Heatmap", image=image, attention=attention)[0]
    columns, rows = grid
    width = (sheet.shape[2] - (columns - 1) * GAP) // columns
    assert width == max(256, min(size, 4096 // max(grid)))
    assert sheet.shape[1] >= rows * width * 1.1
