"""Labels that can be read, on sheets of any shape."""

from pathlib import Path

import matplotlib
import pytest
import torch

from ledits import panels
from ledits.panels import GAP, columns_of, contact_sheet, covering, fitted, labelled, reduced, undrawable

DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
NOWHERE = "\U0010fffe"
"""A letter that no font has."""


def inked(strip):
    """Rows and columns of a label's strip, [H, W, 3], in which something is written."""
    ink = strip.amin(-1) > 0.5
    return ink.any(1).nonzero().flatten(), ink.any(0).nonzero().flatten()


@pytest.fixture
def fonts(monkeypatch):
    """Replaces the computer's fonts."""

    def only(*names):
        monkeypatch.setattr(panels, "FONTS", tuple(map(str, names)))
        panels._font_for.cache_clear()

    yield only
    panels._font_for.cache_clear()


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (2048, 2048), (64, 512), (512, 64), (8, 8)])
@pytest.mark.parametrize("text", ["a", "circle", "extraordinarily-overcomplicated-unabbreviated", "many words, " * 30])
def test_a_label_can_be_read_and_leaves_the_picture_alone(size, text):
    picture = torch.rand(2, *size, 3)
    (made,) = labelled([picture], [text])
    times = max(1, -(-256 // size[1]))
    assert made.shape[2] == size[1] * times
    above, strip = made[:, : size[0] * times], made[0, size[0] * times :]
    assert torch.equal(above[:, ::times, ::times], picture)
    assert torch.equal(made[0, size[0] * times :], made[1, size[0] * times :])
    rows, columns = inked(strip)
    assert 2 <= columns[0] <= columns[-1] < made.shape[2] - 2, "cut at the sides"
    assert 0 < rows[0] <= rows[-1] < len(strip) - 1, "cut above or below"
    assert len(rows) >= made.shape[2] / 17 * 0.4, "too small to read"


def test_labels_of_a_sheet_have_one_size():
    texts = ["nn", "nn\nnn", "n" * 20]
    strips = [panel[0, 256:] for panel in labelled([torch.zeros(1, 256, 256, 3)] * 3, texts)]
    assert len({strip.shape for strip in strips}) == 1
    # The letter n on a single line is as high on each.
    assert len(inked(strips[0])[0]) == len(inked(strips[2])[0])
    assert len(inked(strips[1])[0]) > len(inked(strips[0])[0])


def test_what_is_too_long_is_cut_visibly():
    room, font = 20.0, panels._font_for("x")
    lines = panels._lines("word " * 200, font, room)
    assert len(lines) == panels.MOST_LINES
    assert lines[-1].endswith("...")
    assert all(panels._length(line, font) <= room for line in lines)
    assert panels._lines("two words", font, 100.0) == ["two words"]
    assert panels._lines("two words", font, panels._length("two wo", font)) == ["two", "words"]
    assert "".join(panels._lines("unbroken", font, panels._length("unbrok", font))) == "unbroken"


def drawn(text):
    return labelled([torch.zeros(1, 256, 256, 3)], [text])[0]


def test_letters_that_no_font_has_are_named_and_drawn_as_question_marks(fonts):
    fonts()
    assert undrawable(["a circle", f"\u7ea2 {NOWHERE} \u7ea2a", "\u7ea2"]) == "\u7ea2" + NOWHERE
    assert undrawable(["a circle"]) == ""
    assert torch.equal(drawn("a\u7ea2b"), drawn("a?b"))


def test_a_font_of_the_computer_helps_out(fonts):
    fonts("no such font.ttf", DEJAVU)
    assert undrawable(["\u0436\u00e9"]) == ""
    assert not torch.equal(drawn("\u0436\u00e9"), drawn("??"))
    assert undrawable([f"\u0436{NOWHERE}"]) == NOWHERE
    assert torch.equal(drawn(f"\u0436{NOWHERE}"), drawn("\u0436?"))


@pytest.mark.parametrize(("count", "size", "columns"), [(1, (9, 9), 1), (4, (9, 9), 4), (5, (9, 9), 3), (11, (9, 9), 4), (77, (9, 9), 9)])
def test_many_panels_wrap(count, size, columns):
    assert columns_of(count, *size) == columns
    sheet = contact_sheet([torch.zeros(1, 256, 256, 3)] * count, ["x"] * count, columns)
    rows = -(-count // columns)
    assert sheet.shape[2] == columns * 256 + (columns - 1) * GAP
    panel = labelled([torch.zeros(1, 256, 256, 3)], ["x"])[0].shape[1]
    assert sheet.shape[1] == rows * panel + (rows - 1) * GAP


def test_wide_and_tall_panels_wrap_to_about_a_square():
    assert columns_of(12, 100, 900) < columns_of(12, 100, 100) < columns_of(12, 900, 100)


@pytest.mark.parametrize("size", [(64, 64), (2048, 2048), (2048, 1024), (100, 3000)])
@pytest.mark.parametrize("count", [1, 4, 12, 40])
def test_panels_fit_on_a_sheet(size, count):
    made = fitted(torch.rand(1, *size, 3), count, 2048)
    height, width = made.shape[1:3]
    columns = columns_of(count, height, width)
    assert width >= min(256, size[1] * 4)
    assert height == pytest.approx(width * size[0] / size[1], abs=1)
    assert columns * width <= 2048 or width <= 2 * 256
    if max(size) * count <= 2048 and size[1] >= 256:
        assert (height, width) == size


def test_reducing_keeps_the_mean_and_never_enlarges():
    picture = torch.rand(1, 512, 512, 3)
    half = reduced(picture, 256)
    assert half.shape == (1, 256, 256, 3)
    assert half.mean().item() == pytest.approx(picture.mean().item(), abs=1e-4)
    assert torch.equal(reduced(picture, 4096), picture)


def test_covering_keeps_the_middle():
    picture = torch.rand(1, 263, 260, 3)
    assert torch.equal(covering(picture, 256, 256, spare=8), picture[:, 3:259, 2:258])
    assert torch.equal(covering(picture, 263, 260), picture)
    assert covering(torch.ones(1, 1333, 2000, 3), 832, 1248).shape == (1, 832, 1248, 3)
    assert covering(torch.ones(2, 32, 32, 3), 256, 256).sum() == 2 * 256 * 256 * 3
