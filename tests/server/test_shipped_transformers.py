"""The workflows for transformers on ComfyUI's server: its own loaders, and files of small random networks of the same classes."""

import copy
import io
import json

from scripts.host.comfy_server import ComfyServer

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from scripts.paths import CHECKOUT
from scripts.shipped.drawn import pictures
from scripts.shipped.thumbnails import NOT_RUN
from support import small_files

API = CHECKOUT / "workflows" / "api"
LOADERS = CHECKOUT / "tests" / "support" / "small_loaders"
STEPS = 4
NAMES = ("flux", "qwen_image", "z_image_turbo", "sd35")
WORDS = 2
"""Of which each workflow's heatmap is: those of the thing that is to change."""


def twin(name):
    return json.loads((API / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comfyui-transformers")
    for part in ("custom_nodes", "input", "models"):
        (folder / part).mkdir()
    for name, picture in pictures().items():
        picture.save(folder / "input" / name)
    small_files.write(folder / "models")
    for checkpoint in ("sd_xl_base_1.0", "v1-5-pruned-emaonly-fp16"):
        (folder / "models" / "checkpoints" / f"{checkpoint}.safetensors").touch()
    (folder / "custom_nodes" / "ledits-small-loaders").symlink_to(LOADERS, target_is_directory=True)
    with ComfyServer(folder, "--force-fp32") as server:
        yield server


@pytest.mark.parametrize("name", sorted(path.stem for path in API.glob("*.json")))
def test_every_workflow_is_valid_as_it_ships(server, name):
    """By ComfyUI's own validation, where its files are there."""
    assert server.post("/ledits_test/validate", twin(name)) == {"is_valid": True, "error": None, "errors": {}}


def test_an_invalid_workflow_is_seen(server):
    wrong = twin("flux")
    wrong["5"]["inputs"]["steps"] = 0
    assert list(server.post("/ledits_test/validate", wrong)["errors"]) == ["5"]


def test_every_workflow_for_a_transformer_is_run():
    assert set(NAMES) == set(NOT_RUN)


@pytest.fixture(scope="module", params=NAMES)
def made(request, server):
    """A workflow's name, its pictures by node, and latents: of the photo, the edit, an edit without concepts, and one with an empty mask."""
    name = request.param
    workflow = twin(name)
    workflow["34"]["inputs"]["megapixels"] = 0.06
    workflow["5"]["inputs"]["steps"] = STEPS
    for node in ("7", "8"):
        if node in workflow:  # after its only step nothing can spread
            # The maps of random networks do not fall into two classes.
            workflow[node]["inputs"] |= {"warmup": STEPS - 1, "threshold": 0.9}
    workflow["21"] = copy.deepcopy(workflow["9"])
    del workflow["21"]["inputs"]["concepts"]
    workflow["22"] = {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 64, "height": 64}}
    workflow["23"] = copy.deepcopy(workflow["8"])
    workflow["23"]["inputs"] |= {"mask": ["22", 0], "warmup": 0}
    workflow["24"] = copy.deepcopy(workflow["9"])
    workflow["24"]["inputs"]["concepts"] = ["23", 0]
    latents = {"photo": "3", "edit": "9", "without": "21", "nowhere": "24"}
    for key, node in latents.items():
        workflow[key] = {"class_type": "SaveLatent", "inputs": {"samples": [node, 0], "filename_prefix": f"{name}-{key}"}}
    outputs = server.run(workflow)["outputs"]
    shown = {
        int(node): [np.asarray(Image.open(io.BytesIO(server.file(reference))).convert("RGB")) for reference in output["images"]]
        for node, output in outputs.items()
        if "images" in output
    }
    found = {key: next((server.folder / "output").glob(f"{name}-{key}_*")) for key in latents}
    return name, shown, {key: load_file(file)["latent_tensor"] for key, file in found.items()}


def test_the_photo_comes_back(made):
    """Without a concept, and where the network is asked at every step."""
    _, _, latents = made
    for key in ("without", "nowhere"):
        assert latents[key].shape == latents["edit"].shape
        assert (latents[key].flatten() - latents["photo"].flatten()).abs().max() <= 1e-5


def test_the_edit_changes_its_masks(made):
    _, shown, latents = made
    changed = (latents["edit"].flatten(1, -3) - latents["photo"].flatten(1, -3)).abs().amax(1)[0] > 1e-4 * latents["photo"].abs().max()
    masks = [mask[..., 0] > 127 for mask in shown[13]]
    assert all(0 < mask.mean() < 0.5 for mask in masks)
    assert not changed.numpy()[~np.any(masks, 0)[::8, ::8]].any()
    assert changed.any()
    assert shown[11][0].shape == (256, 256, 3)


def test_the_heatmap_has_a_map_for_each_word(made):
    _, shown, _ = made
    (sheet,) = shown[15]
    assert (sheet.shape[1] // 256, sheet.shape[0] // 256) == (WORDS, 1)
    panels = [sheet[:256, column * (sheet.shape[1] // WORDS) :][:, :256].astype(int) for column in range(WORDS)]
    assert np.abs(panels[0] - panels[1]).mean() > 1
