"""The judge on drawings: what was asked succeeds, the untouched picture does not, and damage elsewhere is seen."""

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.quality.edits import SCORED, make_edits
from benchmarks.quality.judge_drawings import is_there, judge, painted_with
from scripts.small_model.drawings import PALETTE

EDITS = make_edits(SCORED, 8)


def blurred(picture):
    """About what the autoencoder leaves of a picture."""
    soft = ndimage.gaussian_filter(picture.astype(float), (1.5, 1.5, 0))
    return (soft + np.random.default_rng(0).normal(scale=6, size=picture.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_the_asked_picture_succeeds_and_the_photo_does_not(edit):
    asked, photo = judge(edit, blurred(edit.asked.image())), judge(edit, blurred(edit.scene.image()))
    assert asked.success
    assert asked.degree > 0.85
    assert not photo.success
    assert photo.degree < asked.degree - 0.1
    for verdict in (asked, photo):
        assert verdict.others_kept is (True if edit.others else None)


@pytest.mark.parametrize("edit", [edit for edit in EDITS if edit.others], ids=lambda edit: edit.name)
def test_another_object_that_changed_is_noticed(edit):
    other = edit.others[0]
    picture = edit.asked.image().copy()
    painted = painted_with(other.colour, picture)
    picture[painted] = next(value for colour, value in PALETTE.items() if colour != other.colour)
    assert judge(edit, picture).others_kept is False
    assert not is_there(other, picture)


def test_half_an_object_is_not_recoloured():
    edit = next(edit for edit in EDITS if edit.kind == "colour")
    picture = edit.scene.image().copy()
    rows = np.flatnonzero(edit.region.any(1))
    middle = rows[len(rows) // 2]
    picture[:middle] = edit.asked.image()[:middle]
    verdict = judge(edit, picture)
    assert not verdict.success
    assert 0.2 < verdict.degree < 0.67


def test_an_object_added_on_the_wrong_side_does_not_count():
    edit = next(edit for edit in EDITS if edit.kind == "add")
    assert not judge(edit, edit.asked.image()[::-1, ::-1]).success


def test_one_of_two_changes_is_not_enough():
    edit = next(edit for edit in EDITS if edit.kind == "two")
    half, region = edit.scene.image().copy(), edit.changes[0].region
    half[region] = edit.asked.image()[region]
    verdict = judge(edit, half)
    assert not verdict.success
    assert verdict.degree == pytest.approx(0.5, abs=0.06)
