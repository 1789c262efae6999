"""Every method on one edit, in few steps: pictures, masks, replay; the same way as the node that a user takes."""

from dataclasses import replace
from functools import partial

from scripts.host.in_comfy import run

import numpy as np
import pytest
import torch

from benchmarks.quality import ours
from benchmarks.quality.checkpoint import latent_of, loaded, picture_of
from benchmarks.quality.drawings import make_edit
from benchmarks.quality.edits import TUNING
from benchmarks.quality.methods import FOUND, IMG2IMG, METHODS, OURS, REPAIRED, SHIPPED, TRUE_MASK, method
from benchmarks.quality.references import Reference
from benchmarks.quality.scores import Overlap, iou
from benchmarks.quality.settings import MASK_MODES, Setting, edit_requests
from benchmarks.quality.store import Entry, Place
from benchmarks.quality.work import Job, make
from scripts.small_model.drawings import coverage

SETTING = Setting(steps=4, skip=0.1, warmup=1)
EDIT = make_edit(TUNING, "colour", 0)


@pytest.mark.parametrize("name", METHODS["unet"])
def test_a_method_changes_the_picture(name):
    result = method(name)(EDIT, SETTING)
    original = latent_of(EDIT)["samples"]
    assert result.samples.shape == original.shape
    assert (result.samples - original).abs().max() > 1e-3
    assert picture_of(result.samples).shape == (256, 256, 3)


@pytest.mark.parametrize("mode", MASK_MODES)
@pytest.mark.parametrize("name", [OURS, SHIPPED, REPAIRED])
def test_masks_of_every_mode_and_step(name, mode):
    result = method(name)(EDIT, replace(SETTING, mask_mode=mode), full=True)
    asked = edit_requests(EDIT, SETTING)
    assert set(result.masks) == set(MASK_MODES)
    for masks in result.masks.values():
        assert masks.shape == (len(SETTING.active_steps), len(asked), 32, 32)
        assert masks.dtype == torch.bool
    assert (result.masks["intersect"] <= result.masks["attention"]).all()
    assert result.masks["attention"].flatten(2).any(-1).all()
    assert result.masks["noise"].flatten(2).any(-1).all()
    assert result.grid == (8, 8)
    assert result.replay_error is not None
    if name == OURS:
        assert result.replay_error < 1e-5


@pytest.mark.parametrize("mode", MASK_MODES)
@pytest.mark.parametrize("name", ["as_shipped", "repaired"])
def test_masks_are_those_that_the_reference_used(name, mode):
    reference = getattr(Reference, name)()
    setting = replace(SETTING, mask_mode=mode)
    masks = reference(EDIT, setting).masks[mode]
    used = reference._pipeline(setting.subject, setting.steps, setting.skip).activation_mask[setting.warmup :, :, 0, 0] > 0.5
    # The pipeline notes nothing for the steps in which its attention mask stands alone.
    noted = used.flatten(1).any(1)
    assert noted.any()
    assert torch.equal(masks[noted], used[noted])


@pytest.mark.parametrize("mode", MASK_MODES)
def test_masks_are_those_that_the_edit_node_shows(mode):
    setting = replace(SETTING, mask_mode=mode)
    concepts = ours._concepts(EDIT, setting, partial(ours._own_place, EDIT, setting))
    inversion = ours._inversion(EDIT, "unet", setting.steps, setting.skip)
    shown = run("LEDITS_Edit", model=loaded()[0], inversion=inversion, concepts=concepts, masks="last step")
    result = method(OURS)(EDIT, setting)
    assert torch.equal(result.samples, shown[0]["samples"])
    assert torch.equal(result.masks[mode][-1], shown[2][:, ::8, ::8] > 0.5)


def test_a_look_at_the_photo_says_where():
    """An object is changed where it is, in every step; an added one keeps off those that are there."""
    looking = replace(SETTING, look=0.35, resolution=16)
    masks = method(OURS)(EDIT, looking).masks["attention"]
    assert (masks == masks[:1]).all()
    assert iou(masks[0, 0].numpy(), EDIT.region) > 0.5

    addition = make_edit(TUNING, "add", 0)
    there = torch.from_numpy(coverage(addition.others[0]) >= 0.5)
    free = ours._beside(addition, looking)[0] > 0.5
    assert free[there].float().mean() < 0.1
    assert free[~there].float().mean() > 0.85


def test_a_place_is_found_by_its_name_alone():
    result = method(FOUND)(EDIT, replace(SETTING, area=5.0, resolution=8))
    masks = result.masks["attention"]
    assert (masks == masks[:1]).all()
    assert iou(masks[0, 0].numpy(), EDIT.region) > 0.6


def test_what_is_added_keeps_off_what_is_there():
    addition = make_edit(TUNING, "add", 0)
    masks = method(FOUND)(addition, replace(SETTING, area=5.0, resolution=8)).masks["attention"]
    there = np.kron(masks[0, 0].numpy(), np.ones((8, 8))) < 0.5
    truth = coverage(addition.others[0]) >= 0.5
    assert there[truth].mean() > 0.9
    assert there[~truth].mean() < 0.25


def test_true_masks_leave_the_rest_alone():
    result = method(TRUE_MASK)(EDIT, SETTING)
    changed = (result.samples - latent_of(EDIT)["samples"]).abs().amax((0, 1)) > 0.5
    region = torch.from_numpy(EDIT.region).view(32, 8, 32, 8).any(3).any(1)
    assert changed[region].any()
    assert changed[~region].float().mean() < 0.1


def test_repaired_and_ours_begin_alike():
    """The same levels, and masks that agree at the first step, where both are at the inversion's own state."""
    setting = replace(SETTING, named_words=False, warmup=0)
    found = [method(name)(EDIT, setting).masks for name in (OURS, REPAIRED)]
    for mode in MASK_MODES:
        assert (found[0][mode][0] != found[1][mode][0]).float().mean() < 0.01, mode


def test_results_are_kept_and_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.quality.store.FOLDER", tmp_path)
    job = Job(EDIT, SETTING, (TRUE_MASK, IMG2IMG))
    assert job.missing(set()) == job
    make(job, [job.place(name) for name in job.methods])
    assert job.missing(set()).methods == ()
    assert replace(job, setting=replace(SETTING, scale=5.0)).missing(set()).methods == (TRUE_MASK,)
    assert replace(job, setting=replace(SETTING, area=2.0)).missing(set()).methods == ()
    assert job.place(TRUE_MASK).picture().shape == (256, 256, 3)
    assert job.place(TRUE_MASK).entry().replay_error is None


def test_no_two_jobs_make_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.quality.store.FOLDER", tmp_path)
    claimed = set()
    job = Job(EDIT, SETTING, (OURS, TRUE_MASK))
    job.missing(claimed)
    assert replace(job, setting=replace(SETTING, area=2.0)).missing(claimed).methods == (OURS,)
    assert job.missing(claimed).methods == ()


def test_an_entry_comes_back_as_it_was(tmp_path):
    place = Place(tmp_path / "results" / "edit")
    entry = Entry({"noise": Overlap(0.25, 0.5, 0.125, 1.0)}, 1e-7, 3.5, return_psnr=30.0)
    picture = torch.randint(0, 256, (256, 256, 3), dtype=torch.uint8).numpy()
    place.write(picture, torch.rand(32, 32).numpy(), entry)
    assert place.is_done()
    assert place.entry() == entry
    assert (place.picture() == picture).all()
    assert place.mask().shape == (32, 32)
