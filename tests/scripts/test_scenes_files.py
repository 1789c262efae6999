"""What the repository keeps of the scenes: a checkpoint that draws what it is asked for, a classifier that sees it, and a few photos."""

from scripts.host import in_comfy

import numpy as np
import pytest
from safetensors import safe_open

from scripts.paths import CHECKOUT, SCENES_CHECKPOINT, SCENES_CLASSIFIER
from scripts.scenes.classifier import NAMES, load_classifier, look, share_of
from scripts.scenes.measure import generate
from scripts.scenes.objects import COLOURS
from scripts.scenes.shown import DEMO, SHOWN

CAPTIONS = {
    "a red car on grass": ("car", "red", "grass"),
    "a blue suitcase on a wooden table": ("suitcase", "blue", "wood"),
    "a penguin on snow": ("penguin", None, "snow"),
    "a sunflower on sand": ("sunflower", None, "sand"),
}


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(SCENES_CLASSIFIER)


def test_files_are_small_and_name_the_licence_of_the_renders():
    assert SCENES_CHECKPOINT.stat().st_size < 20e6
    assert SCENES_CLASSIFIER.stat().st_size < 2e6
    with safe_open(SCENES_CHECKPOINT, "np") as file:
        assert "MIT License, Copyright (c) Microsoft" in file.metadata()["trained_on"]
    notice = (CHECKOUT / "docs" / "LICENSE-fluent-emoji.txt").read_text()
    assert "Copyright (c) Microsoft Corporation" in notice
    assert SCENES_CHECKPOINT.name in notice


def test_the_checkpoint_draws_what_it_is_asked_for(classifier):
    model, clip, vae = in_comfy.load_checkpoint(SCENES_CHECKPOINT)
    assert type(model.model.latent_format).__name__ == "ScenesLatent"
    pictures = generate(model, clip, vae, list(CAPTIONS), seed=1)
    for (objects, floor), (name, colour, asked_floor) in zip(look(classifier, pictures), CAPTIONS.values(), strict=True):
        assert name in objects
        assert objects[name].colour == colour
        assert floor == asked_floor


@pytest.mark.parametrize("scene", SHOWN, ids=lambda scene: scene.name)
def test_the_photos_show_what_is_to_change(scene, classifier):
    photo = scene.photo()
    assert photo.shape == (256, 256, 3)
    assert 0.05 < scene.region().mean() < 0.6
    ((objects, floor),) = look(classifier, photo[None])
    if scene.kind == "floor":
        assert floor in scene.where or (scene.where == "a tiled floor" and floor == "tiles")
        return
    words = scene.where.split()
    (name,) = [name for name in objects if name == " ".join(words[1:]) or name == " ".join(words[2:])]
    assert objects[name].colour == next((word for word in words if word in COLOURS), None)
    assert scene.asked_region().sum() <= scene.region().sum()
    asked = share_of(classifier, photo, scene.asked_region(), *scene.shows)
    assert asked < 0.1, "what is asked for is not there yet"
    assert scene.shows[0] in NAMES


def test_a_share_counts_only_cells_of_the_object_and_its_colour(classifier):
    photo, region = next((scene.photo(), scene.asked_region()) for scene in SHOWN if scene.kind == "recolour")
    name = next(scene.shows[0] for scene in SHOWN if scene.kind == "recolour")
    before = next(scene.where.split()[1] for scene in SHOWN if scene.kind == "recolour")
    assert share_of(classifier, photo, region, name, before) > 0.9
    assert share_of(classifier, photo, region, "camera", None) == 0
    assert share_of(classifier, np.zeros_like(photo), region, name, before) < 0.1


def test_the_demo_replaces_a_thing():
    assert DEMO in SHOWN
    assert DEMO.kind == "replace"
