"""The drawings, what is seen in them, and the small model's storage."""

import numpy as np
import pytest
import torch

from scripts.small_model.autoencoder import Autoencoder, load_stored_state_dict, stored_state_dict
from scripts.small_model.drawings import PALETTE, RADIUS, SHAPES, SIZE, Item, Scene, cells, coverage, random_scene
from scripts.small_model.see import look, nearest_colour, shape_of


@pytest.fixture(scope="module")
def scenes():
    return [random_scene(np.random.default_rng((3, index)), 1 + index % 2) for index in range(40)]


def test_a_scene_is_always_the_same_picture(scenes):
    assert np.array_equal(scenes[1].image(), Scene(scenes[1].items, scenes[1].background_seed).image())
    assert scenes[1].image().shape == (SIZE, SIZE, 3)


def test_true_regions_hold_the_objects_colour(scenes):
    for scene in scenes:
        colours = nearest_colour(scene.image())
        for item, region in zip(scene.items, scene.masks(), strict=True):
            assert (colours[region] == list(PALETTE).index(item.colour)).mean() > 0.97
            assert region.sum() > 1.8 * RADIUS[0] ** 2
        assert scene.masks().sum(0).max() == 1


def test_the_drawings_are_seen_as_what_they_are(scenes):
    for scene in scenes:
        assert {(seen.colour, seen.shape) for seen in look(scene.image())} == {(item.colour, item.shape) for item in scene.items}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_told_apart_when_their_outline_wavers(shape):
    region = Scene((Item("red", shape, 120, 130, 40),), 0).masks()[0]
    noise = np.random.default_rng(0).normal(scale=0.6, size=region.shape)
    from scipy import ndimage

    wavering = ndimage.gaussian_filter(region + ndimage.gaussian_filter(noise, 4) * 3, 3) > 0.5
    assert shape_of(wavering) == shape


def test_cells_agree_with_the_drawing(scenes):
    for item in scenes[1].items:
        exact = coverage(item).reshape(32, 8, 32, 8).mean((1, 3))
        assert np.abs(cells(item) - exact).max() < 0.4
        assert np.abs(cells(item) - exact).mean() < 0.02


def test_captions_name_every_object(scenes):
    assert scenes[0].caption == scenes[0].items[0].phrase
    assert scenes[1].caption == f"{scenes[1].items[0].phrase} and {scenes[1].items[1].phrase}"


@torch.no_grad()
def test_the_stored_autoencoder_computes_the_same():
    torch.manual_seed(0)
    narrow, pictures = Autoencoder(4, 24, spread=5.0, centre=0.45), torch.rand(1, 3, 32, 32)
    wide = Autoencoder(4, 64, spread=1.0, centre=0.0)
    wide.load_state_dict(stored_state_dict(narrow))
    assert torch.allclose(wide.encode(pictures), narrow.encode(pictures), atol=1e-4)
    assert torch.allclose(wide.decode(wide.encode(pictures)), narrow.decode(narrow.encode(pictures)), atol=1e-4)
    again = load_stored_state_dict(Autoencoder(4, 24, spread=1.0, centre=0.0), stored_state_dict(narrow))
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in narrow.state_dict().items())
