"""`make demo`: edits a shipped picture in the real ComfyUI and says how well it went.

Runs workflows/api/edit.json on a server of its own and writes the edited picture, the mask, the attention and all side by side to
output/. The picture was drawn by a program, so the edited object's true region is known and the edit can be scored.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from scripts.host.comfy_server import ComfyServer

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load

from scripts.paths import CHECKOUT, CHECKPOINT, OUTPUT
from scripts.small_model.drawings import PALETTE, TWO_SHAPES
from scripts.small_model.see import nearest_colour

EDITED_OBJECT, ASKED_COLOUR = 0, "green"
PICTURE = CHECKOUT / "workflows" / "two_shapes.png"
WORKFLOW = CHECKOUT / "workflows" / "api" / "edit.json"
DRAWING = {
    "CheckpointLoaderSimple": {"ckpt_name": CHECKPOINT.name},
    "LoadImage": {"image": PICTURE.name},
    "LEDITS_FitPhoto": {"megapixels": 256**2 / 1024**2},
    "LEDITS_Schedule": {"skip": 0.0},
    "LEDITS_Concept": {"where": "red circle", "text": "a green circle", "scale": 5.0, "warmup": 0},
}
"""What stands in the place of a photo's values: the small checkpoint decides a colour in the first steps."""


def on_the_drawing(workflow: dict) -> dict:
    """The workflow for photos, with the shipped picture and the values that its checkpoint likes."""
    workflow = json.loads(json.dumps(workflow))
    for node in workflow.values():
        node["inputs"] |= DRAWING.get(node["class_type"], {})
    return workflow


def find(workflow: dict, kind: str) -> str:
    """The number of the only node of a kind."""
    (number,) = (number for number, node in workflow.items() if node["class_type"] == kind)
    return number


def with_measurements(workflow: dict) -> dict:
    """The workflow, with its network calls counted, a heatmap, and the photo's latent saved beside that of a replay without concepts."""
    workflow = json.loads(json.dumps(workflow))
    model = [find(workflow, "CheckpointLoaderSimple"), 0]
    for node in workflow.values():
        for name, value in node["inputs"].items():
            if name == "model" and value == model:
                node["inputs"][name] = ["count", 0]
    photo, inversion, edit = (find(workflow, kind) for kind in ("VAEEncode", "LEDITS_Invert", "LEDITS_Edit"))
    heatmap = {"image": workflow[edit]["inputs"]["image"], "attention": [edit, 1], "concept": 0, "opacity": 0.6}
    return workflow | {
        "count": {"class_type": "LEDITS_TEST_CountNetworkCalls", "inputs": {"model": model}},
        "replay": {"class_type": "LEDITS_Edit", "inputs": {"model": ["count", 0], "inversion": [inversion, 0], "cfg": 0.0}},
        "save_photo": {"class_type": "SaveLatent", "inputs": {"samples": [photo, 0], "filename_prefix": "photo"}},
        "save_replay": {"class_type": "SaveLatent", "inputs": {"samples": ["replay", 0], "filename_prefix": "replay"}},
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


def score(edited: np.ndarray, original: np.ndarray) -> dict[str, float]:
    region = TWO_SHAPES.masks()[EDITED_OBJECT]
    asked = nearest_colour(edited) == list(PALETTE).index(ASKED_COLOUR)
    error = (edited.astype(np.float64) - original)[~region]
    return {
        "inside_target_share": round(float(asked[region].mean()), 4),
        "outside_psnr_db": round(float(10 * np.log10(255**2 / np.square(error).mean())), 2),
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
    original = np.asarray(Image.open(PICTURE).convert("RGB"))
    assert np.array_equal(original, TWO_SHAPES.image()), f"{PICTURE} is not the scene that the demo scores"
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ledits-demo-") as folder, ComfyServer(Path(folder)) as server:
        shutil.copy(PICTURE, Path(folder) / "input")
        print(f"ComfyUI is up; running {WORKFLOW.relative_to(CHECKOUT)}", flush=True)
        workflow = with_measurements(on_the_drawing(json.loads(WORKFLOW.read_text())))
        running = time.monotonic()
        outputs = server.run(workflow, show(workflow))["outputs"]
        seconds = time.monotonic() - running

        def picture(node: str, place: int = 0) -> Image.Image:
            return Image.open(io.BytesIO(server.file(outputs[node]["images"][place]))).convert("RGB")

        edited, mask, attention = picture(find(workflow, "SaveImage")), picture(find(workflow, "MaskPreview")), picture("attention")
        latents = [load(server.file(outputs[node]["latents"][0]))["latent_tensor"] for node in ("save_photo", "save_replay")]
        calls = server.get("/ledits_test/calls")["calls"]

    sheet = side_by_side({"before": Image.fromarray(original), "after": edited, "mask": mask})
    for name, result in {"edited": edited, "mask": mask, "attention": attention, "side_by_side": sheet}.items():
        result.save(OUTPUT / f"{name}.png")
        print(OUTPUT / f"{name}.png")
    figures = {"replay_max_abs_error": float(np.abs(latents[0] - latents[1]).max())} | score(np.asarray(edited), original)
    print(f"all in all {time.monotonic() - started:.0f} s")
    print(json.dumps(figures | {"network_calls": calls, "seconds": round(seconds, 2)}))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
