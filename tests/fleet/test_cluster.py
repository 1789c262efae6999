"""A cluster of two nodes on this machine, one of which dies."""

import time

import pytest

from support.fleet_nodes import WAITS
from support.photo_folders import files_in, lines_of, paint

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture
def cluster(base):
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
    yield made
    made.shutdown()


def test_a_node_that_dies_costs_its_photo_another_try(cluster, start, perish, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    for number in range(8):
        paint(photos / f"{number}.png", WAITS, (16, 16 + number))
    second = cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    process = start(perish, photos, out, "--workers", 2, "--address", cluster.address, RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S="30")
    deadline = time.monotonic() + 800
    while len({line["worker"] for line in lines_of(out).values()} if (out / "report.jsonl").exists() else ()) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    cluster.remove_node(second, allow_graceful=False)
    said = process.communicate(timeout=800)[0]
    assert (process.returncode, len(lines_of(out))) == (0, 8), said
    assert len(files_in(out)) == 10
