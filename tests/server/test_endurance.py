"""An afternoon at one server: hundreds of edits of one photo, and the memory that they keep."""

import psutil
import pytest

EDITS = 300
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]  # three quarters of a minute where nothing else runs


def small(graph, number):
    """Three steps; the inversion is cached, the edit is another one each time and its maps are read from the store."""
    made = graph(seed=1, only="edit")
    made["5"]["inputs"]["steps"] = 3
    made["7"]["inputs"]["warmup"], made["8"]["inputs"]["warmup"] = 2, 2
    made["8"]["inputs"]["scale"] = 1.0 + number / 100
    # No picture but the mask's, and the maps as Capture Attention finds them.
    del made["10"], made["11"], made["14"], made["15"]
    inputs = {"store": ["16", 1], "latent": ["9", 0], "clip": ["1", 1], "text": "a green circle", "branch": "positive"}
    made["51"] = {"class_type": "LEDITS_CaptureAttention", "inputs": inputs}
    made["51m"] = graph(only="capture")["51m"]
    return made


def test_three_hundred_edits_keep_no_memory(faulty, graph, pictures):
    process = psutil.Process(faulty.process.pid)
    first = pictures(faulty, faulty.run(small(graph, 0)))
    for number in range(1, EDITS + 1):
        done = faulty.run(small(graph, number))
        assert {"8", "9", "51"} <= set(done["executed"])
        assert "6" not in done["executed"]
        if number == 10:
            before, threads = faulty.get("/ledits_test/left"), process.num_threads()
    after = faulty.get("/ledits_test/left")
    grown = (after["memory"] - before["memory"]) / 2**20
    assert grown < 20, f"{EDITS - 10} edits kept {grown:.0f} MB"
    assert process.num_threads() <= threads
    assert after["objects"] == {}
    again = pictures(faulty, faulty.run(small(graph, 0)))
    assert all((again[key] == first[key]).all() for key in first)
