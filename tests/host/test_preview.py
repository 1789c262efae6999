"""What nodes show of their results: masks over the photo, sheets, and what is written on them."""

import importlib

from scripts.host.in_comfy import execute, pack, pictures_on, run

import comfy.cli_args
import comfy.latent_formats
import comfy.utils
import numpy as np
import pytest
import torch

preview = importlib.import_module(f"{pack().__name__}.nodes.comfyui.preview")
panels = importlib.import_module(f"{pack().__name__}.ledits.panels")
SIZE, GAP = 256, panels.GAP
GREY = torch.full((1, SIZE, SIZE, 3), 0.5)


def shown(node_id, **inputs):
    """A node's results, the pictures that it shows and the text beside them."""
    output = execute(node_id, **inputs)
    return output.result, pictures_on(output), (output.ui or {}).get("text")


def panel(sheet, place, size=SIZE):
    """The picture above the label of a sheet's first row."""
    left = place * (size + GAP)
    return sheet[:size, left : left + size]


def recovered(drawn):
    """The mask that is drawn over an even grey: tinted, or the white line within its edge."""
    return ((drawn.amax(-1) - drawn.amin(-1) > 0.1) | (drawn.amin(-1) > 0.9)).float()


@pytest.fixture
def edit(model, inversion):
    return lambda concepts, **inputs: shown("LEDITS_Edit", **({"model": model, "inversion": inversion, "concepts": concepts} | inputs))


@pytest.fixture
def written(monkeypatch):
    """What is written below pictures."""
    texts = []
    labelled = preview.labelled

    def listen(pictures, labels, columns=1):
        texts.extend(labels)
        return labelled(pictures, labels, columns)

    monkeypatch.setattr(preview, "labelled", listen)
    monkeypatch.setattr(panels, "labelled", listen)
    return texts


@pytest.fixture(scope="module")
def pair(model, vae, photo, sigmas, encode):
    with torch.inference_mode():
        latents = {"samples": vae.encode(torch.cat([photo, photo.flip(2)]))}
    return run("LEDITS_Invert", model=model, latent=latents, sigmas=sigmas, negative=encode(""))[0]


def test_the_masks_drawn_are_the_masks_used(edit, concept, written):
    concepts = concept("a green circle", concepts=concept("a red circle", direction="remove", threshold=0.6, mask_mode="noise"))
    (_, _, masks), (sheet,), text = edit(concepts, image=GREY)
    for place, mask in enumerate(masks):
        assert 0 < mask.mean() < 0.5
        assert torch.equal(recovered(panel(sheet, place)), mask)
    assert not torch.equal(*masks)
    assert sheet.shape[1] == 2 * SIZE + GAP
    assert written == [
        f"remove: a red circle\n{masks[0].mean():.0%} of the picture",
        f"add: a green circle\n{masks[1].mean():.0%} of the picture",
    ]
    assert text is None


def test_around_the_mask_the_photo_is_seen(edit, concept, photo):
    (_, _, masks), (sheet,), _ = edit(concept("a green circle"), image=photo)
    far = torch.nn.functional.max_pool2d(masks[:, None], 9, 1, 4)[0, 0] == 0
    assert (panel(sheet, 0)[far] - photo[0][far]).abs().max() < 1.01 / 255


def test_without_a_photo_it_is_drawn_over_what_previews_show(edit, concept, model, latent):
    (_, _, masks), (sheet,), _ = edit(concept("a green circle"))
    inner = model.model.process_latent_in(latent["samples"])
    kind = model.model.latent_format
    rough = (inner[0].movedim(0, -1) @ torch.tensor(kind.latent_rgb_factors) + torch.tensor(kind.latent_rgb_factors_bias or 0.0) + 1) / 2
    large = torch.nn.functional.interpolate(rough.clamp(0, 1).movedim(-1, 0)[None], size=(SIZE, SIZE), mode="bilinear")[0].movedim(0, -1)
    far = torch.nn.functional.max_pool2d(masks[:, None], 9, 1, 4)[0, 0] == 0
    assert (panel(sheet, 0)[far] - large[far]).abs().max() < 3 / 255


