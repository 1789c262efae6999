"""A real ComfyUI server on 127.0.0.1 for tests and the demo: starts it, posts workflows, follows them, stops it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import websocket

from scripts.paths import CHECKOUT, CHECKPOINT, SMALL_MODEL

ON_A_CARD = {"--novram", "--lowvram", "--highvram", "--gpu-only"}
"""Options that ComfyUI does not take together with --cpu."""


class PromptRefused(Exception):
    """The server did not accept a workflow; `errors` is its answer."""

    def __init__(self, errors: dict[str, Any]):
        super().__init__(json.dumps(errors, indent=1))
        self.errors = errors


class NodeFailed(Exception):
    """A node raised; `data` is the server's message."""

    def __init__(self, data: dict[str, Any]):
        super().__init__(f"{data.get('node_type')}: {data.get('exception_message')}")
        self.data = data


class Interrupted(Exception):
    """The run was cancelled."""


class ComfyServer:
    """Context manager. `folder` becomes ComfyUI's base directory, with the pack and the small model linked in."""

    def __init__(self, folder: Path, *options: str):
        self.folder, self.options = folder, options
        self.client = uuid.uuid4().hex

    def __enter__(self) -> ComfyServer:
        lay_out(self.folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = self.folder / "server.log"
        command = [
            sys.executable,
            "main.py",
            *([] if ON_A_CARD & set(self.options) else ["--cpu"]),
            "--listen",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--base-directory",
            str(self.folder),
        ]
        command += ["--disable-api-nodes", "--preview-method", "latent2rgb", *self.options]
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        environment = inherited | {
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
            "HF_HUB_OFFLINE": "1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": python_path_without_checkout(),
        }
        with open(self.log, "a") as log:
            # A session of its own, so that Ctrl-C reaches this program alone and it stops the server in order.
            self.process = subprocess.Popen(
                command, cwd=os.environ["COMFYUI_PATH"], env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def queue(self, workflow: dict[str, Any]) -> str:
        """Queues an API-format workflow and returns its id."""
        try:
            return self.post("/prompt", {"prompt": workflow, "client_id": self.client})["prompt_id"]
        except urllib.error.HTTPError as error:
            raise PromptRefused(json.load(error)) from None

    def run(self, workflow: dict[str, Any], listen: Callable[[dict[str, Any] | bytes], None] = lambda message: None) -> dict[str, Any]:
        """Runs an API-format workflow to its end.

        Args:
            listen: called with every message: dicts, and previews as bytes.

        Returns:
            {"outputs": as in the server's history, "executed": the nodes that ran, "cached": those that did not have to}.

        Raises:
            PromptRefused, NodeFailed, Interrupted.
        """
        channel = websocket.create_connection(f"ws://127.0.0.1:{self.port}/ws?clientId={self.client}", timeout=300)
        try:
            prompt = self.queue(workflow)
            executed: list[str] = []
            cached: list[str] = []
            while True:
                message = channel.recv()
                if isinstance(message, bytes):
                    listen(message)
                    continue
                event = json.loads(message)
                listen(event)
                kind, data = event["type"], event["data"]
                if data.get("prompt_id") != prompt:
                    continue
                if kind == "execution_cached":
                    cached = data["nodes"]
                elif kind == "executing" and data["node"] is not None:
                    executed.append(data["node"])
                elif kind == "execution_error":
                    raise NodeFailed(data)
                elif kind == "execution_interrupted":
                    raise Interrupted
                elif kind == "execution_success" or (kind == "executing" and data["node"] is None):
                    break
        finally:
            channel.close()
        return {"outputs": self._outputs(prompt), "executed": executed, "cached": cached}

    def file(self, reference: dict[str, str]) -> bytes:
        """A file that a node saved, by the reference in its outputs."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/view?{urllib.parse.urlencode(reference)}", timeout=60) as answer:
            return answer.read()

    def _outputs(self, prompt: str) -> dict[str, Any]:
        for _ in range(100):
            history = self.get(f"/history/{prompt}")
            if prompt in history:
                return history[prompt]["outputs"]
            time.sleep(0.05)
        raise RuntimeError("the server has no history of a run that it called finished")

    def _wait_until_up(self, patience: float = 180) -> None:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                self.get("/system_stats")
                return
            except OSError:
                time.sleep(0.2)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
        raise RuntimeError(f"ComfyUI did not start; the end of {self.log}:\n{tail}")


def lay_out(folder: Path) -> None:
    """Makes a folder ComfyUI's base directory, with the pack and the small model in it."""
    for part in ("custom_nodes", "models/checkpoints", "input", "output", "temp", "user"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    links = {
        "custom_nodes/ledits-pp": CHECKOUT,
        "custom_nodes/ledits-small-model": SMALL_MODEL / "comfyui_node",
        "models/checkpoints/ledits-tiny.safetensors": CHECKPOINT,
    }
    for place, target in links.items():
        link = folder / place
        if not link.exists():
            link.symlink_to(target, target_is_directory=target.is_dir())
    # Load Image refuses what lies outside of the folder, links too.
    shutil.copy(Path(os.environ["COMFYUI_PATH"]) / "input" / "example.png", folder / "input")


def python_path_without_checkout() -> str:
    """The server finds the pack under custom_nodes, and nothing else of this checkout."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(path for path in paths if path not in ("", str(CHECKOUT), str(CHECKOUT / "tests")))
