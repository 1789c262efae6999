"""The demo edits as it says, and cleans up after itself."""

import json
import os
import signal
import subprocess
import sys

import psutil


def test_ctrl_c_stops_the_server_and_leaves_nothing(tmp_path):
    demo = subprocess.Popen(
        [sys.executable, "-m", "scripts.demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
        # A test run in the background hands on an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        line = next(line for line in demo.stdout if "is up" in line)
        assert "running" in line
        servers = [process for process in psutil.Process(demo.pid).children(recursive=True) if "main.py" in " ".join(process.cmdline())]
        assert len(servers) == 1
        os.killpg(demo.pid, signal.SIGINT)
        rest = demo.communicate(timeout=120)[0]
    finally:
        demo.kill()
    assert demo.returncode == 130
    assert "Traceback" not in rest
    assert not psutil.pid_exists(servers[0].pid)
    assert list(tmp_path.glob("ledits-demo-*")) == []


def test_the_demo_edits_well_and_leaves_the_rest_to_the_pixel():
    made = subprocess.run([sys.executable, "-m", "scripts.demo"], capture_output=True, text=True, check=True)
    figures = json.loads(made.stdout.splitlines()[-1])
    assert figures["replay_max_abs_error"] < 1e-4
    assert figures["inside_target_share"] > 0.8
    assert figures["outside_psnr_db"] > 28
    assert figures["pixels_changed_beside_mask"] == 0
    assert figures["network_calls"] == 41, "20 to invert, 20 to edit, one look at the photo"
