"""The third subject: edits of scenes, here of stand-ins for the renders, by the checkpoint that was trained on the real ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.quality import judge_scenes
from benchmarks.quality.checkpoint import latent_of
from benchmarks.quality.edits import SCORED, TUNING, make_edits, taken_back
from benchmarks.quality.methods import FLOWEDIT, FOUND, IMG2IMG, INPAINT, METHODS, NAMED, PUBLISHED, TRUE_MASK, UNNAMED, method
from benchmarks.quality.references import Reference, _source_of
from benchmarks.quality.scenes import KINDS, make_edit
from benchmarks.quality.settings import STARTS, edit_requests, load
from benchmarks.quality.work import Job, make
from scripts.scenes import shown
from scripts.scenes.classifier import CELLS, Seen
from scripts.scenes.train import SEED as TRAINED
from support.renders import drawn_renders

SETTING = replace(STARTS["scenes"], steps=3)


@pytest.fixture(scope="module", autouse=True)
def stand_ins(tmp_path_factory):
    with drawn_renders(tmp_path_factory.mktemp("renders")):
        yield


@pytest.fixture(scope="module")
def edits():
    return make_edits(SCORED, 6, "scenes")


def of_kind(edits, kind):
    return [edit for edit in edits if edit.kind == kind]


def test_every_kind_is_there_and_comes_back_the_same(edits):
    assert len({SCORED, TUNING, TRAINED}) == 3
    assert shown.SEED == SCORED, "the pages show scored edits"
    assert [edit.kind for edit in edits[:7]] == list(KINDS)
    assert make_edit(SCORED, "add", 4) == next(edit for edit in edits if edit.name == "add-004")
    assert len({edit.name for edit in edits}) == len(edits)


def test_changes_say_what_becomes_what(edits):
    for edit in edits:
        for change in edit.changes:
            assert change.region.any()
            assert (edit.region & change.region).sum() == change.region.sum()
            assert change.before is None or change.before.phrase in edit.caption
            assert change.after is None or change.after.phrase in edit.asked_caption
        assert edit.photo.shape == edit.asked_photo.shape == (256, 256, 3)
    for edit in of_kind(edits, "two"):
        first, second = edit.changes
        assert first.before.name == first.after.name
        assert second.before.name != second.after.name
        assert not (first.region & second.region).all()
    assert all(change.after is None for edit in of_kind(edits, "remove") for change in edit.changes)
    assert all(change.before is None for kind in ("add", "accessory") for edit in of_kind(edits, kind) for change in edit.changes)


def test_what_is_added_may_stand_anywhere_beside_the_other(edits):
    for edit in of_kind(edits, "add"):
        (other,) = edit.others
        added = edit.changes[0].after
        assert not edit.region[:, other.x].any()
        assert edit.region[:, added.x].all()


def test_requests_name_floors_and_accessories(edits):
    floor, accessory = (of_kind(edits, kind)[0] for kind in ("floor", "accessory"))
    assert [request.add for request in edit_requests(floor, SETTING)] == [False, True]
    assert [request.text for request in edit_requests(accessory, SETTING)] == [accessory.changes[0].after.phrase]


def test_what_comes_is_written_as_a_person_would(edits):
    """With its place, or what it shall keep off, and all that the scene shows then."""
    written = replace(SETTING, as_written=True)
    add, accessory, remove, recolour = (of_kind(edits, kind)[0] for kind in ("add", "accessory", "remove", "recolour"))
    for edit, where in ((add, f"-{add.others[0].phrase}"), (remove, remove.changes[0].before.phrase)):
        (request,) = edit_requests(edit, written)
        assert (request.where, request.text, request.add) == (where, edit.asked_caption, True)
    (request,) = edit_requests(accessory, written)
    assert request.where in accessory.caption
    assert request.text == f"{request.where} with {accessory.changes[0].after.phrase}"
    assert edit_requests(recolour, written) == edit_requests(recolour, SETTING)
    assert edit_requests(add, SETTING)[0].where == ""


def test_one_setting_for_all_kinds():
    assert set(load("scenes")) == set(KINDS)
    assert len(set(load("scenes").values())) == 1


@pytest.mark.parametrize("name", METHODS["scenes"])
def test_a_method_changes_the_picture(name, edits):
    edit = of_kind(edits, "replace")[0]
    result = method(name)(edit, SETTING, full=True)
    original = latent_of(edit, "scenes")["samples"]
    assert result.samples.shape == original.shape == (1, 8, 32, 32)
    assert torch.isfinite(result.samples).all()
    assert (result.samples - original).abs().max() > 1e-3
    if name in (FOUND, PUBLISHED, FLOWEDIT):
        assert result.replay_error < 1e-5
    if name in (TRUE_MASK, INPAINT):
        outside = ~torch.from_numpy(edit.region).view(32, 8, 32, 8).any(3).any(1)
        changed = (result.samples - original).abs().amax((0, 1)) > 0.5
        assert changed[outside].float().mean() < 0.1
    assert set(result.masks) >= ({"attention"} if name in (FOUND, UNNAMED, PUBLISHED, NAMED) else set())


def test_a_named_source_gives_its_place_to_what_replaces_it(edits):
    """Both texts of a change have the same attention masks, while the repaired pipeline has one for each."""
    edit = of_kind(edits, "two")[0]
    assert _source_of(edit_requests(edit, SETTING)) == {1: 0, 3: 2}
    assert _source_of(edit_requests(of_kind(edits, "add")[0], SETTING)) == {}
    named, repaired = (getattr(Reference, kind)()(edit, SETTING).masks["attention"] for kind in ("source_named", "repaired"))
    for first, second in ((0, 1), (2, 3)):
        assert torch.equal(named[:, first], named[:, second])
        assert not torch.equal(repaired[:, first], repaired[:, second])


def test_jobs_of_scenes_keep_their_results(edits, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.quality.store.FOLDER", tmp_path)
    job = Job(of_kind(edits, "two")[0], SETTING, (UNNAMED, IMG2IMG))
    make(job, [job.place(name) for name in job.methods])
    assert job.missing(set()).methods == ()
    entry = job.place(UNNAMED).entry()
    overlap = entry.overlaps["attention"]
    assert 0 < overlap.iou <= overlap.ceiling <= 1
    assert 0 < overlap.outside < 1
    assert 10 < entry.return_psnr < 50


def test_an_edit_is_taken_back_where_things_are_exchanged(edits):
    picture = np.zeros((256, 256, 3), np.uint8)
    back = taken_back(of_kind(edits, "two")[0], picture, IMG2IMG)
    edit = back.edit
    assert (back.caption, back.asked_caption) == (edit.asked_caption, edit.caption)
    assert [change.before for change in back.changes] == [change.after for change in edit.changes]
    assert back.photo is picture
    assert back.asked_photo is edit.photo
    for kind in ("add", "remove", "accessory"):
        assert taken_back(of_kind(edits, kind)[0], picture, IMG2IMG) is None


def seen_in(scene, **changes):
    """What a classifier without a fault sees in a scene; `changes` by name replace an object, or remove it if None."""
    masks = scene.draw().masks.reshape(-1, CELLS, 256 // CELLS, CELLS, 256 // CELLS).mean((2, 4)) > 0.45
    found = {item.name: Seen(item.name, cells, item.colour, item.accessory) for item, cells in zip(scene.items, masks, strict=True)}
    return {name: seen for name, seen in (found | changes).items() if seen is not None}


def verdict(edit, monkeypatch, objects, floor):
    monkeypatch.setattr(judge_scenes, "look", lambda classifier, images: [(objects, floor)])
    return judge_scenes.judge(edit, np.zeros((256, 256, 3), np.uint8))


def test_the_asked_scene_succeeds_and_the_photo_does_not(edits, monkeypatch):
    for edit in edits:
        source, target = edit.scene.source, edit.scene.target
        asked = verdict(edit, monkeypatch, seen_in(target), target.room.floor)
        photo = verdict(edit, monkeypatch, seen_in(source), source.room.floor)
        assert asked.success, edit.name
        assert asked.degree == 1
        assert not photo.success, edit.name
        assert asked.others_kept is photo.others_kept is (True if edit.others else None)


def test_damage_beside_the_change_is_noticed(edits, monkeypatch):
    for edit in edits:
        for other in edit.others:
            target = edit.scene.target
            assert verdict(edit, monkeypatch, seen_in(target, **{other.name: None}), target.room.floor).others_kept is False


def test_half_of_an_edit_is_no_success(edits, monkeypatch):
    edit = of_kind(edits, "two")[0]
    objects = seen_in(edit.scene.target)
    second = edit.changes[1]
    del objects[second.after.name]
    half = verdict(edit, monkeypatch, objects, edit.scene.source.room.floor)
    assert (half.success, half.degree) == (False, 0.5)


def test_something_else_in_its_place_is_not_removed(edits, monkeypatch):
    edit = of_kind(edits, "remove")[0]
    (change,) = edit.changes
    cells = change.region.reshape(CELLS, 256 // CELLS, CELLS, 256 // CELLS).mean((1, 3)) > 0.6
    objects = seen_in(edit.scene.target) | {"drum": Seen("drum", cells, None, None)}
    assert not verdict(edit, monkeypatch, objects, edit.scene.source.room.floor).success


def test_an_object_beside_its_place_is_not_there(edits, monkeypatch):
    edit = of_kind(edits, "replace")[0]
    after = edit.changes[0].after
    objects = seen_in(edit.scene.target)
    objects[after.name] = replace(objects[after.name], cells=np.roll(objects[after.name].cells, CELLS // 2, 1))
    assert not verdict(edit, monkeypatch, objects, edit.scene.source.room.floor).success
