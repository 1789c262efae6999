"""Maps in colors and masks over images."""

import importlib

from scripts.host.in_comfy import pack

import pytest
import torch
from matplotlib import colormaps

heatmap, panels, readings = (
    importlib.import_module(f"{pack().__name__}.nodes.comfyui.images.{name}") for name in ("heatmap", "panels", "readings")
)


def test_the_colors_are_those_of_matplotlib():
    reference = torch.tensor(colormaps["inferno"].colors)
    ramp = torch.linspace(0, 1, len(reference)).view(1, 1, -1)
    assert (heatmap.apply_colormap(ramp)[0, 0] - reference).abs().max() < 0.006  # one and a half of the 255 steps that a screen has


def test_colors_rise_in_brightness_and_stay_in_range():
    ramp = heatmap.apply_colormap(torch.linspace(-0.1, 1.1, 500).view(1, 1, -1))
    brightness = ramp @ torch.tensor([0.30, 0.59, 0.11])
    assert (brightness.diff() > -1e-3).all()
    assert brightness[0, 0, 0] < 0.02
    assert brightness[0, 0, -1] > 0.9
    assert 0 <= ramp.min() <= ramp.max() <= 1


def test_opacity_0_and_1():
    image, colors = torch.rand(1, 4, 4, 3), torch.rand(2, 4, 4, 3)
    assert torch.equal(heatmap.overlay(image, colors, 0.0), image.expand(2, -1, -1, -1))
    assert torch.equal(heatmap.overlay(image, colors, 1.0), colors)


BLOCK = torch.zeros(1, 40, 60)
BLOCK[:, 10:20, 30:50] = 1


@pytest.mark.parametrize("shade", [0.0, 0.5, 1.0])
def test_a_mask_is_tinted_between_a_white_line_inside_and_a_black_one_outside(shade):
    drawn = heatmap.draw_masks(torch.full((1, 40, 60, 3), shade), BLOCK)[0]
    white, black = (torch.zeros(40, 60, dtype=torch.bool) for _ in range(2))
    white[10:20, 30:50], white[11:19, 31:49] = True, False
    black[9:21, 29:51], black[10:20, 30:50] = True, False
    assert (drawn[white] == 1).all()
    assert (drawn[black] == 0).all()
    inside = drawn[11:19, 31:49]
    assert (inside.amax(-1) - inside.amin(-1) > 0.4).all()
    far = BLOCK[0] + black == 0
    assert (drawn[far] == shade).all()


def test_lines_grow_with_the_image_and_stop_at_its_border():
    whole = heatmap.draw_masks(torch.zeros(1, 640, 640, 3), torch.ones(1, 640, 640))
    assert len(whole.flatten(0, 2).unique(dim=0)) == 1
    half = torch.ones(1, 640, 640)
    half[:, :, :320] = 0
    row = heatmap.draw_masks(torch.full((1, 640, 640, 3), 0.5), half)[0, 300]
    assert (row == 1).all(-1).sum() == (row == 0).all(-1).sum() == 4


def test_a_gray_mask_is_tinted_less():
    weak, full = (heatmap.draw_masks(torch.zeros(1, 40, 60, 3), BLOCK * strength)[0, 15, 40, 0].item() for strength in (0.5, 1.0))
    assert 0 < weak == pytest.approx(full / 2)


@pytest.mark.parametrize("side", [8, 48])
def test_readings_say_what_stands_where_on_the_sheet(side):
    """For each image and word a byte for each cell, fine maps in 32 of them; each panel where the sheet has it."""
    maps, picture = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 300, 280, 3)
    sheet = panels.contact_sheet([picture, picture + 0.2, picture + 0.4], ["a", "red", "circle"], 2)
    found = readings.readings(["a", "red", "circle"], maps, picture, sheet, 2)
    assert (found["words"], found["columns"], found["width"]) == (["a", "red", "circle"], 2, sheet.shape[2])
    width, height = found["panel"]
    for number in range(3):
        left, top = (round(number % 2 * found["pitch"][0]), round(number // 2 * found["pitch"][1]))
        assert (sheet[:, top : top + height, left : left + width] == 0.2 * number).all()
    cells = min(side, 32)
    assert found["cells"] == [cells, cells]
    for image in range(2):
        for word in range(3):
            values = torch.tensor(list(bytes.fromhex(found["values"][image][word]))).reshape(cells, cells) / 255
            wanted = torch.nn.functional.adaptive_avg_pool2d(maps[image, word][None], cells)[0]
            assert (values - wanted).abs().max() < 0.5 / 255 + 1e-6
