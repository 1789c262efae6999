"""Each method's strengths, and the picture of the curves."""

from PIL import Image

from benchmarks.quality.curves import FACTORS, VARIED, draw
from benchmarks.quality.methods import FLOWEDIT, IMG2IMG, METHODS
from benchmarks.quality.settings import load


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
    draw({name: [point | {"success": factor / 3} for factor in FACTORS] for name in VARIED}, 42, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size[0] > 800
