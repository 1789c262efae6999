"""The pack is loaded and used by every one of its nodes, and all it does beside is written down: python tests/support/watched_edit.py FOLDER

Prints JSON. By part ("load", "use", "control"): the audit events under a call of the pack by which a program starts others, speaks to
others, runs what it reads or writes files; and which functions and classes of ComfyUI and torch are not what they were. FOLDER stands in
for ComfyUI's input and output folders. In "control" the watched things are done on purpose, to see that they are noticed.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from scripts.host import in_comfy
from scripts.host.in_comfy import encode, load_checkpoint, run

import torch

from scripts.paths import CHECKOUT

PACK = tuple(str(CHECKOUT / part) for part in ("__init__.py", f"ledits{os.sep}", f"nodes{os.sep}"))
PACK_NAME = "ledits_pack"
WATCHED = (
    *("subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile", "pty.spawn", "ctypes.dlopen"),
    *("socket.", "http.", "urllib.", "ftplib.", "smtplib.", "webbrowser."),
    *("pickle.", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "shutil.", "tempfile."),
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

events: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
    if (writes or event.startswith(WATCHED)) and from_the_pack(sys._getframe()):
        events.append(f"{event} {arguments[0] if arguments else ''}")


def from_the_pack(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith(PACK):
        frame = frame.f_back
    return frame is not None


def definitions() -> dict[str, Any]:
    """Every function, class and member of a class of ComfyUI, torch and torch.nn, as they are now."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith(os.environ["COMFYUI_PATH"]) or name == "torch" or name.startswith("torch.nn."):
            for key, value in list(vars(module).items()):
                if isinstance(value, type):
                    found |= {f"{name}.{key}.{member}": inner for member, inner in vars(value).items() if _is_code(inner)}
                if _is_code(value):
                    found[f"{name}.{key}"] = value
    return found


def _is_code(value: Any) -> bool:
    return callable(value) or isinstance(value, staticmethod | classmethod | property)


def use_every_node(folder: Path) -> None:
    model, clip, vae = load_checkpoint()
    latent = {"samples": vae.encode(torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(0)))}
    neutral = encode(clip, "")
    patched, store = run("LEDITS_AttentionStore", model=model)
    sigmas = run("LEDITS_Schedule", model=patched, steps=3)[0]
    inversion = run("LEDITS_Invert", model=patched, latent=latent, sigmas=sigmas, negative=neutral)[0]
    run("LEDITS_SaveInversion", inversion=inversion)
    (saved,) = (file.relative_to(folder).as_posix() for file in folder.rglob("*.safetensors"))
    loaded = run("LEDITS_LoadInversion", file=f"{saved} [output]")[0]
    seen = run("LEDITS_ProbeAttention", model=patched, latent=latent, clip=clip, text="a red circle")[0]
    concepts = run("LEDITS_Concept", clip=clip, text="a red circle", warmup=1)[0]
    edited, attention, _mask, _ = run("LEDITS_Edit", model=patched, inversion=loaded, concepts=concepts)
    captured = run("LEDITS_CaptureAttention", store=store, latent=edited, clip=clip, text="a red circle")[0]
    for maps in (seen, attention, captured):
        run("LEDITS_ExtractMask", attention=maps)
    run("LEDITS_Heatmap", image=vae.decode(edited["samples"]), attention=attention)
    run("LEDITS_Sweep", model=patched, vae=vae, inversion=inversion, concepts=concepts, column_values="3, 5")
    guider = run("LEDITS_MaskedGuider", model=patched, inversion=inversion, concepts=concepts)[0]
    sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=inversion)
    guider.sample(noise.generate_noise(latent), latent["samples"], sampler, sigmas, disable_pbar=True)


def misbehave() -> None:
    """As if a file of the pack did this."""
    source = """
import comfy.samplers, os, socket, subprocess, zipapp
subprocess.run([os.sys.executable, "-c", ""])
socket.socket().close()
comfy.samplers.calc_cond_batch = lambda *arguments: None
comfy.samplers.CFGGuider.predict_noise = lambda *arguments: None
"""
    exec(compile(source, PACK[-1] + "control.py", "exec"), {})


def main() -> None:
    folder = Path(sys.argv[1])
    # What ComfyUI does as it is imported is not the pack's doing.
    for name in ("nodes", "latent_preview", "comfy_api.latest", "comfyui_version"):
        importlib.import_module(name)
    paths = importlib.import_module("folder_paths")
    paths.set_output_directory(str(folder))
    paths.set_temp_directory(str(folder / "temp"))
    paths.set_input_directory(str(folder))
    before, report = definitions(), {}
    sys.addaudithook(watch)
    parts = {"load": in_comfy.nodes, "use": lambda: use_every_node(folder), "control": misbehave}
    for part, action in parts.items():
        events.clear()
        known = set(sys.modules)
        with torch.inference_mode():
            action()
        now = definitions()
        changed = sorted(name for name, value in before.items() if now.get(name) is not value)
        imported = sorted(name for name in set(sys.modules) - known if name.partition(".")[0] != PACK_NAME)
        report[part] = {"events": list(events), "changed": changed, "imported": imported}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
