"""`make demo`: edits a shipped picture in the real ComfyUI and says how well it went.

Runs workflows/api/edit.json on a server of its own and writes the edited picture, the mask, the attention and all side by side to
output/. The picture was composed by a program, so the edited object's true region is known, and a classifier that was trained on such
pictures says what is in it.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

from scripts.host.comfy_server import ComfyServer

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load
from scipy import ndimage

from scripts.drawn_edit import find, with_values
from scripts.paths import CHECKOUT, OUTPUT, SCENES_CLASSIFIER
from scripts.scenes.classifier import load_classifier, share_of
from scripts.scenes.shown import DEMO, Shown, lay_out

WORKFLOW = CHECKOUT / "workflows" / "api" / "edit.json"


def with_measurements(workflow: dict) -> dict:
    """The workflow, with its network calls counted, a heatmap, the edit before it is put back into the photo, and the photo's
    latent saved beside that of a replay without concepts.
    """
    workflow = json.loads(json.dumps(workflow))
    model = [find(workflow, "CheckpointLoaderSimple"), 0]
    for node in workflow.values():
        for name, value in node["inputs"].items():
            if name == "model" and value == model:
                node["inputs"][name] = ["count", 0]
    photo, inversion, edit = (find(workflow, kind) for kind in ("VAEEncode", "LEDITS_Invert", "LEDITS_Edit"))
    decoded = [find(workflow, "VAEDecode"), 0]
    heatmap = {"image": workflow[edit]["inputs"]["image"], "attention": [edit, 1], "concept": 0, "opacity": 0.6}
    return workflow | {
        "count": {"class_type": "LEDITS_TEST_CountNetworkCalls", "inputs": {"model": model}},
        "replay": {"class_type": "LEDITS_Edit", "inputs": {"model": ["count", 0], "inversion": [inversion, 0], "cfg": 0.0}},
        "save_photo": {"class_type": "SaveLatent", "inputs": {"samples": [photo, 0], "filename_prefix": "photo"}},
        "save_replay": {"class_type": "SaveLatent", "inputs": {"samples": ["replay", 0], "filename_prefix": "replay"}},
        "decoded": {"class_type": "PreviewImage", "inputs": {"images": decoded}},
        "heatmap": {"class_type": "LEDITS_Heatmap", "inputs": heatmap},
        "attention": {"class_type": "PreviewImage", "inputs": {"images": ["heatmap", 0]}},
    }


def show(workflow: dict):
    """Prints which node runs and how far it is."""
    titles = {key: node.get("_meta", {}).get("title", node["class_type"]) for key, node in workflow.items()}

    def listen(message) -> None:
        if isinstance(message, dict) and message["type"] == "executing" and message["data"].get("node"):
            print(f"  {titles[message['data']['node']]}", flush=True)
        elif isinstance(message, dict) and message["type"] == "progress":
            step, steps = message["data"]["value"], message["data"]["max"]
            print(f"\r    step {step}/{steps}", end="\n" if step == steps else "", flush=True)

    return listen


def score(decoded: np.ndarray, edited: np.ndarray, mask: np.ndarray, scene: Shown) -> dict[str, float | int]:
    """How well an edit went.

    Args:
        decoded, edited: the edit before and after it is put back into the photo, [H, W, 3] uint8.
        mask: what was put back, [H, W, 3] uint8.
    """
    original = scene.photo()
    error = (decoded.astype(np.float64) - original)[~scene.region()]
    beside = ~ndimage.maximum_filter(mask.any(-1), 5)  # the picture of the mask shows no grey below 1/255
    return {
        "inside_target_share": round(share_of(load_classifier(SCENES_CLASSIFIER), edited, scene.asked_region(), *scene.shows), 4),
        "outside_psnr_db": round(float(10 * np.log10(255**2 / np.square(error).mean())), 2),
        "pixels_changed_beside_mask": int((edited != original)[beside].any(-1).sum()),
    }


def side_by_side(panels: dict[str, Image.Image]) -> Image.Image:
    size, strip = 256, 26
    sheet = Image.new("RGB", (size * len(panels), size + strip), (24, 24, 28))
    for place, (label, panel) in enumerate(panels.items()):
        sheet.paste(panel.convert("RGB").resize((size, size)), (place * size, 0))
        ImageDraw.Draw(sheet).text(((place + 0.5) * size, size + strip / 2), label, "white", ImageFont.load_default(15), anchor="mm")
    return sheet


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ledits-demo-") as folder, ComfyServer(Path(folder)) as server:
        lay_out(server.folder)
        print(f"ComfyUI is up; running {WORKFLOW.relative_to(CHECKOUT)}", flush=True)
        workflow = with_measurements(with_values(json.loads(WORKFLOW.read_text()), DEMO.values))
        running = time.monotonic()
        outputs = server.run(workflow, show(workflow))["outputs"]
        seconds = time.monotonic() - running

        def picture(node: str, place: int = 0) -> Image.Image:
            return Image.open(io.BytesIO(server.file(outputs[node]["images"][place]))).convert("RGB")

        edited, mask, attention = picture(find(workflow, "SaveImage")), picture(find(workflow, "MaskPreview")), picture("attention")
        decoded = picture("decoded")
        latents = [load(server.file(outputs[node]["latents"][0]))["latent_tensor"] for node in ("save_photo", "save_replay")]
        calls = server.get("/ledits_test/calls")["calls"]

    sheet = side_by_side({"before": Image.fromarray(DEMO.photo()), "after": edited, "mask": mask})
    for name, result in {"edited": edited, "mask": mask, "attention": attention, "side_by_side": sheet}.items():
        result.save(OUTPUT / f"{name}.png")
        print(OUTPUT / f"{name}.png")
    figures = {"replay_max_abs_error": float(np.abs(latents[0] - latents[1]).max())} | score(
        np.asarray(decoded), np.asarray(edited), np.asarray(mask), DEMO
    )
    print(f"all in all {time.monotonic() - started:.0f} s")
    print(json.dumps(figures | {"network_calls": calls, "seconds": round(seconds, 2)}))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
