"""Fetches the renders that the scenes are composed of.

    python3 scripts/environment/prepare.py scripts/scenes/fetch.py

Microsoft's Fluent Emoji in 3D (MIT), 256 pixels with alpha, from the npm package @lobehub/fluent-emoji-3d; the names come from
@iconify-json/noto (Apache 2.0). `npm pack` gets both through the client as it is configured here. Everything goes to a cache outside
the checkout; no render is committed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

RENDERS = "@lobehub/fluent-emoji-3d@1.1.0"
NAMES = "@iconify-json/noto@1.2.9"


def cache() -> Path:
    """The folder for renders and training state."""
    return Path(os.environ.get("LEDITS_CACHE", Path.home() / ".cache" / "comfyui-ledits")) / "scenes-training"


def sprites_folder() -> Path:
    return cache() / "sprites"


def pack(package: str, folder: Path) -> Path:
    """Gets a package and unpacks it into `folder`."""
    target = folder / package.rsplit("@", 1)[0].replace("/", "+")
    if not (target / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", package, "--silent"]
        archive = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(folder / archive) as content:
            for member in content.getmembers():
                name = Path(member.name)
                if not member.isfile() or name.is_absolute() or ".." in name.parts:
                    continue
                member.name = str(Path(*name.parts[1:]))
                content.extract(member, target)
        (folder / archive).unlink()
    return target


def fetch() -> Path:
    """The folder with one NAME.webp for each named render; fetched once."""
    folder = sprites_folder()
    if folder.exists():
        return folder
    packages = cache() / "packages"
    renders, names = pack(RENDERS, packages) / "assets", pack(NAMES, packages)
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for code, name in json.loads((names / "chars.json").read_text()).items():
        for file in (renders / f"{code}.webp", renders / f"{code}-fe0f.webp"):
            if file.exists():
                shutil.copyfile(file, partial / f"{name}.webp")
    partial.rename(folder)
    return folder


if __name__ == "__main__":
    found = fetch()
    print(f"{len(list(found.glob('*.webp')))} renders in {found}")
