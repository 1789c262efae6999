"""A real server that is cancelled, broken, killed and restarted: the next run gives the same picture to the bit, and nothing is left."""

import copy
import os
import threading
import time
import uuid

from scripts.host.comfy_server import Interrupted, NodeFailed

import numpy as np
import pytest

pytestmark = pytest.mark.timeout(900)  # several servers start one after another


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[key], other[key]) for key in one)


def wait_until_it_waits(server):
    deadline = time.monotonic() + 60
    while server.get("/ledits_test/armed")["state"] != "waiting":
        assert time.monotonic() < deadline, "the fault was never reached"
        time.sleep(0.01)


def in_background(server, workflow):
    """Starts a run; the list that it returns gets the run's result or its error."""
    ended = []

    def go():
        try:
            ended.append(server.run(workflow))
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    return thread, ended


@pytest.fixture(scope="module")
def good(faulty, graph, pictures):
    """What a graph gives when nothing goes wrong, once for each part of it."""
    known = {}

    def give(part):
        if part not in known:
            known[part] = pictures(faulty, faulty.run(graph(seed=1, only=part)))
        return known[part]

    return give


# Part of the graph; the network call or the end of the step of the fault. Call 6 is the inversion's last and call 7 the edit's first, in
# its step 2; step 1 of an edit whose inversion is known calls no network.
PLACES = [
    ("edit", "call", 1),
    ("edit", "call", 3),
    ("edit", "call", 6),
    ("edit of a known inversion", "step", 1),
    ("edit", "call", 7),
    ("edit", "call", 10),
    ("probe", "call", 1),
    ("capture", "call", 2),
]
FAULTS = [(*place, "wait") for place in PLACES] + [
    (*PLACES[place], kind) for kind in ("exception", "out of memory") for place in (1, 4, 7)
]  # fmt: skip


