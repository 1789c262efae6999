"""Each method's strengths, the best of them for each kind of edit, and the picture of the curves."""

from dataclasses import replace

from PIL import Image

from benchmarks.quality.by_kind import choose
from benchmarks.quality.curves import FACTORS, VARIED, draw
from benchmarks.quality.edits import SCORED, make_edits
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


def test_each_half_is_scored_with_the_strength_that_was_best_on_the_other():
    """One strength does the even edits of a kind, another the odd ones: so what is chosen on one half fails on the other."""
    edits = make_edits(SCORED, 4)
    split = [scores(edits, lambda edit, half=half: edit.number % 2 == half) for half in (0, 1)]
    chosen = choose({"ours": split})["ours"]
    assert set(map(tuple, chosen["strengths"].values())) == {(1, 0)}
    assert set(chosen["success"].values()) == {0.0}


def test_each_kind_has_its_own():
    edits = make_edits(SCORED, 4)
    best = {kind: number % 3 for number, kind in enumerate(dict.fromkeys(edit.kind for edit in edits))}
    chosen = choose({"ours": [scores(edits, lambda edit, number=number: best[edit.kind] == number) for number in range(3)]})["ours"]
    assert chosen["strengths"] == {kind: [number, number] for kind, number in best.items()}
    assert set(chosen["success"].values()) == {1.0}


def test_a_background_that_is_lost_is_no_success():
    edits = [edit for edit in make_edits(SCORED, 4) if edit.kind == "colour"]
    weak, strong = scores(edits, lambda edit: edit.number < 2), [replace(one, psnr=15.0) for one in scores(edits, lambda edit: True)]
    assert choose({"ours": [weak, strong]})["ours"]["strengths"] == {"colour": [0, 0]}
