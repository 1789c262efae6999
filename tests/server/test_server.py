"""The real server over HTTP and the websocket."""

import copy
import io
import json
import re
import shutil
import threading

from scripts.host.comfy_server import ComfyServer, Interrupted, NodeFailed, PromptRefused

import numpy as np
import pytest
from PIL import Image

from scripts.paths import CHECKOUT

WORKFLOW, SWEEP, WORDS = (
    json.loads((CHECKOUT / "workflows" / "api" / f"{name}.json").read_text()) for name in ("try_it", "sweep", "where_words_look")
)
NODE_IDS = [
    "LEDITS_FitPhoto", "LEDITS_Schedule", "LEDITS_Invert", "LEDITS_Concept", "LEDITS_AttentionStore", "LEDITS_CaptureAttention", "LEDITS_ProbeAttention",
    "LEDITS_ExtractMask", "LEDITS_MaskedGuider", "LEDITS_ReplaySampler", "LEDITS_Edit", "LEDITS_Heatmap",
    "LEDITS_SaveInversion", "LEDITS_LoadInversion", "LEDITS_Sweep",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comfyui")
    with ComfyServer(folder) as running:
        shutil.copy(CHECKOUT / "workflows" / "two_shapes.png", folder / "input")
        yield running


def workflow(seed=0, steps=6, shipped=WORKFLOW, **changes):
    """A shipped workflow with few steps; changes are given as node__input=value."""
    graph = copy.deepcopy(shipped)
    graph["5"]["inputs"]["steps"] = steps
    graph["6"]["inputs"]["seed"] = seed
    for place, value in changes.items():
        node, name = place.split("__")
        graph[node.removeprefix("n")]["inputs"][name] = value
    return graph


def picture(server, result, node="11"):
    return np.asarray(Image.open(io.BytesIO(server.file(result["outputs"][node]["images"][0]))).convert("RGB"))


def test_every_node_is_there_with_its_help(server):
    info = server.get("/object_info")
    for node_id in NODE_IDS:
        assert info[node_id]["display_name"].startswith("LEDITS++")
        assert info[node_id]["description"]
        inputs = {**info[node_id]["input"].get("required", {}), **info[node_id]["input"].get("optional", {})}
        assert all(options[1]["tooltip"] for options in inputs.values())
        assert all(info[node_id]["output_tooltips"] or [])
    assert info["LEDITS_Invert"]["input"]["required"]["seed"][1]["control_after_generate"] == "fixed"


def test_progress_and_previews_arrive_and_the_result_is_a_picture(server):
    steps, previews = {}, []

    def listen(message):
        if isinstance(message, bytes):
            previews.append(message)
        elif message["type"] == "progress":
            steps.setdefault(message["data"]["node"], []).append((message["data"]["value"], message["data"]["max"]))

    result = server.run(workflow(seed=1, n9__masks="last step"), listen)
    assert steps["6"][-1] == (6, 6)
    assert steps["9"][-1] == (6, 6)
    assert len(previews) >= 6
    assert picture(server, result).shape == (256, 256, 3)
    assert picture(server, result, "13").shape == (256, 256, 3)
    assert set(np.unique(picture(server, result, "13"))) <= {0, 255}


def test_the_masks_over_the_photo_arrive_with_the_edit(server):
    result = server.run(workflow(seed=6))
    # Two concepts side by side, with a gap.
    assert picture(server, result, "9").shape[1] == 2 * 256 + 8
    assert len(result["outputs"]["9"]["images"]) == 1


def test_the_same_prompt_runs_nothing_again_and_a_changed_concept_does_not_invert(server):
    first = server.run(workflow(seed=2))
    assert "6" in first["executed"]
    again = server.run(workflow(seed=2))
    assert again["executed"] == []
    changed = server.run(workflow(seed=2, n8__scale=5.0))
    assert "6" not in changed["executed"]
    assert {"8", "9", "10", "11"} <= set(changed["executed"])
    assert not np.array_equal(picture(server, changed), picture(server, first))


def test_another_quantile_needs_no_call_of_the_network(server):
    """Why a mask can follow its field with the Run button on "On Change"."""
    graph = copy.deepcopy(WORDS)
    graph["count"] = {"class_type": "LEDITS_TEST_CountNetworkCalls", "inputs": {"model": ["1", 0]}}
    graph["16"]["inputs"]["model"] = ["count", 0]
    mask = next(node for node, parts in graph.items() if parts["class_type"] == "LEDITS_ExtractMask")

    def run(quantile):
        before = server.get("/ledits_test/calls")["calls"]
        graph[mask]["inputs"]["quantile"] = quantile
        result = server.run(graph)
        white = (picture(server, result, mask)[:, :256] == 255).all(-1).mean()
        return result["executed"], server.get("/ledits_test/calls")["calls"] - before, white

    first, calls, small = run(0.9)
    assert {"20", mask} <= set(first)
    assert calls > 0
    second, calls, large = run(0.7)
    assert calls == 0
    assert mask in second
    assert not {"3", "20"} & set(second)
    assert large > small + 0.1


@pytest.mark.parametrize(
    ("changes", "node", "name"),
    [({"n8__threshold": 1.5}, "8", "threshold"), ({"n5__skip": -1.0}, "5", "skip"), ({"n7__direction": "sideways"}, "7", "direction")],
)
def test_a_value_out_of_range_is_refused_by_name(server, changes, node, name):
    with pytest.raises(PromptRefused) as refusal:
        server.run(workflow(seed=3, **changes))
    errors = refusal.value.errors["node_errors"][node]["errors"]
    assert errors[0]["extra_info"]["input_name"] == name


def test_what_the_widgets_tell_is_said_before_the_run(server):
    with pytest.raises(PromptRefused) as refusal:
        server.run(workflow(seed=3, n8__text=""))
    errors = refusal.value.errors["node_errors"]["8"]["errors"]
    assert any("'text'" in error["details"] and "no words" in error["details"] for error in errors)


@pytest.mark.parametrize(
    ("changes", "node", "opening", "named"),
    [
        ({"n8__words": "dog"}, "8", "LEDITS++ Concept, input 'words': ", r"'dog'.*a, green, circle"),
        ({"n6__cfg": 4.0}, "6", "LEDITS++ Invert, input 'cfg': ", r"\b4\b"),
    ],
)
def test_bad_input_comes_back_as_an_error_of_its_node(server, changes, node, opening, named):
    with pytest.raises(NodeFailed) as failure:
        server.run(workflow(seed=4, **changes))
    assert failure.value.data["node_id"] == node
    message = failure.value.data["exception_message"]
    assert message.startswith(opening)
    assert re.search(named, message)


def interrupted(server, node, graph):
    """Runs a graph and presses the button in the third step of a node."""
    pressed = threading.Event()

    def listen(message):
        at_work = isinstance(message, dict) and message["type"] == "progress" and message["data"]["node"] == node
        if at_work and message["data"]["value"] >= 3 and not pressed.is_set():
            pressed.set()
            server.post("/interrupt", {})

    with pytest.raises(Interrupted):
        server.run(graph, listen)
    assert pressed.is_set()


@pytest.mark.parametrize("node", ["6", "9"])
def test_interrupting_stops_the_run_and_the_next_one_is_right(server, node):
    good = picture(server, server.run(workflow(seed=5)))
    # Another seed, or another scale, so that the node really runs.
    changes = {"seed": 50, "steps": 40} if node == "6" else {"seed": 5, "steps": 6, "n8__scale": 3.5}
    interrupted(server, node, workflow(**changes))
    fresh = server.run(workflow(seed=5, n11__filename_prefix="again"))
    assert np.array_equal(picture(server, fresh), good)


@pytest.mark.parametrize(
    ("shipped", "node", "before"),
    [(WORKFLOW, "6", {"3", "4", "5"}), (WORKFLOW, "9", {"6", "7", "8"}), (SWEEP, "9", {"6", "8", "20"})],
    ids=["inversion", "edit", "sweep"],
)
def test_what_was_done_before_an_interrupt_is_not_done_again(server, shipped, node, before):
    graph = workflow(seed=40 + len(shipped) + int(node), shipped=shipped)
    interrupted(server, node, graph)
    executed = set(server.run(graph)["executed"])
    assert node in executed
    assert not executed & before


def test_an_inversion_saved_by_one_prompt_is_loaded_by_the_next(server):
    save = {"class_type": "LEDITS_SaveInversion", "inputs": {"inversion": ["6", 0], "filename_prefix": "kept/photo"}}
    inverted = server.run({**workflow(seed=6), "20": save})
    reference = inverted["outputs"]["20"]["inversions"][0]
    assert reference == {"filename": "photo_00001_.inversion.safetensors", "subfolder": "kept", "type": "output"}
    file = "kept/photo_00001_.inversion.safetensors [output]"
    assert server.get("/object_info/LEDITS_LoadInversion")["LEDITS_LoadInversion"]["input"]["required"]["file"][1]["options"] == [file]

    graph = workflow(n9__inversion=["21", 0], n11__filename_prefix="loaded")
    del graph["6"], graph["5"]
    graph["21"] = {"class_type": "LEDITS_LoadInversion", "inputs": {"file": file}}
    shown = []

    def listen(message):
        # A line of text on a node: kind 3, then the length of the node's id, the id, the text.
        if isinstance(message, bytes) and message[:4] == b"\0\0\0\3":
            shown.append(message[4:])

    loaded = server.run(graph, listen)
    assert np.array_equal(picture(server, loaded), picture(server, inverted))
    assert loaded["outputs"]["9"]["text"] == ["The loaded inversion was made with this checkpoint."]
    assert any(line.endswith(b"The loaded inversion was made with this checkpoint.") for line in shown)

    assert "21" not in server.run(graph)["executed"]
    saved = server.folder / "output" / "kept" / "photo_00001_.inversion.safetensors"
    saved.write_bytes(saved.read_bytes())
    assert "21" in server.run(graph)["executed"]
    saved.write_bytes(saved.read_bytes()[:-8])
    with pytest.raises(NodeFailed, match=r"LEDITS\+\+ Load Inversion, input 'file': .*photo_00001_.* damaged"):
        server.run(graph)
    graph["21"]["inputs"]["file"] = "../../models/checkpoints/ledits-tiny.safetensors"
    with pytest.raises(PromptRefused):
        server.run(graph)