def nothing_is_left(server, threads):
    """The message of an error comes a moment before the server has let go of its frames."""
    deadline = time.monotonic() + 10
    while (left := server.get("/ledits_test/left"))["objects"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left["objects"] == {}
    assert set(left["threads"]) <= set(threads)


@pytest.mark.parametrize(("what", "place", "number", "kind"), FAULTS)
def test_the_next_run_is_right_and_nothing_is_left(faulty, graph, pictures, good, what, place, number, kind):
    part = what.split()[0]
    right, workflow = good(part), graph(seed=1, only=part)
    # What ran last is what the cache holds: the inversion alone, or nothing.
    faulty.run(graph(seed=1, scale=3.0, only="edit") if "known" in what else graph(seed=2, only="capture" if part == "probe" else "probe"))
    threads = faulty.get("/ledits_test/left")["threads"]
    faulty.post("/ledits_test/arm", {"kind": kind, "place": place, "number": number})
    thread, ended = in_background(faulty, workflow)
    if kind == "wait":
        wait_until_it_waits(faulty)
        faulty.post("/interrupt", {})
    thread.join(60)
    error = ended[0]
    assert faulty.get("/ledits_test/armed")["state"] == "struck"
    if kind == "wait":
        assert isinstance(error, Interrupted)
    else:
        assert isinstance(error, NodeFailed)
        said = error.data["exception_message"]
        assert "LEDITS" not in said
        # ComfyUI's own words for it, after which it has unloaded every model.
        assert ("you ran out of memory" in said) == (kind == "out of memory")
    nothing_is_left(faulty, threads)
    assert same(pictures(faulty, faulty.run(workflow)), right)


def test_two_clients_get_their_own_pictures(faulty, graph, pictures):
    graphs = [graph(seed=seed, scale=scale, only="edit") for seed, scale in ((11, 4.0), (12, 4.0), (11, 2.0))]
    clients = []
    for _ in graphs:
        client = copy.copy(faulty)
        client.client = uuid.uuid4().hex
        clients.append(client)
    # Held until all of them are queued.
    faulty.post("/ledits_test/arm", {"kind": "wait", "place": "call", "number": 1})
    holding, held = in_background(faulty, graph(seed=10, only="edit"))
    wait_until_it_waits(faulty)
    running = [in_background(client, workflow) for client, workflow in zip(clients, graphs, strict=True)]
    deadline = time.monotonic() + 60
    while len(faulty.get("/queue")["queue_pending"]) < len(graphs):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    faulty.post("/interrupt", {})
    for thread, _ in [(holding, held), *running]:
        thread.join(120)
    assert isinstance(held[0], Interrupted)
    got = [pictures(client, ended[0]) for client, (_, ended) in zip(clients, running, strict=True)]
    for place, workflow in enumerate(graphs):
        # Each inversion takes the place of the one before in the cache, so all of this runs again.
        assert same(pictures(faulty, faulty.run(workflow)), got[place])
        assert not any(same(got[place], other) for other in got[:place])


def unpatched(workflow):
    """Without the faults, which no file could compare with another process's."""
    workflow = copy.deepcopy(workflow)
    for node in ("5", "6", "16"):
        workflow[node]["inputs"]["model"] = ["1", 0]
    return workflow


def saving(workflow):
    return unpatched(workflow) | {
        "20": {"class_type": "LEDITS_SaveInversion", "inputs": {"inversion": ["6", 0], "filename_prefix": "kept/photo"}}
    }


def loading(workflow, file):
    """The same edit, of an inversion from a file."""
    workflow = unpatched(workflow)
    del workflow["5"], workflow["6"]
    workflow["9"]["inputs"]["inversion"] = ["21", 0]
    return workflow | {"21": {"class_type": "LEDITS_LoadInversion", "inputs": {"file": file}}}


SAVED = "kept/photo_00001_.inversion.safetensors"


@pytest.mark.long
def test_killed_in_mid_run_and_while_saving_and_restarted(start, tmp_path, graph, pictures, good):
    def killed(server, workflow, **order):
        server.post("/ledits_test/arm", {"kind": "wait", **order})
        thread, ended = in_background(server, workflow)
        wait_until_it_waits(server)
        server.process.kill()
        server.process.wait()
        thread.join(60)
        assert isinstance(ended[0], BaseException)

    right = good("edit")
    with start(tmp_path) as server:
        killed(server, graph(seed=1, only="edit"), place="call", number=9)
    with start(tmp_path) as server:
        assert same(pictures(server, server.run(graph(seed=1, only="edit"))), right)
        killed(server, saving(graph(seed=1, only="edit")), place="save", number=0)
    kept = tmp_path / "output" / "kept"
    (half,) = kept.iterdir()
    assert not half.name.endswith(".safetensors"), "half an inversion bears a whole one's name"
    os.utime(half, (0, 0))  # long ago, so that nobody writes it any more
    with start(tmp_path) as server:
        offered = server.get("/object_info/LEDITS_LoadInversion")["LEDITS_LoadInversion"]["input"]["required"]["file"][1]["options"]
        assert offered == ["no inversion saved yet"]
        assert same(pictures(server, server.run(saving(graph(seed=1, only="edit")))), right)
        # What the killed run left behind is swept away by the next one that saves there.
        assert [path.name for path in kept.iterdir()] == [SAVED.removeprefix("kept/")]
        loaded = server.run(loading(graph(seed=1, only="edit"), f"{SAVED} [output]"))
        assert same(pictures(server, loaded), right)


def tour(server, graph, pictures):
    """Runs that use a cache in every way: afresh, with one end changed, from a file, and the first once more."""
    first = pictures(server, server.run(graph(seed=21)))
    other = pictures(server, server.run(graph(seed=21, branch="negative")))
    stronger = pictures(server, server.run(graph(seed=21, scale=6.0, only="edit")))
    server.run(saving(graph(seed=21, only="edit")))
    loaded = pictures(server, server.run(loading(graph(seed=21, only="edit"), f"{SAVED} [output]")))
    again = pictures(server, server.run(graph(seed=21)))
    return [first, other, stronger, loaded, again]


@pytest.fixture(scope="module")
def known_tour(faulty, graph, pictures):
    found = tour(faulty, graph, pictures)
    first, other, stronger, loaded, again = found
    assert same(first, again)
    assert same(loaded, {key: first[key] for key in loaded})
    assert not same(stronger, loaded)
    assert not np.array_equal(other["51p", 0], first["51p", 0])
    return found


@pytest.mark.long
@pytest.mark.parametrize("option", ["", "--cache-none", "--cache-lru 3"])
def test_every_cache_gives_the_same_pictures(start, tmp_path, graph, pictures, known_tour, option):
    with start(tmp_path, *option.split()) as server:
        found = tour(server, graph, pictures)
    assert all(same(*pair) for pair in zip(found, known_tour, strict=True))
