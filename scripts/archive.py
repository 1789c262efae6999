"""`make archive`: builds what would be published, output/<name>-<version>.zip: the committed files that .comfyignore leaves in.

The registry's own client packs by the same rule, so what is tested here is what people get.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pathspec
import tomllib

from scripts.paths import CHECKOUT, OUTPUT


def published_files() -> list[str]:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout.split("\0")
    ignored = pathspec.GitIgnoreSpec.from_lines((CHECKOUT / ".comfyignore").read_text().splitlines())
    return [name for name in tracked if name and not ignored.match_file(name) and (CHECKOUT / name).exists()]


def build(folder: Path) -> Path:
    """Writes the archive into a folder and returns its path."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{project['name']}-{project['version']}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in published_files():
            archive.write(CHECKOUT / name, name)
    return target


def main() -> None:
    made = build(OUTPUT)
    with zipfile.ZipFile(made) as archive:
        largest = sorted(archive.infolist(), key=lambda entry: -entry.compress_size)[:3]
        print(f"{made}: {made.stat().st_size / 1e6:.2f} MB, {len(archive.namelist())} files")
    print("largest:", ", ".join(f"{entry.filename} {entry.compress_size / 1e3:.0f} kB" for entry in largest), file=sys.stderr)


if __name__ == "__main__":
    main()
