"""The command as a person gives it, in a process of its own, on a ComfyUI with the small checkpoint and test-side faults."""

import json
import os
import signal
import subprocess
import sys

from scripts.host.comfy_server import lay_out, python_path_without_checkout

import pytest

from scripts.drawn_edit import find, on_the_drawing
from scripts.paths import CHECKOUT

FAULTS = CHECKOUT / "tests" / "support" / "fleet_nodes"
# Ray's workers give way to all other programs: on a busy machine tests would wait for hours.
os.environ.update(RAY_worker_niceness="0")


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """What ComfyUI takes its models and nodes from."""
    folder = tmp_path_factory.mktemp("comfyui-fleet")
    lay_out(folder)
    (folder / "custom_nodes" / "ledits-fleet-faults").symlink_to(FAULTS, target_is_directory=True)
    return folder


@pytest.fixture
def start(base, tmp_path):
    """Starts the command and returns its process; what is still running when the test ends is killed."""
    running = []

    def begin(*words, **environment):
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "fleet", *map(str, words), "--", "--base-directory", str(base)],
                cwd=CHECKOUT,
                env=inherited
                | {"PYTHONPATH": python_path_without_checkout(), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
                | {"LEDITS_TEST_MARKS": str(tmp_path)}
                | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                # A test run in the background hands on an ignored SIGINT.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def fleet(start):
    """Runs the command to its end; its exit code and what it said."""

    def run(*words):
        process = start(*words)
        said = process.communicate(timeout=1500)[0]
        return process.returncode, said

    return run


@pytest.fixture
def shipped(tmp_path):
    """The shipped workflow for the drawings, in three steps."""
    workflow = on_the_drawing(json.loads((CHECKOUT / "workflows" / "api" / "fleet.json").read_text()))
    workflow[find(workflow, "LEDITS_Schedule")]["inputs"]["steps"] = 3
    path = tmp_path / "shipped.json"
    path.write_text(json.dumps(workflow))
    return path


@pytest.fixture
def perish(tmp_path):
    """A workflow that inverts a photo's colours, with a node that looks for faults."""
    nodes = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "any.png"}, "_meta": {"title": "Photo"}},
        "2": {"class_type": "LEDITS_TEST_Perish", "inputs": {"image": ["1", 0], "seed": 3}, "_meta": {"title": "Fault"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "any"}},
    }
    path = tmp_path / "perish.json"
    path.write_text(json.dumps(nodes))
    return path
