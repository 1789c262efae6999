"""Labels are readable, on sheets of any shape."""

import importlib
from pathlib import Path

from scripts.host.in_comfy import pack

import matplotlib
import pytest
import torch

panels = importlib.import_module(f"{pack().__name__}.nodes.comfyui.images.panels")
fonts = importlib.import_module(f"{pack().__name__}.nodes.comfyui.images.fonts")
GAP = panels.GAP

DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
NO_FONT = "\U0010fffe"
"""A letter that no font has."""


def find_letters(strip):
    """Rows and columns of a label's strip, [H, W, 3], that have letters."""
    letters = strip.amin(-1) > 0.5
    return letters.any(1).nonzero().flatten(), letters.any(0).nonzero().flatten()


@pytest.fixture
def install(monkeypatch):
    """Replaces the system's fonts."""
    return lambda *names: monkeypatch.setattr(fonts, "SYSTEM_FONTS", tuple(map(str, names)))


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (2048, 2048), (64, 512), (512, 64), (8, 8)])
@pytest.mark.parametrize("text", ["a", "circle", "extraordinarily-overcomplicated-unabbreviated", "many words, " * 30])
def test_a_label_is_readable_and_leaves_the_image_unchanged(size, text):
    image = torch.rand(2, *size, 3)
    (labeled,) = panels.add_labels([image], [text])
    factor = max(1, -(-256 // size[1]))
    assert labeled.shape[2] == size[1] * factor
    above, strip = labeled[:, : size[0] * factor], labeled[0, size[0] * factor :]
    assert torch.equal(above, image.repeat_interleave(factor, 1).repeat_interleave(factor, 2))
    assert torch.equal(labeled[0, size[0] * factor :], labeled[1, size[0] * factor :])
    rows, columns = find_letters(strip)
    assert 2 <= columns[0] <= columns[-1] < labeled.shape[2] - 2, "cut at the sides"
    assert 0 < rows[0] <= rows[-1] < len(strip) - 1, "cut above or below"
    assert len(rows) >= labeled.shape[2] / 17 * 0.4, "too small to read"


def test_the_labels_of_a_sheet_have_one_size():
    texts = ["nn", "nn\nnn", "n" * 20]
    strips = [panel[0, 256:] for panel in panels.add_labels([torch.zeros(1, 256, 256, 3)] * 3, texts)]
    assert len({strip.shape for strip in strips}) == 1
    # The letter n on a single line is as high on each.
    assert len(find_letters(strips[0])[0]) == len(find_letters(strips[2])[0])
    assert len(find_letters(strips[1])[0]) > len(find_letters(strips[0])[0])


def test_text_that_is_too_long_is_cut_visibly():
    width, (font, _) = 1280.0, fonts.find_font("x")
    lines = panels._wrap("word " * 200, font, width)
    assert len(lines) == panels.MAX_LINES
    assert lines[-1].endswith("...")
    assert all(font.getlength(line) <= width for line in lines)
    assert panels._wrap("two words", font, 6400.0) == ["two words"]
    assert panels._wrap("two words", font, font.getlength("two wo")) == ["two", "words"]
    assert "".join(panels._wrap("unbroken", font, font.getlength("unbrok"))) == "unbroken"
    assert panels._wrap("", font, width) == [""]


def draw(text):
    return panels.add_labels([torch.zeros(1, 256, 256, 3)], [text])[0]


def find_missing(text):
    return fonts.find_font(text)[1]


def test_letters_that_no_font_has_are_named_and_drawn_as_question_marks(install):
    install()
    assert find_missing(f"\u7ea2 {NO_FONT} \u7ea2a") == "\u7ea2" + NO_FONT
    assert find_missing("a circle") == ""
    assert torch.equal(draw("a\u7ea2b"), draw("a?b"))


def test_a_font_of_the_system_fills_in(install):
    install("no such font.ttf", DEJAVU)
    assert find_missing("\u0436\u00e9") == ""
    assert not torch.equal(draw("\u0436\u00e9"), draw("??"))
    assert find_missing(f"\u0436{NO_FONT}") == NO_FONT
    assert torch.equal(draw(f"\u0436{NO_FONT}"), draw("\u0436?"))


@pytest.mark.parametrize(("count", "size", "columns"), [(1, (9, 9), 1), (4, (9, 9), 4), (5, (9, 9), 3), (11, (9, 9), 4), (77, (9, 9), 9)])
def test_many_panels_wrap(count, size, columns):
    assert panels.count_columns(count, *size) == columns
    sheet = panels.contact_sheet([torch.zeros(1, 256, 256, 3)] * count, ["x"] * count, columns)
    rows = -(-count // columns)
    assert sheet.shape[2] == columns * 256 + (columns - 1) * GAP
    panel = panels.add_labels([torch.zeros(1, 256, 256, 3)], ["x"])[0].shape[1]
    assert sheet.shape[1] == rows * panel + (rows - 1) * GAP


def test_wide_and_tall_panels_wrap_to_about_a_square():
    assert panels.count_columns(12, 100, 900) < panels.count_columns(12, 100, 100) < panels.count_columns(12, 900, 100)


@pytest.mark.parametrize("size", [(64, 64), (2048, 2048), (2048, 1024), (100, 3000)])
@pytest.mark.parametrize("count", [1, 4, 12, 40])
def test_panels_fit_on_a_sheet(size, count):
    height, width = panels.fit(torch.rand(1, *size, 3), 2048, count).shape[1:3]
    columns = panels.count_columns(count, height, width)
    assert width >= min(256, size[1] * 4)
    assert height == pytest.approx(width * size[0] / size[1], abs=1)
    assert columns * width <= 2048 or width <= 2 * 256
    if max(size) * count <= 2048 and size[1] >= 256:
        assert (height, width) == size


def test_downscaling_keeps_the_mean_and_never_upscales():
    image = torch.rand(1, 512, 512, 3)
    half = panels.fit(image, 256)
    assert half.shape == (1, 256, 256, 3)
    assert half.mean().item() == pytest.approx(image.mean().item(), abs=1e-4)
    assert torch.equal(panels.fit(image, 4096), image)


def test_narrow_images_are_upscaled_by_a_whole_factor():
    image = torch.rand(1, 50, 100, 3)
    assert torch.equal(panels.fit(image, 4096), image.repeat_interleave(3, 1).repeat_interleave(3, 2))
    assert panels.fit(image, 280).shape == (1, 140, 280, 3), "a whole factor does not fit"
    assert panels.fit(image, 200).shape == (1, 128, 256, 3), "too narrow for a label"


def test_a_center_crop_keeps_the_middle():
    image = torch.rand(1, 263, 260, 3)
    assert torch.equal(panels.center_crop(image, 256, 256, tolerance=8), image[:, 3:259, 2:258])
    assert torch.equal(panels.center_crop(image, 263, 260), image)
    assert panels.center_crop(torch.ones(1, 1333, 2000, 3), 832, 1248).shape == (1, 832, 1248, 3)
    assert panels.center_crop(torch.ones(2, 32, 32, 3), 256, 256).sum() == 2 * 256 * 256 * 3


def test_images_of_several_heights_are_stacked_on_white():
    images = [torch.zeros(2, height, 5, 3) for height in (3, 4, 2)]
    sheet = panels.stack(images, 2)
    assert sheet.shape == (2, 2 * 4 + GAP, 2 * 5 + GAP, 3)
    expected = torch.ones_like(sheet)
    expected[:, :3, :5] = expected[:, :4, 5 + GAP :] = expected[:, 4 + GAP : 6 + GAP, :5] = 0
    assert torch.equal(sheet, expected)
