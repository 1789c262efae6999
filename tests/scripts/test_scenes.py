"""The scenes: seeds, masks, captions and what is held out, on stand-ins for the renders."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.scenes import objects, scenes
from scripts.scenes.kinds import EDITS, random_edit
from scripts.scenes.rooms import FLOORS, SIZE, WALLS
from support.renders import drawn_renders

SCENES = range(40)


@pytest.fixture(scope="module", autouse=True)
def stand_ins(tmp_path_factory):
    with drawn_renders(tmp_path_factory.mktemp("renders")):
        yield


def scene_of(index: int, count: int | None = None, trained: bool = True) -> scenes.Scene:
    return scenes.random_scene(np.random.default_rng((1, index)), count, trained)


def test_there_are_enough_objects():
    assert len(objects.TRAINED_OBJECTS) >= 40
    assert not set(objects.HELD_OUT_OBJECTS) - set(objects.KINDS)
    assert all(name in objects.TRAINED_OBJECTS for pair in objects.HELD_OUT_PAIRS for name in pair)
    assert all(colour in objects.KINDS[name].colours for name, colour in objects.HELD_OUT_COMBINATIONS)


def test_a_seed_gives_the_same_scene_and_pixels():
    first, again, other = scene_of(3, 2), scene_of(3, 2), scene_of(4, 2)
    assert first == again
    assert first != other
    assert (first.draw().image == again.draw().image).all()
    assert (first.draw().image != other.draw().image).any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_masks_are_exact(count):
    for index in range(6):
        scene = scene_of(index, count)
        layers = scene.draw()
        assert layers.masks.shape == (count, SIZE, SIZE)
        assert layers.masks.any((1, 2)).all()
        assert layers.masks.sum(0).max() == 1, "no pixel belongs to two objects"
        for number in range(count):
            # Without the object nothing changes but its own region and its shadow.
            without = scenes.Scene(scene.items[:number] + scene.items[number + 1 :], scene.room).draw().image
            touched = (layers.objects[number] > 0) | (layers.shadows[number] > 0)
            assert (without == layers.image)[~touched].all()
            inside = layers.masks[number] & (layers.objects[number] > 0.9)
            assert (without != layers.image).any(-1)[inside].mean() > 0.95


def test_a_mask_is_where_the_object_hides_the_room():
    scene = scene_of(5, 1)
    scene = scene.replaced(0, name="teapot", colour="red", accessory=None)
    other = scene.replaced(0, colour="blue")
    layers, changed = scene.draw(), other.draw()
    difference = (layers.image != changed.image).any(-1)
    assert not difference[layers.objects[0] == 0].any(), "a colour changes nothing outside the object"
    assert (layers.masks == changed.masks).all()


def test_shadows_are_on_the_floor_beside_the_objects():
    for index in range(8):
        scene = scene_of(index)
        layers = scene.draw()
        assert layers.shadow_masks.any((1, 2)).all()
        assert not (layers.shadow_masks & layers.masks.any(0)).any()
        assert not layers.shadow_masks[:, : scene.room.horizon - 8].any()


def test_accessories_are_part_of_their_object():
    head = scene_of(2, 1).replaced(0, name="bear", colour=None, accessory="a top hat", base=220, x=128, size=110)
    bare = head.replaced(0, accessory=None)
    with_hat, without = head.draw(), bare.draw()
    assert with_hat.accessories[0].any()
    assert not without.accessories.any()
    assert (with_hat.accessories <= with_hat.objects + 1e-6).all()
    assert (with_hat.masks[0] | (without.masks[0] == 0)).mean() > 0.99, "the head stays where it is"


def test_captions_name_what_is_drawn():
    for index in SCENES:
        scene = scene_of(index)
        full = scenes.full_caption(scene, wall=True).text
        assert FLOORS[scene.room.floor] in full
        assert WALLS[scene.room.wall] in full
        for item in scene.items:
            assert item.phrase in full
            assert (item.accessory is None) or f"{item.name} with {item.accessory}" in full


def test_pieces_of_a_caption_name_their_own_object():
    kinds = set()
    for index in SCENES:
        scene = scene_of(index)
        for seed in range(8):
            caption = scenes.random_caption(scene, np.random.default_rng((seed, index)))
            named = {item.name for item in scene.items}
            for words, target in caption.pieces:
                if target is None:
                    continue
                what, number = target
                if what == "object":
                    item = scene.items[number]
                    assert words.endswith(item.name)
                    assert not any(colour in words.split() for colour in objects.COLOURS if colour != item.colour)
                elif what == "accessory":
                    assert words == scene.items[number].accessory
                elif what == "floor":
                    assert FLOORS[scene.room.floor].endswith(words)
                else:
                    assert WALLS[scene.room.wall].endswith(words)
            mentioned = {name for name in objects.KINDS if f" {name} " in f" {caption.text} ".replace(",", " ")}
            # "bear" is a word of "teddy bear".
            assert mentioned <= named | ({"bear"} if "teddy bear" in named else set())
            kinds |= {kind for kind in ("next to", "to the left of", "a photo of", ",", " on ") if kind in caption.text}
            if "to the left of" in caption.text:
                order = [target[1] for _, target in caption.pieces if target and target[0] == "object"]
                assert scene.items[order[0]].x < scene.items[order[1]].x
    assert len(kinds) == 5


def test_only_the_asked_objects_are_named():
    scene = scene_of(1, 3)
    caption = scenes.random_caption(scene, np.random.default_rng(0), [1])
    assert {target for _, target in caption.pieces if target and target[0] == "object"} == {("object", 1)}


def assert_nothing_held_out(scene: scenes.Scene) -> None:
    names = [item.name for item in scene.items]
    assert not set(names) & set(objects.HELD_OUT_OBJECTS)
    assert not {item.colour for item in scene.items} & set(objects.HELD_OUT_COLOURS)
    assert not {(item.name, item.colour) for item in scene.items} & set(objects.HELD_OUT_COMBINATIONS)
    assert not any(set(pair) <= set(names) for pair in objects.HELD_OUT_PAIRS)


def test_training_never_draws_what_is_held_out():
    for index in range(3000):
        assert_nothing_held_out(scene_of(index))


def test_without_training_everything_is_drawn():
    drawn = [item for index in range(1500) for item in scene_of(index, 3, trained=False).items]
    assert {item.name for item in drawn} == set(objects.KINDS)
    assert set(objects.HELD_OUT_COLOURS) <= {item.colour for item in drawn}


@pytest.mark.parametrize("kind", list(EDITS))
def test_edits_are_seeded_and_change_only_their_region(kind):
    for index in range(4):
        edit = random_edit(kind, index)
        assert edit == random_edit(kind, index)
        assert edit.source != edit.target
        assert_nothing_held_out(edit.source)
        assert_nothing_held_out(edit.target)
        assert all(words in edit.source_prompt for words in edit.remove)
        assert all(words in edit.target_prompt for words in edit.add)
        truth = edit.truth()
        changed = np.abs(truth.before.astype(int) - truth.after).max(-1)
        assert truth.region.any()
        # Beside the region there are only the objects' soft edges and the faint end of a shadow.
        assert (changed[~truth.region] > 40).mean() < 0.01
        assert changed[truth.region].mean() > 4 * changed[~truth.region].mean()


def test_recolouring_keeps_alpha_and_unpainted_parts():
    render = objects.load_render(objects.KINDS["teapot"].render)
    blue = objects.recolour(render, objects.COLOURS["blue"])
    assert (blue[..., 3] == render[..., 3]).all()
    assert np.abs(blue[24, 24, :3] - render[24, 24, :3]).max() < 0.02, "the white spot stays"
    assert blue[40, 32, 2] > 0.5 > blue[40, 32, 0]