@pytest.mark.parametrize("with_photo", [False, True])
def test_showing_asks_the_networks_nothing(calls, concept, inversion, photo, with_photo, monkeypatch, vae):
    counted, sizes = calls
    concepts = concept("a green circle")
    sampler, sigmas, start, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    guider = run("LEDITS_MaskedGuider", model=counted, inversion=inversion, concepts=concepts)[0]
    with torch.inference_mode():
        guider.sample(noise.generate_noise(start), start["samples"], sampler, sigmas, disable_pbar=True)
    needed = list(sizes)
    sizes.clear()
    for coder in ("encode", "decode"):
        monkeypatch.setattr(type(vae), coder, lambda *arguments: pytest.fail("the VAE was asked"))
    _, pictures, _ = shown("LEDITS_Edit", model=counted, inversion=inversion, concepts=concepts, **({"image": photo} if with_photo else {}))
    assert len(pictures) == 1
    assert sizes == needed


def test_a_replay_shows_nothing(edit, photo):
    for inputs in ({}, {"image": photo}):
        _, pictures, text = edit((), **inputs)
        assert pictures == []
        assert text is None


def test_a_concept_that_never_acts_says_so(edit, concept, written):
    _, (sheet,), _ = edit(concept("a green circle", warmup=100), image=GREY)
    assert (panel(sheet, 0) - GREY[0]).abs().max() < 1 / 255
    assert written == ["add: a green circle\nit never acted"]


@pytest.mark.parametrize("shape", [(512, 512), (64, 64), (263, 260), (1000, 1003)])
def test_the_photo_may_come_in_another_size(edit, concept, shape):
    (_, _, masks), (sheet,), _ = edit(concept("a green circle"), image=torch.full((1, *shape, 3), 0.5))
    assert torch.equal(recovered(panel(sheet, 0)), masks[0])


def test_a_photo_with_transparency_is_shown_without(edit, concept):
    (_, _, masks), (sheet,), _ = edit(concept("a green circle"), image=torch.cat([GREY, GREY[..., :1]], -1))
    assert torch.equal(recovered(panel(sheet, 0)), masks[0])


@pytest.mark.parametrize("photos", [1, 2])
def test_each_picture_of_a_batch_is_shown_with_its_own_masks(edit, concept, pair, photos, written):
    image = torch.cat([GREY, GREY * 0.6])[:photos]
    concepts = concept("a green circle", concepts=concept("a red circle", direction="remove"))
    (_, _, masks), sheets, _ = edit(concepts, inversion=pair, image=image)
    assert len(sheets) == 2
    for number, sheet in enumerate(sheets):
        for place in range(2):
            assert torch.equal(recovered(panel(sheet, place)), masks[2 * place + number])
        assert (panel(sheet, 0)[-1, -1] - image[number % photos, -1, -1]).abs().max() < 1.01 / 255
    assert written[-2:] == ["1 of 2", "2 of 2"]


def test_a_large_batch_says_what_is_not_shown(edit, concept, pair, written, monkeypatch):
    monkeypatch.setattr(preview, "MOST", 1)
    (_, _, masks), sheets, _ = edit(concept("a green circle"), inversion=pair)
    assert len(masks) == 2
    assert len(sheets) == 1
    assert written[-1] == "1 of 2; the other 1 are not shown"


def test_letters_without_a_font_are_named_beside_the_picture(edit, concept, monkeypatch):
    monkeypatch.setattr(panels, "FONTS", ())
    panels._font_for.cache_clear()
    _, (sheet,), text = edit(concept("a \u7ea2 circle"), image=GREY)
    _, (question,), no_text = edit(concept("a ? circle"), image=GREY)
    panels._font_for.cache_clear()
    assert text == ("No font of this computer has the letters \u7ea2: the labels show ? in their place.",)
    assert no_text is None
    # The same letters on both, whatever the share says.
    assert torch.equal(sheet[SIZE : SIZE + 24], question[SIZE : SIZE + 24])


@pytest.fixture
def sent(monkeypatch):
    """The previews that reach the page: how far the bar was, the longest side that it makes of them, and each as [H, W, 3] in 0..1."""
    messages = []

    def listen(value, total, preview, node_id=None):
        if preview is not None:
            _format, picture, longest = preview
            messages.append((value, total, longest, torch.from_numpy(np.array(picture.convert("RGB"), np.float32)) / 255))

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", listen)
    monkeypatch.setattr(comfy.cli_args.args, "preview_method", comfy.cli_args.LatentPreviewMethod.Latent2RGB)
    return messages


