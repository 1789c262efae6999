"""A sheet of the same edit with several values: each image is that of Edit, from one inversion."""

from dataclasses import replace

from scripts.host.in_comfy import run

import pytest
import torch


@pytest.fixture
def sweep(model, vae, inversion):
    return lambda concepts, **inputs: run(
        "LEDITS_Sweep", **({"model": model, "vae": vae, "inversion": inversion, "concepts": concepts} | inputs)
    )


@pytest.fixture
def alone(model, vae, inversion):
    """The picture of LEDITS++ Edit with one concept changed."""

    def make(concepts, place=0, smoothing=None, **settings):
        changed = replace(concepts[place], settings=replace(concepts[place].settings, **settings))
        if smoothing is not None:
            changed = replace(changed, smoothing=smoothing)
        edited = run("LEDITS_Edit", model=model, inversion=inversion, concepts=(*concepts[:place], changed, *concepts[place + 1 :]))[0]
        with torch.inference_mode():
            return vae.decode(edited["samples"])

    return make


def test_each_picture_is_that_of_an_edit(sweep, alone, concept):
    concepts = concept("a green circle", concepts=concept("a red circle", direction="remove"))
    sheet, pictures = sweep(concepts, concept=1, columns="scale", column_values="2, 5", rows="threshold", row_values="0.7,0.9, 0.95")
    assert len(pictures) == 6
    cells = [{"scale": scale, "threshold": threshold} for threshold in (0.7, 0.9, 0.95) for scale in (2.0, 5.0)]
    for picture, cell in zip(pictures, cells, strict=True):
        assert torch.equal(picture, alone(concepts, 1, **cell))
    assert sheet.shape[0] == 1
    assert sheet.shape[2] == 3 * 256 + 2 * 8
    assert sheet.shape[1] > 3 * 256


def test_each_row_begins_with_the_original(sweep, vae, latent, concept):
    sheet, pictures = sweep(concept("a green circle"), column_values="2, 5", rows="threshold", row_values="0.7, 0.9")
    with torch.inference_mode():
        original = vae.decode(latent["samples"])
    below = (sheet.shape[1] - 8) // 2 + 8  # where the second row begins
    for top in (0, below):
        assert torch.equal(sheet[:, top : top + 256, :256], original)
    assert torch.equal(sheet[:, below : below + 256, 264:520], pictures[2])


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3, 5, 8", (3, 5, 8)),
        ("0.7,0.9", (0.7, 0.9)),
        ("0,7; 0,9", (0.7, 0.9)),
        ("3; 5;", (3, 5)),
        ("5, 3, 5", (5, 3, 5)),
        ("3，5、8", (3, 5, 8)),
        ("3，5；8", (3.5, 8)),
    ],
)
def test_values_keep_their_order_and_take_either_decimal_sign(part, text, values):
    assert part("nodes.sweep")._parse_values("column_values", "scale", text) == values


@pytest.mark.parametrize(("setting", "values"), [("warmup", (0, 2, 4)), ("cooldown", (3, 4, 6)), ("smoothing", (0.0, 0.7, 2.0))])
def test_every_setting_can_be_swept(sweep, alone, concept, setting, values):
    concepts = concept("a green circle", mask_mode="attention")
    _, pictures = sweep(concepts, columns=setting, column_values=", ".join(map(str, values)))
    for picture, value in zip(pictures, values, strict=True):
        assert torch.equal(picture, alone(concepts, **{setting: value}))
    assert not torch.allclose(pictures[0], pictures[-1], atol=1e-2)


@pytest.mark.parametrize(
    ("setting", "values", "batches"),
    [
        # Six steps, active from the third: each edit asks for its own four.
        ("scale", "2, 4, 6", [2] * 12),
        # Steps before the first concept cost nothing; after the last one the base alone is asked.
        ("warmup", "3, 5", [2, 2, 2, 2]),
        ("cooldown", "4, 6", [2, 2, 1, 1, 2, 2, 2, 2]),
    ],
)
def test_each_edit_asks_for_its_own_steps(calls, sweep, inversion, concept, setting, values, batches):
    counted, sizes = calls
    sweep(concept("a green circle"), model=counted, inversion=inversion, columns=setting, column_values=values)
    assert sizes == batches


def test_progress_counts_the_whole_sheet(sweep, concept, monkeypatch):
    import latent_preview

    seen = []
    monkeypatch.setattr(latent_preview, "prepare_callback", lambda model, steps: lambda step, x0, x, total: seen.append((step, total)))
    sweep(concept("a green circle"), column_values="2, 4, 6")
    assert seen == [(step, 18) for step in range(18)]


def test_pictures_of_a_batch_have_a_sheet_each(sweep, model, vae, photo, sigmas, encode, concept):
    with torch.inference_mode():
        latents = {"samples": vae.encode(torch.cat([photo, photo.flip(2)]))}
    pair = run("LEDITS_Invert", model=model, latent=latents, sigmas=sigmas, negative=encode(""))[0]
    sheet, pictures = sweep(concept("a green circle"), inversion=pair, column_values="2, 4")
    assert len(sheet) == 2
    assert [len(picture) for picture in pictures] == [2, 2]
