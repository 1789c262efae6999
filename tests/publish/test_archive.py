"""What would be published works where nothing else of this repository is."""

import io
import json
import zipfile
from urllib.request import urlopen

from scripts.host.in_comfy import nodes

import numpy as np
from PIL import Image

from scripts.drawn_edit import score
from scripts.paths import CHECKOUT
from scripts.small_model.drawings import TWO_SHAPES

LARGEST = 3_000_000
NEEDED = {"__init__.py", "pyproject.toml", "LICENSE", "README.md", "requirements.txt"}
FOLDERS = {"nodes", "ledits", "workflows", "web", "locales", "subgraphs", "docs", "fleet"}


def test_it_is_small_and_holds_only_what_people_use(archive):
    assert archive.stat().st_size < LARGEST
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
    assert set(names) >= NEEDED
    assert {name.split("/")[0] for name in names if "/" in name} <= FOLDERS
    assert not [name for name in names if name.endswith((".pyc", ".safetensors", ".pt", ".log"))]


def test_unpacked_it_loads_every_node_from_there(published):
    found = published.get("/object_info")
    ours = {kind for kind, node in found.items() if node["python_module"] == "custom_nodes.ledits-pp"}
    assert ours == set(nodes())
    assert not (published.folder / "custom_nodes" / "ledits-pp").is_symlink()
    assert not (published.folder / "custom_nodes" / "ledits-pp" / "tests").exists()


def test_unpacked_its_workflows_help_and_translations_are_served(published):
    workflows = published.get("/workflow_templates")["ledits-pp"]
    assert set(workflows) == {path.stem for path in (CHECKOUT / "workflows").glob("*.json")}
    for language in ("en", "zh"):
        assert "LEDITS_Edit" in published.get("/i18n")[language]["nodeDefs"]
    with urlopen(f"http://127.0.0.1:{published.port}/extensions/ledits-pp/docs/LEDITS_Edit.md") as answer:
        assert answer.read() == (CHECKOUT / "web" / "docs" / "LEDITS_Edit.md").read_bytes()


def test_unpacked_it_runs_the_simple_workflow(published):
    workflow = json.loads((published.folder / "custom_nodes" / "ledits-pp" / "workflows" / "api" / "try_it.json").read_text())
    saved = next(number for number, node in workflow.items() if node["class_type"] == "SaveImage")
    result = published.run(workflow)["outputs"][saved]["images"][0]
    edited = np.asarray(Image.open(io.BytesIO(published.file(result))).convert("RGB"))
    assert score(edited, TWO_SHAPES.image())["inside_target_share"] > 0.8
