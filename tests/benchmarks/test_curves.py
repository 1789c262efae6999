"""Each method's strengths, the best of them for each kind of edit, and the picture of the curves."""

from dataclasses import replace

from PIL import Image

from benchmarks.quality.by_kind import choose
from benchmarks.quality.curves import FACTORS, VARIED, draw
from benchmarks.quality.edits import SCORED, TUNING, make_edits
from benchmarks.quality.methods import FLOWEDIT, IMG2IMG, METHODS
from benchmarks.quality.report import Score
from benchmarks.quality.settings import load
from benchmarks.quality.store import Entry
from benchmarks.quality.verdict import Verdict


def test_strengths_grow_and_hold_the_tables_setting():
    setting = load("scenes")["replace"]
    for name, vary in VARIED.items():
        settings = vary(setting)
        strengths = [{FLOWEDIT: one.target_cfg, IMG2IMG: one.strength}.get(name, one.scale) for one in settings]
        assert strengths == sorted(set(strengths))
        assert setting in settings
    assert set(VARIED) <= set(METHODS["scenes"])


def test_a_curve_for_each_method(tmp_path):
    point = {"background_psnr_db": 30.0, "success": 0.5}
    curves = {name: [point | {"success": factor / 3} for factor in FACTORS] for name in VARIED}
    draw(curves, dict.fromkeys(VARIED, 2), 42, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size[0] > 800


def scores(edits, succeeds):
    return [Score(edit, Verdict(succeeds(edit), 0.0, None), 30.0, (1.0, 1.0), Entry({}, None, 0.0)) for edit in edits]


def test_each_kind_is_scored_with_the_strength_that_was_best_on_other_edits():
    others, edits = make_edits(TUNING, 2), make_edits(SCORED, 3)
    best = {kind: number % 3 for number, kind in enumerate(dict.fromkeys(edit.kind for edit in edits))}
    found_on = [scores(others, lambda edit, number=number: best[edit.kind] == number) for number in range(3)]
    scored = [scores(edits, lambda edit, number=number: best[edit.kind] == number and edit.number > 0) for number in range(3)]
    chosen = choose({"ours": found_on}, {"ours": scored})["ours"]
    assert chosen["strengths"] == best
    assert set(chosen["success"].values()) == {round(2 / 3, 4)}


def test_a_background_that_is_lost_is_no_success():
    edits = [edit for edit in make_edits(TUNING, 2) if edit.kind == "colour"]
    weak, strong = scores(edits, lambda edit: edit.number == 0), [replace(one, psnr=15.0) for one in scores(edits, lambda edit: True)]
    assert choose({"ours": [weak, strong]}, {"ours": [weak, strong]})["ours"]["strengths"] == {"colour": 0}
