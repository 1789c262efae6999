"""Which node, which input, which value: what a person may say, and what is answered."""

import json

import pytest

from fleet.errors import FleetError
from fleet.workflow import PHOTO, Workflow
from scripts.paths import CHECKOUT
from scripts.shipped.save import without_viewers

SHIPPED = CHECKOUT / "workflows" / "api" / "fleet.json"


@pytest.fixture
def workflow():
    return Workflow.from_file(SHIPPED)


def test_the_shipped_workflow_is_the_edit_of_a_photo():
    twin = json.loads((CHECKOUT / "workflows" / "api" / "edit.json").read_text())
    assert json.loads(SHIPPED.read_text()) == without_viewers(twin)


def test_its_nodes_are_found_and_every_photo_has_the_same_name_inside(workflow):
    assert (workflow.image, workflow.save) == ("2", "11")
    prompts = [workflow.prompt_of(name) for name in ("a.jpg", "b.jpg")]
    assert [prompt["2"]["inputs"]["image"] for prompt in prompts] == [PHOTO, PHOTO]
    assert prompts[0]["11"]["inputs"]["filename_prefix"] != prompts[1]["11"]["inputs"]["filename_prefix"]


def test_values_are_set_by_id_by_title_and_alone_with_the_type_that_is_there(workflow):
    changed = workflow.with_values(
        {"49:7.text": "3", "LEDITS++ Fit Photo.megapixels": "0.3", "steps": "7", "keep_background": "True"}
    ).prompt
    assert changed["49:7"]["inputs"]["text"] == "3"
    assert changed["49:34"]["inputs"]["megapixels"] == 0.3
    assert changed["49:5"]["inputs"]["steps"] == 7
    assert changed["49:9"]["inputs"]["keep_background"] is True
    assert workflow.prompt["49:5"]["inputs"]["steps"] == 20


def test_the_key_follows_values_and_not_titles(workflow):
    renamed = {key: node | {"_meta": {"title": "x"}} for key, node in workflow.prompt.items()}
    assert Workflow(renamed, "2", "11").key() == workflow.key() != workflow.with_values({"seed": "1"}).key()


def test_seeds_are_named(workflow):
    assert workflow.seeds() == {"49:6.seed": 0}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"99.text": "a"}, "no node '99'; it has 1 (Load Checkpoint)"),
        ({"49:7.txt": "a"}, "no input 'txt' there"),
        ({"text": "a"}, "more than one input 'text' there; name it as NODE.text, with one of 49:4.text, 49:7.text"),
        ({"49:7.clip": "a"}, "49:7.clip is a connection"),
        ({"steps": "many"}, "steps is 20 in the workflow, but 'many' is not a number"),
        ({"keep_background": "1"}, "'1' is not true or false"),
    ],
)
def test_a_wrong_value_is_said(workflow, values, said):
    with pytest.raises(FleetError) as error:
        workflow.with_values(values)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("../edit.json", {}, "not in API format"),
        ("nothing.json", {}, "cannot be read"),
        ("batch.json", {}, "3 LoadImage nodes where one is needed; name the right node with --image, of 1 (Load Checkpoint)"),
        ("fleet.json", {"save": "Nowhere"}, "--save Nowhere: 0 nodes"),
    ],
)
def test_a_wrong_workflow_is_said(name, options, said):
    with pytest.raises(FleetError) as error:
        Workflow.from_file(SHIPPED.parent / name, **options)
    assert said in str(error.value)


def test_a_node_is_named_where_there_are_several():
    assert Workflow.from_file(SHIPPED.parent / "batch.json", image="Photo 2").image == "35"
