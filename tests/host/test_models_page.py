"""docs/models.md against the families that the tests are of, and the workflows for transformers against it."""

from __future__ import annotations

import json
import re

from scripts.host import in_comfy  # noqa: F401 (ComfyUI must be set to the CPU before the tests import anything of it)

import comfyui_version
import folder_paths
import pytest
from comfy import supported_models

from scripts.paths import CHECKOUT
from support import text_encoders
from support.families import KINDS
from support.inverted import DISTILLED, FAMILIES
from support.transformers import TRANSFORMERS

PAGE = (CHECKOUT / "docs" / "models.md").read_text(encoding="utf-8")
VERSIONS = ("0.16.3", "0.30.0")
LOADED_BY_TYPE = {
    "Flux.2": "Flux.2 dev",
    "Flux.2 Klein": "Flux.2 Klein",
    "HiDream-I1": "HiDream",
    "Ovis-Image": "Ovis-Image",
}
"""Text encoders that ComfyUI knows from what is chosen in its loader, not from the network."""
KIND_OF_WORKFLOW = {
    "flux": "distilled guidance",
    "qwen_image": "true guidance",
    "sd35": "true guidance",
    "z_image_turbo": "few steps",
}


def rows(first: str) -> dict[str, dict[str, str]]:
    """The table whose first column has this name, by row."""
    blocks = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    tables = [[[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()] for block in blocks]
    head, _, *body = next(table for table in tables if table[0][0] == first)
    assert len({row[0] for row in body}) == len(body)
    return {row[0]: dict(zip(head, row, strict=True)) for row in body}


MODELS = rows("model")


def test_every_tested_family_is_listed_and_no_other():
    assert set(MODELS) == set(FAMILIES) | set(KINDS)


def test_what_the_tests_prove_of_every_family_is_said():
    """Each is a parameter of the test that inverts it and edits in noise masks, and its network one of those whose maps are compared."""
    assert {row["inversion and noise masks"] for row in MODELS.values()} == {"yes"}
    with_maps = {family.config.get("image_model", family.base) for family in TRANSFORMERS.values()}
    listed = {name for name, row in MODELS.items() if row["attention masks"] == "yes"}
    assert listed == {name for name, family in FAMILIES.items() if family.config.get("image_model", family.base) in with_maps} | set(KINDS)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.is_there])
def test_words_are_found_where_its_text_encoder_is_tested(name):
    by_tokenizer = {family.tokenizer.rpartition(".")[2]: of for of, family in text_encoders.FAMILIES.items()}
    if name in LOADED_BY_TYPE:
        encoder = LOADED_BY_TYPE[name]
    else:
        target = getattr(supported_models, FAMILIES[name].base)(dict(FAMILIES[name].config)).clip_target({})
        encoder = by_tokenizer[target.tokenizer.__name__]
    assert MODELS[name]["words"] == ("not with transformers 5" if encoder in text_encoders.MISREAD else "yes")
    assert encoder in text_encoders.FAMILIES


def test_guidance():
    assert {name for name, row in MODELS.items() if row["guidance"] == "distilled"} == DISTILLED
    assert {row["guidance"] for row in MODELS.values()} == {"distilled", "true", "few steps"}


def test_since_which_comfyui():
    """On each of the two that are tested."""
    assert {row["since ComfyUI"] for row in MODELS.values()} == set(VERSIONS)
    missing = {name for name, family in FAMILIES.items() if not family.is_there}
    newer = {name for name, row in MODELS.items() if row["since ComfyUI"] == VERSIONS[1]}
    assert missing == (newer if comfyui_version.__version__ == VERSIONS[0] else set())


def bounds(text: str) -> tuple[float, float]:
    low, _, high = text.partition(" to ")
    return float(low), float(high or low)


@pytest.mark.parametrize("name", KIND_OF_WORKFLOW)
def test_the_workflows_start_from_the_values_that_are_said(name):
    row = rows("kind of model")[KIND_OF_WORKFLOW[name]]
    nodes = json.loads((CHECKOUT / "workflows" / "api" / f"{name}.json").read_text()).values()
    used = [node["inputs"] for node in nodes if node["class_type"] in ("LEDITS_Concept", "LEDITS_Schedule")]
    checked = [(key, value[key]) for value in used for key in ("scale", "steps", "skip", "threshold", "warmup") if key in value]
    assert len(checked) >= 5
    assert [(key, value) for key, value in checked if not bounds(row[key])[0] <= value <= bounds(row[key])[1]] == []


def test_every_kind_of_guidance_has_start_values():
    said = {kind.removesuffix(" guidance") for kind in rows("kind of model")} - {"UNet"}
    assert said == {row["guidance"] for row in MODELS.values()}


@pytest.mark.parametrize("name", KIND_OF_WORKFLOW)
def test_a_workflow_says_where_each_of_its_files_is_found(name):
    """As ComfyUI's page reads it, which offers to fetch what is missing."""
    nodes = json.loads((CHECKOUT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))["nodes"]
    loaded = {value for node in nodes for value in node.get("widgets_values") or () if str(value).endswith(".safetensors")}
    files = [file for node in nodes for file in node["properties"].get("models", ())]
    assert {file["name"] for file in files} == loaded
    for file in files:
        assert file["url"].startswith("https://")
        assert file["url"].endswith(f"/{file['name']}")
        assert file["directory"] in folder_paths.folder_names_and_paths
