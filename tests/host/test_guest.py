"""The pack is a good guest: what it does to the process that loads it, seen from inside a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("comfyui")


@pytest.fixture(scope="module")
def seen(folder):
    """What was seen while the pack was loaded, used and made to misbehave."""
    finished = subprocess.run([sys.executable, "-B", "-m", "support.watched_edit", str(folder)], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def test_loading_it_does_nothing_else(seen):
    """Not even import a module that ComfyUI has not: those are what makes a pack slow to load."""
    assert seen["load"] == {"events": [], "changed": [], "imported": []}


def test_using_it_opens_no_socket_and_starts_no_process(seen):
    """The only files it makes are saved inversions, under ComfyUI's output folder."""
    assert [event for event in seen["use"]["events"] if not event.startswith(("open ", "os."))] == []
    assert {event.partition(" ")[0] for event in seen["use"]["events"]} == {"os.mkdir", "open", "os.chmod", "os.rename", "os.remove"}


def test_it_writes_only_what_was_asked_for(seen, folder):
    """An inversion, and what nodes show, in ComfyUI's folder for such."""
    asked = f"{folder}/inversions", f"{folder}/temp"
    assert all(event.partition(" ")[2].startswith(asked) for event in seen["use"]["events"])
    written = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    assert written[0] == "inversions/photo_00001_.inversion.safetensors"
    assert {Path(name).parts[0] for name in written[1:]} == {"temp"}


def test_using_it_changes_nothing_of_comfyui_and_torch(seen):
    assert seen["use"]["changed"] == []


def test_misbehaviour_would_be_seen(seen):
    assert [event.partition(" ")[0] for event in seen["control"]["events"]] == ["subprocess.Popen", "socket.__new__"]
    assert seen["control"]["imported"] == ["zipapp"]
    assert seen["control"]["changed"] == ["comfy.samplers.CFGGuider.predict_noise", "comfy.samplers.calc_cond_batch"]
