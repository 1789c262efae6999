import torch

from ledits.heatmap import colour, labelled, overlay


def test_colours_rise_in_brightness_from_black_to_white():
    ramp = colour(torch.linspace(0, 1, 64).view(1, 1, 64))
    brightness = ramp @ torch.tensor([0.30, 0.59, 0.11])
    assert (brightness.diff() > -1e-3).all()
    assert ramp[0, 0, 0].max() < 0.01
    assert ramp[0, 0, -1].min() > 0.99


def test_opacity_ends():
    picture, colours = torch.rand(1, 4, 4, 3), torch.rand(2, 4, 4, 3)
    assert torch.equal(overlay(picture, colours, 0.0), picture.expand(2, -1, -1, -1))
    assert torch.equal(overlay(picture, colours, 1.0), colours)


def test_labels_leave_the_picture_alone():
    panel = torch.rand(2, 64, 64, 3)
    result = labelled(panel, "circle")
    assert torch.equal(result[:, :64], panel)
    assert result.shape[1] > 64
    assert result[:, 64:].max() > 0.9
