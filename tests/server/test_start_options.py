"""One edit under each of the options that decide where ComfyUI keeps a model."""

import copy
import io
import json
import shutil

from scripts.host.comfy_server import ComfyServer

import numpy as np
import pytest
import torch
from PIL import Image

from scripts.paths import CHECKOUT

WORKFLOW = json.loads((CHECKOUT / "workflows" / "api" / "try_it.json").read_text())
SHORT_OF_MEMORY = CHECKOUT / "tests" / "support" / "short_of_memory"
pytestmark = pytest.mark.long
on_a_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="this option is for a graphics card, and there is none")


def edited(folder, *options, nodes=()):
    """The pictures of a short edit: the photo after it, and the masks."""
    for part in ("custom_nodes", "input"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for node in nodes:
        (folder / "custom_nodes" / node.name).symlink_to(node, target_is_directory=True)
    shutil.copy(CHECKOUT / "workflows" / "two_shapes.png", folder / "input")
    graph = copy.deepcopy(WORKFLOW)
    graph["5"]["inputs"]["steps"] = 5
    with ComfyServer(folder, *options) as server:
        outputs = server.run(graph)["outputs"]
        return [np.asarray(Image.open(io.BytesIO(server.file(outputs[node]["images"][0]))), dtype=int) for node in ("11", "13")]


@pytest.fixture(scope="module")
def on_the_cpu(tmp_path_factory):
    return edited(tmp_path_factory.mktemp("cpu"))


@pytest.mark.parametrize(
    ("options", "nodes"),
    [
        pytest.param((), (SHORT_OF_MEMORY,), id="--cpu, as short of memory as --novram"),
        pytest.param(("--disable-smart-memory", "--cache-none"), (), id="nothing kept"),
        pytest.param(("--novram",), (), id="--novram", marks=on_a_card),
        pytest.param(("--lowvram",), (), id="--lowvram", marks=on_a_card),
    ],
)
def test_the_same_picture(on_the_cpu, tmp_path, options, nodes):
    """To a grey level, and to 1 % of the masks' cells, where one value in the last digit decides."""
    photo = np.asarray(Image.open(CHECKOUT / "workflows" / "two_shapes.png").convert("RGB"), dtype=int)
    picture, mask = edited(tmp_path, *options, nodes=nodes)
    assert (np.abs(on_the_cpu[0] - photo) > 30).mean() > 0.01
    assert (np.abs(picture - on_the_cpu[0]) > 1).mean() < 0.01
    assert (mask != on_the_cpu[1]).mean() < 0.01