def test_what_is_shown_takes_the_place_of_the_last_preview(edit, concept, sent, model, vae, inversion):
    """The page goes on showing the last preview of a node, so it must be the result."""
    _, (sheet,), _ = edit(concept("a green circle"), image=GREY)
    assert len(sent) == 7
    assert sent[-1][:3] == (6, 6, max(sheet.shape))
    assert (sent[-1][3] - sheet).abs().max() < 1.01 / 255
    sent.clear()
    edit(())
    assert len(sent) == 6, "a replay goes on showing the photo"
    sent.clear()
    _, (sheet,), _ = shown(
        "LEDITS_Sweep", model=model, vae=vae, inversion=inversion, concepts=concept("a green circle"), column_values="2, 4"
    )
    assert sent[-1][:3] == (12, 12, max(sheet.shape))
    assert (sent[-1][3] - sheet).abs().max() < 1.01 / 255


def test_of_a_batch_it_holds_all_pictures(edit, concept, pair, sent):
    _, sheets, _ = edit(concept("a green circle"), inversion=pair)
    assert len(sheets) == 2
    last = sent[-1][3]
    for place, sheet in enumerate(sheets):
        left = place * (sheet.shape[1] + GAP)
        assert (last[: sheet.shape[0], left : left + sheet.shape[1]] - sheet).abs().max() < 1.01 / 255


def test_without_previews_none_is_sent(edit, concept, sent, monkeypatch):
    monkeypatch.setattr(comfy.cli_args.args, "preview_method", comfy.cli_args.LatentPreviewMethod.NoPreviews)
    _, pictures, _ = edit(concept("a green circle"))
    assert len(pictures) == 1
    assert sent == []


def test_latents_whose_colours_are_not_known_are_grey(model, latent):
    strange = model.clone()
    strange.add_object_patch("latent_format", comfy.latent_formats.LatentFormat())
    drawn = preview.latent_colours(strange, latent["samples"])
    assert drawn.shape == (1, 32, 32, 3)
    assert torch.equal(drawn[..., 0], drawn[..., 2])
    assert drawn.max() - drawn.min() > 0.9


def test_latents_of_many_channels_are_shown(model):
    large = model.clone()
    large.add_object_patch("latent_format", comfy.latent_formats.Flux2())
    drawn = preview.latent_colours(large, torch.randn(2, 128, 4, 6))
    assert drawn.shape == (2, 8, 12, 3)
    assert 0 <= drawn.min() < drawn.max() <= 1


@pytest.fixture(scope="module")
def attention(model, latent, clip):
    return run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle")[0]


@pytest.mark.parametrize(
    ("settings", "times"), [({}, 1), ({"binary": False}, 1), ({"width": 64, "height": 64}, 4), ({"width": 2048, "height": 1024}, 0.5)]
)
def test_extract_mask_shows_its_mask_and_map(attention, settings, times):
    (mask, heatmap), (sheet,), _ = shown("LEDITS_ExtractMask", attention=attention, words="circle", **settings)
    height, width = (round(side * times) for side in mask.shape[1:])
    scaled = (
        torch.nn.functional.interpolate(picture.movedim(-1, 1), size=(height, width), mode="area" if times < 1 else "nearest")[0]
        for picture in (mask[..., None].expand_as(heatmap), heatmap)
    )
    for place, picture in enumerate(scaled):
        left = place * (width + GAP)
        assert (sheet[:height, left : left + width] - picture.movedim(0, -1)).abs().max() < 1.01 / 255


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
        result, (sheet,), _ = shown(node_id, **inputs)
        assert (sheet - result[0][0]).abs().max() < 1.01 / 255


@pytest.mark.parametrize(
    ("text", "size", "grid"), [("a red circle", 64, (3, 1)), ("a red circle and a blue square", 64, (3, 3)), ("a red circle", 2048, (3, 1))]
)
def test_heatmaps_can_be_read_at_any_size(model, latent, clip, photo, text, size, grid):
    attention = run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text=text)[0]
    image = torch.nn.functional.interpolate(photo.movedim(-1, 1), size=(size, size)).movedim(1, -1)
    sheet = run("LEDITS_Heatmap", image=image, attention=attention)[0]
    columns, rows = grid
    width = (sheet.shape[2] - (columns - 1) * GAP) // columns
    assert width == max(256, min(size, 4096 // max(grid)))
    assert sheet.shape[1] >= rows * width * 1.1
