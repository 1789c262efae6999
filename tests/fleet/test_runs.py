"""Whole runs on one machine: the same bytes as one ComfyUI makes, whatever is among the photos, and every fault that a night can bring."""

import json
import os
import shutil
import signal
import time

from scripts.host.comfy_server import ComfyServer

import psutil
import pytest
from filelock import FileLock
from PIL import Image

from scripts.shipped.drawn import pictures
from support.fleet_nodes import FAILS, FILLS_THE_DISK, KILLS, KILLS_ONCE, LOOKS, WAITS
from support.photo_folders import files_in, lines_of, paint, pixels

pytestmark = pytest.mark.timeout(1800)  # a busy machine may take minutes to start Ray and ComfyUI


def test_two_workers_make_what_one_comfyui_makes(base, fleet, shipped, tmp_path):
    """The shipped workflow, a photo with values of its own, a photo that is turned, and files that are no photos."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "鞋子").mkdir(parents=True)
    drawings = pictures()
    drawings["two_shapes.png"].save(photos / "two shapes.png")
    drawings["circle_and_square.png"].save(photos / "鞋子" / "-x.png")
    drawings["circle_and_triangle.png"].save(photos / "-x.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    drawings["large_drawing.png"].convert("RGB").resize((192, 128)).save(photos / "turned.jpg", exif=exif)
    paint(photos / "dot.png", size=(1, 1))
    (photos / "empty.png").touch()
    (photos / "text.png").write_text("no image")
    (photos / "cut.png").write_bytes((photos / "-x.png").read_bytes()[:9000])
    (tmp_path / "values.csv").write_text("photo,What to change.text,seed\n鞋子/-x.png,a yellow circle,5\n", encoding="utf-8")
    code, said = fleet(shipped, photos, out, "--workers", 2, "--values", tmp_path / "values.csv")
    lines = lines_of(out)
    assert (code, set(lines)) == (
        1,
        {"two shapes.png", "鞋子/-x.png", "-x.png", "turned.jpg", "dot.png", "empty.png", "text.png", "cut.png"},
    ), said
    assert {name for name, line in lines.items() if line["error"]} == {"empty.png", "text.png", "cut.png"}
    assert all("cannot be read as an image" in line["error"] for line in lines.values() if line["error"])
    assert pixels(out / "turned.png").shape == (192, 128, 3)
    assert lines["鞋子/-x.png"]["seed"] == {"49:6.seed": 5}
    assert len({line["worker"] for line in lines.values()}) == 2
    results = {"two shapes.png", "鞋子/-x.png", "-x.png", "turned.png", "dot.png"}
    assert files_in(out) == {*results, "report.jsonl", "report.html"}

    workflow = json.loads(shipped.read_text())
    with ComfyServer(base) as server:
        for name in ("two shapes.png", "鞋子/-x.png"):
            shutil.copy(photos / name, base / "input" / "same.png")
            workflow["2"]["inputs"]["image"] = "same.png"
            if name != "two shapes.png":
                workflow["49:7"]["inputs"]["text"], workflow["49:6"]["inputs"]["seed"] = "a yellow circle", 5
            saved = server.run(workflow)["outputs"]["11"]["images"][0]
            (tmp_path / "alone.png").write_bytes(server.file(saved))
            assert (pixels(tmp_path / "alone.png") == pixels(out / name)).all()

    code, said = fleet(shipped, photos, out, "--set", "steps=4")
    assert (code, "made with another workflow or other values" in said) == (2, True)


@pytest.mark.long
def test_a_killed_worker_and_a_photo_that_kills_every_worker(fleet, perish, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    for name, colour in {"a": KILLS, "b": KILLS_ONCE, "c": FAILS, **dict.fromkeys("defgh", (90, 90, 90))}.items():
        paint(photos / f"{name}.png", colour)
    code, said = fleet(perish, photos, out, "--workers", 2)
    lines = lines_of(out)
    assert (code, len(lines)) == (1, 8), said
    assert {name: line["error"] for name, line in lines.items() if line["error"]} == {
        "a.png": "ended its worker 3 times; it may need more memory than there is",
        "c.png": "LEDITS_TEST_Perish (2): this photo is green",
    }
    assert pixels(out / "d.png")[0, 0].tolist() == [165, 165, 165]


def test_what_is_missing_or_busy_is_said_at_once(start, perish, tmp_path):
    paint(tmp_path / "photos" / "a.png")
    words, out = (perish, tmp_path / "photos", tmp_path / "out"), tmp_path / "out"
    assert 'install it into the Python of ComfyUI with pip install "ray[data]"' in start(*words, PYTHONPATH="").communicate()[0]
    assert "set COMFYUI_PATH to the folder" in start(*words, COMFYUI_PATH=str(tmp_path)).communicate()[0]
    with FileLock(out / ".fleet" / "lock"):
        assert f"Another run is at work on {out}." in start(*words).communicate()[0]


def children(process):
    return [child for child in psutil.Process(process.pid).children(recursive=True) if child.is_running()]


def wait_for(look, patience=800):
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.mark.long
def test_stopped_and_killed_it_goes_on_with_what_is_left(start, fleet, perish, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    for number in range(9):
        paint(photos / f"{number}.png", LOOKS if number == 1 else WAITS, (16, 16 + number))  # ComfyUI does not look at the same photo twice

    def begin(count):
        """The command, as soon as there are this many lines in the report."""
        process = start(perish, photos, out)
        wait_for(lambda: (out / "report.jsonl").exists() and len(lines_of(out)) >= count)
        return process, children(process)

    def assert_whole(processes):
        wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in processes))
        results = files_in(out) - {"report.jsonl", "report.html"}
        assert {line["result"] for line in lines_of(out).values()} <= results
        assert all(pixels(out / name).shape == (16 + int(name[0]), 16, 3) for name in results)

    process, started = begin(2)
    assert not any(line["error"] for line in lines_of(out).values())
    listening = [
        each.laddr.ip for child in [psutil.Process(process.pid), *started] for each in child.net_connections() if each.status == "LISTEN"
    ]
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of the command's processes
    said = process.communicate(timeout=800)[0]
    assert (process.returncode, "goes on with what is left" in said, "Traceback" in said) == (130, True, False), said
    assert_whole(started)
    assert (out / "report.html").exists()

    process, started = begin(5)
    process.kill()
    assert_whole(started)

    before = len(lines_of(out))
    code, said = fleet(perish, photos, out)
    assert (code, len(lines_of(out))) == (0, 9), said
    assert f"{9 - before} photos to do, {before} done" in said
    assert "0 photos to do, 9 done" in fleet(perish, photos, out)[1]


@pytest.mark.long
def test_other_values_make_all_results_anew_only_when_told_to(fleet, perish, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    for name in "ab":
        paint(photos / f"{name}.png", (90, 90, 90))
    assert fleet(perish, photos, out)[0] == 0
    code, said = fleet(perish, photos, out, "--set", "seed=4")
    assert (code, "--again" in said) == (2, True), said
    assert {line["seed"]["2.seed"] for line in lines_of(out).values()} == {3}
    code, said = fleet(perish, photos, out, "--set", "seed=4", "--again")
    assert (code, "2 photos to do, 0 done" in said) == (0, True), said
    assert {line["seed"]["2.seed"] for line in lines_of(out).values()} == {4}


@pytest.mark.long
def test_a_full_disk_ends_the_run_and_leaves_nothing_half_written(fleet, perish, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    paint(photos / "a.png", (90, 90, 90))
    paint(photos / "b.png", FILLS_THE_DISK)
    code, said = fleet(perish, photos, out)
    assert (code, "No space left on device. Make room" in said) == (2, True), said
    assert files_in(out) == {"a.png", "report.jsonl", "report.html"}
    assert list((out / ".fleet" / "parts").iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "1.ckpt_name=other.safetensors"), "cannot run this workflow: CheckpointLoaderSimple (1): Value not in list"),
        (("--gpus", "1"), "1 workers are wanted, each with 1 cards and 1 CPU threads, but Ray has room for 0"),
    ],
)
def test_what_cannot_run_is_refused_before_the_first_photo(fleet, shipped, tmp_path, words, said):
    for name in "ab":
        paint(tmp_path / "photos" / f"{name}.png")
    code, told = fleet(shipped, tmp_path / "photos", tmp_path / "out", *words)
    assert (code, said in told, "Traceback" in told) == (2, True, False), told
    assert lines_of(tmp_path / "out") == {}
