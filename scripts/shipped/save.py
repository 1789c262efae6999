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
            if name == "edit":
                write(WORKFLOWS / "api" / "fleet.json", without_viewers(exported(page)))
        write(SUBGRAPHS / f"{NAME}.json", build_blueprint(page))


def without_viewers(prompt: dict[str, Any]) -> dict[str, Any]:
    """What the saved picture depends on, for many photos, which nobody looks at as they are made."""
    needed = [key for key, node in prompt.items() if node["class_type"] == "SaveImage"]
    for key in needed:
        inputs = prompt[key]["inputs"]
        if prompt[key]["class_type"] == "LEDITS_Edit":
            inputs.pop("image", None)
        needed += [link[0] for link in inputs.values() if isinstance(link, list) and link[0] not in needed]
    return {key: prompt[key] for key in prompt if key in needed}


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(written(value))
    print(path)


if __name__ == "__main__":
    main()
