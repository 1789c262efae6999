"""The edits: seeded, unseen, and each of them possible."""

import numpy as np
import pytest

from benchmarks.quality.drawings import KINDS, SIDES, make_edit
from benchmarks.quality.edits import SCORED, TUNING, make_edits
from benchmarks.quality.settings import Setting, edit_requests, load
from scripts.small_model.drawings import SHAPES, coverage
from scripts.small_model.measure import SEED as MEASURED
from scripts.small_model.train import PICTURES, training_scene
from scripts.small_model.train import SEED as TRAINED

EACH = 40


@pytest.fixture(scope="module")
def edits():
    return make_edits(SCORED, EACH)


def of_kind(edits, kind):
    return [edit for edit in edits if edit.kind == kind]


def test_there_are_at_least_200_of_five_kinds(edits):
    assert len(edits) >= 200
    assert {edit.kind for edit in edits} == set(KINDS)
    assert len(KINDS) == 5
    assert len({edit.name for edit in edits}) == len(edits)


def test_the_same_edits_come_from_the_same_seed(edits):
    assert make_edits(SCORED, 3) == edits[: 3 * len(KINDS)]
    again = make_edit(SCORED, "add", 7)
    assert again == next(edit for edit in edits if edit.name == again.name)
    assert np.array_equal(again.scene.image(), next(edit for edit in edits if edit.name == again.name).scene.image())


def test_no_picture_was_seen_in_training_or_tuning(edits):
    assert len({SCORED, TUNING, TRAINED, MEASURED}) == 4
    seen = {training_scene(index).items for index in range(PICTURES)} | {edit.scene.items for edit in make_edits(TUNING, EACH)}
    assert not [edit.name for edit in edits if edit.scene.items in seen]
    assert len({edit.scene.items for edit in edits}) == len(edits)


def test_every_edit_asks_for_something_new_and_leaves_the_others(edits):
    for edit in edits:
        colours = [item.colour for item in edit.asked.items]
        assert len(set(colours)) == len(colours), "no two objects of one colour, or the words could mean either"
        assert edit.asked != edit.scene
        assert set(edit.others) <= set(edit.asked.items)
        assert edit.background.items == edit.others


def test_each_kind_is_what_it_says(edits):
    for edit in of_kind(edits, "colour"):
        (change,) = edit.changes
        assert change.after == change.before.recoloured(change.after.colour)
        assert change.after.colour not in [item.colour for item in edit.scene.items]
    for edit in of_kind(edits, "shape"):
        (change,) = edit.changes
        assert change.after == change.before.reshaped(change.after.shape)
        assert change.after.shape != change.before.shape
    for edit in of_kind(edits, "remove"):
        assert len(edit.asked.items) == len(edit.scene.items) - 1 == 1
    for edit in of_kind(edits, "add"):
        assert len(edit.asked.items) == len(edit.scene.items) + 1 == 2
    for edit in of_kind(edits, "two"):
        assert len(edit.changes) == 2
        assert not edit.others


def test_true_regions(edits):
    for edit in edits:
        share = edit.region.mean()
        assert 0.03 < share < (0.35 if edit.kind == "two" else 0.51)
        for item in edit.others:
            assert not (edit.region & (coverage(item) > 0)).any()
        for change in edit.changes:
            if change.after is not None:
                assert (coverage(change.after) >= 0.5)[~change.region].sum() == 0


def test_added_objects_stand_on_an_empty_half(edits):
    sides = {edit.changes[0].side for edit in of_kind(edits, "add")}
    assert sides == set(SIDES)
    assert {edit.changes[0].after.shape for edit in of_kind(edits, "add")} == set(SHAPES)


def test_thresholds_come_from_the_regions_size(edits):
    for edit in edits[:20]:
        for request in edit_requests(edit, Setting(area=1.0)):
            assert request.threshold == pytest.approx(1 - request.change.region.mean())
        for request in edit_requests(edit, Setting(area=1.5)):
            assert request.threshold == pytest.approx(max(0, 1 - 1.5 * request.change.region.mean()))


def test_wishes_remove_the_old_and_add_the_new():
    edit = make_edit(SCORED, "two", 0)
    asked = edit_requests(edit, Setting())
    assert [request.add for request in asked] == [False, True, False, True]
    assert [request.text for request in asked] == [item.phrase for change in edit.changes for item in (change.before, change.after)]
    assert all(set(request.words.split()) < set(request.text.split()) for request in asked)
    assert [request.add for request in edit_requests(edit, Setting(remove_scale=0))] == [True, True]
    assert [request.add for request in edit_requests(make_edit(SCORED, "remove", 0), Setting())] == [False]
    assert [request.add for request in edit_requests(make_edit(SCORED, "add", 0), Setting())] == [True]


def test_a_setting_is_written_down_for_every_kind():
    assert set(load()) == set(KINDS)
