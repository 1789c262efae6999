"""`make workflows`: writes workflows/, their API twins, the pictures that they open, and the subgraph blueprint.

ComfyUI's own page builds the graphs from graphs.py and saves them, so that they are what a user would have saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from scripts.shipped.blueprint import NAME, build_blueprint
from scripts.shipped.canvas import SUBGRAPHS, WORKFLOWS, build, exported, opened, written
from scripts.shipped.drawn import pictures
from scripts.shipped.graphs import WORKFLOWS as GRAPHS


def main() -> None:
    for name, picture in pictures().items():
        if not (WORKFLOWS / name).exists() or Image.open(WORKFLOWS / name).tobytes() != picture.tobytes():
            picture.save(WORKFLOWS / name, optimize=True)
    with opened() as page:
        for name, workflow in GRAPHS.items():
            for path, value in ((WORKFLOWS / f"{name}.json", build(page, workflow)), (WORKFLOWS / "api" / f"{name}.json", exported(page))):
                write(path, value)
            if name == "large_photo":
                write(WORKFLOWS / "api" / "fleet.json", without_viewers(exported(page)))
        write(SUBGRAPHS / f"{NAME}.json", build_blueprint(page))


def without_viewers(prompt: dict[str, Any]) -> dict[str, Any]:
    """For many photos of any shape, which nobody looks at as they are made."""
    for key, node in list(prompt.items()):
        if node["class_type"] == "MaskPreview":
            del prompt[key]
        elif node["class_type"] == "LEDITS_Edit":
            del node["inputs"]["image"]
        elif node["class_type"] == "LEDITS_AttentionStore":
            node["inputs"]["resolution"] = 0
    return prompt


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(written(value))
    print(path)


if __name__ == "__main__":
    main()
