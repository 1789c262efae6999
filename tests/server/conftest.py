import copy
import io
import json
import shutil

from scripts.host.comfy_server import ComfyServer

import numpy as np
import pytest
from PIL import Image

from scripts.paths import CHECKOUT

FAULTS = CHECKOUT / "tests" / "support" / "fault_nodes"
WORKFLOW = json.loads((CHECKOUT / "workflows" / "api" / "try_it.json").read_text())


def prepared(folder, *options):
    """A server in this folder, with the shipped picture and the test-side faults."""
    for part in ("custom_nodes", "input"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    if not (folder / "custom_nodes" / "ledits-faults").exists():
        (folder / "custom_nodes" / "ledits-faults").symlink_to(FAULTS, target_is_directory=True)
    shutil.copy(CHECKOUT / "workflows" / "two_shapes.png", folder / "input")
    return ComfyServer(folder, *options)


@pytest.fixture(scope="session")
def start():
    return prepared


@pytest.fixture(scope="session")
def faulty(tmp_path_factory):
    """A server that lives as long as the tests. Its cache holds what the latest run needed, however much memory there is."""
    with prepared(tmp_path_factory.mktemp("comfyui-faulty"), "--cache-classic") as server:
        yield server


@pytest.fixture(scope="session")
def graph():
    return every_kind_of_step


@pytest.fixture(scope="session")
def pictures():
    """Every picture that a run gave at its ends, by node. What else is shown on the way comes from a cache on some hosts alone."""
    ends = {node for nodes in ENDS.values() for node in nodes}

    def read(server, result):
        found = {}
        for node, outputs in sorted(result["outputs"].items()):
            for number, reference in enumerate(outputs.get("images", []) if node in ends else []):
                found[node, number] = np.asarray(Image.open(io.BytesIO(server.file(reference))).convert("RGB"))
        return found

    return read


ENDS = {"edit": ("11", "13", "14", "15"), "probe": ("40m", "40p"), "capture": ("50p", "51m", "51p")}
"""The nodes that show what each part of the graph gave."""
PROMPTS = {"positive": "a red circle", "negative": "a green triangle"}


def every_kind_of_step(seed=0, scale=4.0, branch="positive", only=None):
    """A graph that inverts, edits, probes, and samples with capture; every result ends in a picture.

    Args:
        seed: of the inversion and of the sampler.
        scale: of the second concept, which begins at step 3.
        branch: what Capture Attention reads.
        only: the nodes whose pictures are wanted, "edit", "probe" or "capture"; None is all.
    """
    made = copy.deepcopy(WORKFLOW)
    made["5"]["inputs"]["steps"] = 6
    made["6"]["inputs"]["seed"] = seed
    made["7"]["inputs"] |= {"warmup": 2, "cooldown": 0}
    made["8"]["inputs"] |= {"warmup": 3, "cooldown": 0, "scale": scale}
    add(made, "30", "LEDITS_TEST_Fault", model=["1", 0])
    for node in ("5", "6", "16"):
        made[node]["inputs"]["model"] = ["30", 0]
    for node in ("11", "13", "15"):
        made[node]["class_type"] = "PreviewImage"
    for name, text in PROMPTS.items():
        add(made, name, "CLIPTextEncode", clip=["1", 1], text=text)
    add(
        made,
        "40",
        "LEDITS_ProbeAttention",
        model=["30", 0],
        latent=["3", 0],
        clip=["1", 1],
        text="a red circle",
        noise_level=0.5,
        seed=seed,
    )
    sampler = {"seed": seed, "steps": 4, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    add(made, "50", "KSampler", model=["16", 0], positive=["positive", 0], negative=["negative", 0], latent_image=["3", 0], **sampler)
    add(made, "51", "LEDITS_CaptureAttention", store=["16", 1], latent=["50", 0], clip=["1", 1], text=PROMPTS[branch], branch=branch)
    cut = {"concept": 0, "words": "", "smoothing": 0.7071, "quantile": 0.8, "binary": False, "width": 0, "height": 0}
    for attention in ("40", "51"):
        add(made, f"{attention}m", "LEDITS_ExtractMask", attention=[attention, 0], **cut)
        add(made, f"{attention}p", "PreviewImage", images=[f"{attention}m", 1])
    add(made, "50d", "VAEDecode", samples=["50", 0], vae=["1", 2])
    add(made, "50p", "PreviewImage", images=["50d", 0])
    for part, nodes in ENDS.items():
        if only is not None and part != only:
            for node in nodes:
                del made[node]
    return made


def add(graph, node, kind, **inputs):
    graph[node] = {"class_type": kind, "inputs": inputs}
