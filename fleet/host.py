"""A real ComfyUI in this process, started as its own main.py does it, without a port. There can be only one in a process."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from .errors import FleetError, PhotoError
from .workflow import PHOTO, Prompt

BROKEN_CARD = "CUDA error"
"""After this PyTorch fails at everything in the same process."""
PACK = Path(__file__).resolve().parents[1]


def find_comfyui() -> Path:
    """`COMFYUI_PATH`, else the ComfyUI that this pack is installed in."""
    path = Path(os.environ.get("COMFYUI_PATH") or PACK.parents[1]).expanduser().resolve()
    if not (path / "main.py").is_file():
        raise FleetError(f"No ComfyUI in {path}: set COMFYUI_PATH to the folder that ComfyUI was installed to.")
    return path


class Host:
    """ComfyUI with input, output, temp and user folders of its own, and a database in memory."""

    def __init__(self, comfyui: Path, folder: Path, threads: int, options: Sequence[str]):
        os.environ["OMP_NUM_THREADS"] = str(threads)
        for name in ("input", "output", "temp", "user"):
            (folder / name).mkdir(parents=True)
        own = [part for name in ("input", "output", "temp", "user") for part in (f"--{name}-directory", str(folder / name))]
        own += ["--database-url", "sqlite:///:memory:", "--disable-api-nodes", "--preview-method", "none"]
        # One photo after the other needs the models again, and no picture of the photo before.
        own += [] if any(option.startswith("--cache") for option in options) else ["--cache-classic"]
        # ComfyUI reads its arguments as it is imported; its modules `nodes` and `utils` must win over others of these names.
        sys.argv = ["main.py", *own, *options]
        sys.path.insert(0, str(comfyui))
        try:
            import main

            self.loop, self.server, _ = main.start_comfyui()
        except SystemExit:
            raise FleetError(
                f"ComfyUI does not start with {' '.join(options) or 'its arguments'}; what it says is in Ray's log of the worker."
            ) from None
        import folder_paths
        import torch

        torch.set_num_threads(threads)
        self.photo, self.temp = folder / "input" / PHOTO, folder / "temp"
        self.folder_of = folder_paths.get_directory_by_type
        self.thread = next(thread for thread in threading.enumerate() if "prompt_worker" in thread.name)

    def check(self, prompt: Prompt, save: str) -> None:
        """Raises PhotoError where ComfyUI would not take this prompt."""
        import execution

        _, error, _, nodes = self.loop.run_until_complete(execution.validate_prompt(uuid.uuid4().hex, prompt, [save]))
        reasons = [
            f"{node['class_type']} ({key}): {each['message']}: {each['details']}" for key, node in nodes.items() for each in node["errors"]
        ]
        if error or reasons:
            raise PhotoError("; ".join(reasons) or f"{error['message']} {error['details']}".strip())

    def run(self, prompt: Prompt, save: str) -> Path:
        """Runs what the node `save` needs, and returns the one file that it saved."""
        self.check(prompt, save)
        queue, name = self.server.prompt_queue, uuid.uuid4().hex
        queue.put((0, name, prompt, {}, [save], {}))
        while name not in queue.history:
            if not self.thread.is_alive():
                os._exit(1)  # so that Ray starts another worker
            time.sleep(0.01)
        done = queue.history.pop(name)
        self._forget()
        for kind, data in done["status"]["messages"]:
            if kind == "execution_error" and BROKEN_CARD in data["exception_message"]:
                os._exit(1)
            if kind == "execution_error":
                raise PhotoError(f"{data['node_type']} ({data['node_id']}): {data['exception_message'].strip()}")
        files = [file for kind in done["outputs"].get(save, {}).values() for file in kind if isinstance(file, dict) and "filename" in file]
        if len(files) != 1:
            raise PhotoError(f"the workflow saved {len(files)} files for one photo; it must be one")
        return Path(self.folder_of(files[0]["type"]), files[0]["subfolder"], files[0]["filename"])

    def _forget(self) -> None:
        """Progress and previews, which ComfyUI keeps for a page in a browser."""
        for preview in self.temp.rglob("*.*"):
            preview.unlink()
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        while not self.server.messages.empty():
            self.server.messages.get_nowait()
