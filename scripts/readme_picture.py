"""`make hero`: the picture at the top of the README, edits of shipped scenes by the workflow for photos, with one setting for all."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

from scripts.host.comfy_server import ComfyServer

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scripts.demo import WORKFLOW
from scripts.drawn_edit import find, with_values
from scripts.paths import CHECKOUT
from scripts.scenes.rooms import SIZE
from scripts.scenes.shown import SHOWN, Shown, lay_out

PLACE = CHECKOUT / "docs" / "images" / "edits.jpg"
GAP, MARGIN, HEAD = 8, 34, 56
PAPER, INK, MASK = (24, 24, 28), "white", (255, 210, 80)
ROWS = ("photo", "where it changes", "edited")

Panels = tuple[Image.Image, Image.Image, Image.Image]


def panels(server: ComfyServer, scene: Shown) -> Panels:
    """The photo, the mask over the dimmed photo, and the edited photo."""
    workflow = with_values(json.loads(WORKFLOW.read_text()), scene.values)
    outputs = server.run(workflow)["outputs"]

    def picture(kind: str) -> Image.Image:
        return Image.open(io.BytesIO(server.file(outputs[find(workflow, kind)]["images"][0]))).convert("RGB")

    share = np.asarray(picture("MaskPreview"), np.float32) / 255
    over = 0.45 * scene.photo() * (1 - share) + share * np.array(MASK)
    return Image.fromarray(scene.photo()), Image.fromarray(over.round().astype(np.uint8)), picture("SaveImage")


def sheet(columns: dict[str, Panels]) -> Image.Image:
    """A column for each edit, with what was asked above it."""
    made = Image.new("RGB", (MARGIN + len(columns) * (SIZE + GAP), HEAD + len(ROWS) * (SIZE + GAP)), PAPER)
    pen = ImageDraw.Draw(made)
    for column, (asked, pictures) in enumerate(columns.items()):
        left = MARGIN + column * (SIZE + GAP)
        pen.multiline_text((left + SIZE / 2, HEAD / 2), asked, INK, ImageFont.load_default(18), "mm", align="center")
        for row, picture in enumerate(pictures):
            made.paste(picture, (left, HEAD + row * (SIZE + GAP)))
    for row, name in enumerate(ROWS):
        label = Image.new("RGB", (SIZE, MARGIN), PAPER)
        ImageDraw.Draw(label).text((SIZE / 2, MARGIN / 2), name, INK, ImageFont.load_default(17), "mm")
        made.paste(label.rotate(90, expand=True), (0, HEAD + row * (SIZE + GAP)))
    return made


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ledits-hero-") as folder, ComfyServer(Path(folder)) as server:
        lay_out(server.folder)
        columns = {f"there: {scene.where}\ninstead: {scene.text}": panels(server, scene) for scene in SHOWN}
    sheet(columns).save(PLACE, quality=90, optimize=True)
    print(f"{PLACE} {PLACE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
