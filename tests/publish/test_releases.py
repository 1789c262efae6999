"""Workflow files that people saved with an earlier version load in this one, and mean the same."""

import json

import pytest

from scripts.hold import contract
from scripts.paths import CHECKOUT, RELEASES

RELEASED = sorted(path.parent for path in RELEASES.glob("*/nodes.json"))
each_release = pytest.mark.parametrize("release", RELEASED, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def now(published):
    return contract(published.get("/object_info"))


def test_the_version_of_this_checkout_is_held():
    import tomllib

    assert tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"] in [release.name for release in RELEASED]


@each_release
def test_every_node_still_takes_and_gives_what_it_did(release, now):
    then = json.loads((release / "nodes.json").read_text())
    assert set(then) <= set(now)
    broken = {kind: what for kind in then if (what := differences(then[kind], now[kind]))}
    assert broken == {}


def differences(then, now):
    """What a file of then would miss in the node of now."""
    lost = [name for name, kind in then["inputs"].items() if now["inputs"].get(name) != kind]
    lost += [f"output {name}" for name, kind in then["outputs"] if [name, kind] not in now["outputs"]]
    # Files keep outputs and widgets by their place, so new ones come last.
    if now["outputs"][: len(then["outputs"])] != then["outputs"]:
        lost.append("the order of the outputs")
    if now["widgets"][: len(then["widgets"])] != then["widgets"]:
        lost.append("the order of the widgets")
    lost += [f"{name} is needed" for name in now["needed"] if name not in then["inputs"]]
    return lost + [f"{name}={value}" for name, values in then["choices"].items() for value in values if value not in now["choices"][name]]


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda node: node["inputs"].pop("words"), ["words"]),
        (lambda node: node["inputs"].update(scale="INT"), ["scale"]),
        (lambda node: node["widgets"].insert(2, "strength"), ["the order of the widgets"]),
        (lambda node: node["widgets"].append("strength"), []),
        (lambda node: node["needed"].append("vae"), ["vae is needed"]),
        (lambda node: node["choices"]["direction"].remove("remove"), ["direction=remove"]),
        (lambda node: node["outputs"].insert(0, ["model", "MODEL"]), ["the order of the outputs"]),
    ],
)
def test_a_change_that_breaks_files_would_be_seen(now, change, seen):
    changed = json.loads(json.dumps(now["LEDITS_Concept"]))
    change(changed)
    assert differences(now["LEDITS_Concept"], changed) == seen


@each_release
def test_its_workflow_still_runs(release, published):
    workflow = json.loads((release / "edit.api.json").read_text())
    saved = next(number for number, node in workflow.items() if node["class_type"] == "SaveImage")
    assert published.run(workflow)["outputs"][saved]["images"]
