"""The figures on README and docs/ are those of the JSON files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.paths import CHECKOUT

SCRIPT = CHECKOUT / "scripts" / "figures.py"


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the pages, the results and the script."""
    shutil.copy(CHECKOUT / "README.md", tmp_path)
    for folder in ("docs", "scripts", "bench", "benchmarks/results"):
        if (CHECKOUT / folder).is_dir():
            shutil.copytree(
                CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.jpg", "*.png", "*.safetensors", "__pycache__")
            )
    return tmp_path


def test_the_pages_have_the_measured_figures():
    checked = run(SCRIPT, "--check")
    assert checked.returncode == 0, f"make figures writes them anew\n{checked.stdout}{checked.stderr}"


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("exactness.json", lambda found: found["ours"]["fp32"]["empty prompt"]["karras"].update({"50": 5e-3})),
        ("quality.json", lambda found: found["methods"]["ours"]["success"].update(all=0.123)),
        ("quality.json", lambda found: found["methods"]["img2img"]["success"].update(colour=0.99)),
        ("solvers.json", lambda found: found["runs"][0].update(background_psnr_db=99.9)),
        ("speed.json", lambda found: found["networks"]["SD 1.5 512"]["rows"]["edit_1"].update(diffusers_s=7.0)),
        ("speed.json", lambda found: found["networks"]["SD 1.5 512"]["memory_mb"].update(ours_mb=9999.0)),
        ("speed.json", lambda found: found.update(import_s=0.5)),
    ],
    ids=["exactness", "quality", "kind", "solver", "time", "memory", "import"],
)
def test_a_changed_result_is_reported_and_written(checkout: Path, file: str, change: Callable[[dict[str, Any]], None]):
    script = checkout / "scripts" / "figures.py"
    (path,) = checkout.rglob(file)
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    checked = run(script, "--check")
    assert checked.returncode == 1
    assert "measurements.md" in checked.stdout
    assert run(script).returncode == 0
    assert run(script, "--check").returncode == 0


def test_a_figure_changed_on_a_page_is_reported_and_the_page_is_not_written(checkout: Path):
    page = checkout / "README.md"
    text = re.sub(r"(?<=<!-- figures:summary -->)(.*?)\d\.\d\d", r"\g<1>9.99", page.read_text(encoding="utf-8"), count=1, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")
    checked = run(checkout / "scripts" / "figures.py", "--check")
    assert checked.returncode == 1
    assert "README.md" in checked.stdout
    assert page.read_text(encoding="utf-8") == text


def test_a_marker_that_is_not_closed_is_an_error(checkout: Path):
    page = checkout / "README.md"
    page.write_text(page.read_text(encoding="utf-8").replace("<!-- /figures -->", ""), encoding="utf-8")
    assert run(checkout / "scripts" / "figures.py", "--check").returncode != 0


def test_every_figure_is_on_a_page():
    known = re.findall(r'^    "([\w-]+)": ', SCRIPT.read_text(encoding="utf-8").partition("BLOCKS")[2], re.MULTILINE)
    pages = [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")]
    used = {name for page in pages for name in re.findall(r"<!-- figures:([\w-]+) -->", page.read_text(encoding="utf-8"))}
    assert set(known) == used
