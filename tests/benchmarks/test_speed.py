"""The bench measures what it says: the same calls, its own sums, and nothing twice."""

import json

import pytest

from benchmarks.speed import report
from benchmarks.speed.jobs import TEXTS, Bare, Diffusers, Ours
from benchmarks.speed.plan import CARD, FULL, QUICK, Plan, Times
from benchmarks.speed.run import Parts, write
from benchmarks.speed.subjects import SUBJECTS


@pytest.fixture(scope="module")
def subject():
    from benchmarks.speed.subjects import small

    return small(64)


def test_ours_and_diffusers_do_the_same_job(subject):
    ours, theirs = Ours(subject, 4, 1), Diffusers(subject, 4, 1)
    ours.invert()
    theirs.invert()
    assert ours.sizes == theirs.sizes == [1] * 4
    ours.sizes.clear()
    theirs.sizes.clear()
    ours.edit(ours.concepts(TEXTS[:2]))
    theirs.edit(TEXTS[:2])
    theirs.close()
    assert ours.sizes == [2, 3, 3]
    assert theirs.sizes == [3] * 4


def test_bare_calls_are_the_networks_own(subject):
    """The whole network runs, on as many rows as asked, and with torch's attention as the nodes' runs do."""
    seen = []
    hook = subject.model.model.diffusion_model.register_forward_hook(lambda network, inputs, output: seen.append(output.shape))
    bare = Bare(subject)
    try:
        for rows in (1, 3):
            bare.call(rows)
    finally:
        hook.remove()
    assert seen == [(1, 4, 8, 8), (3, 4, 8, 8)]
    assert "optimized_attention_override" in bare.options


def row(ours, bare, diffusers, calls, their_calls):
    named = {"ours_s": ours, "bare_s": bare, "diffusers_s": diffusers, "calls": calls, "rows": calls, "calls_diffusers": their_calls}
    return named | {"rows_diffusers": their_calls, "overhead": ours / bare, "capture_share": 0.001, "rounds": 1, "spread": {"ours": 0.0}}


@pytest.fixture
def measured():
    """Every call of one row takes 1 s and of two rows 2 s; diffusers' take half as long again."""
    rows = {"inversion": row(5.0, 5.0, 7.5, 5, 5), "edit_1": row(5.0, 4.0, 15.0, 3, 5) | {"rows": 5}}
    memory = {
        "ours": {"inversion_mb": 90.0, "edit_1_mb": 104.0, "edit_1_s": 2.0},
        "ksampler": {"edit_1_mb": 100.0, "edit_1_s": 2.0},
        "diffusers": {"inversion_mb": 90.0, "failed": "edit_1: no memory", "limit_mb": 14000},
    }
    network = {"steps": 5, "warmup": 2, "rows": rows, "memory": memory}
    return {"import": {"import_s": 0.03, "first_import_s": 0.05}, "networks": {"SD 1.5 256": network}}


PLAN = Plan((), (), "SD 1.5 256", False)


def test_the_headline_is_of_fifty_steps(measured):
    found = report.figures(measured, PLAN)
    # 50 + 1 calls of 1 s and 47 of 2 s, against 50 of 1.5 s and 50 of 3 s.
    assert found["speedup_vs_diffusers"] == pytest.approx(225 / 145, abs=1e-3)
    assert found["second_edit_vs_diffusers"] == pytest.approx(150 / 95, abs=1e-3)
    # The bare calls of two rows took 1.5 s.
    assert found["networks"]["SD 1.5 256"]["second_edit_limit"] == pytest.approx(150 / 71.5, abs=1e-3)
    assert found["overhead_ratio"] == 1.25
    assert found["edit_1"]["ours_s"] == 5.0
    assert found["memory"] == {"ours_mb": 104.0, "ksampler_mb": 100.0, "diffusers_mb": None}


def test_what_is_not_reached_is_said(measured):
    verdicts = report.verdicts(report.figures(measured, PLAN))
    assert [line.partition(":")[0] for line in verdicts] == [
        "- NOT reached",  # overhead
        "- reached",  # capture
        "- reached",  # whole job
        "- NOT reached",  # second edit
        "- reached",  # memory
        "- reached",  # import
    ]


def test_a_single_step_stands_for_any_but_the_first(subject):
    """An edit's first step takes the inversion's prediction; where no other is measured, the base is asked again."""
    ours, theirs = Ours(subject, 1, 0), Diffusers(subject, 1, 0)
    ours.invert()
    theirs.invert()
    ours.edit(ours.concepts(TEXTS[:2]))
    theirs.edit(TEXTS[:2])
    theirs.close()
    assert ours.sizes == theirs.sizes == [1, 3]


def test_pictures_of_several_sizes_are_compared(measured):
    networks = measured["networks"]
    one = networks["SD 1.5 256"]
    networks["SD 1.5 512"] = one | {"rows": one["rows"] | {"edit_1": row(6.0, 6.0, 60.0, 1, 5) | {"rows": 2}}}
    networks["SD 1.5 512 fp16"] = networks["SD 1.5 512"]
    found = report.figures(measured, PLAN)
    assert {network: list(sizes) for network, sizes in report.by_size(found).items()} == {"SD 1.5": [256, 512]}
    # 50 edited calls of 12 s against one of 1 s and 47 of 6 s.
    assert f"| SD 1.5, 512 x 512 pixels | {675 / 333:.2f} | {600 / 283:.2f} | {600 / 283:.2f} |" in report.size_table(found)


def test_everything_is_written(measured, tmp_path):
    measured["networks"]["SD 1.5 256"]["rows"] |= {f"edit_{count}": row(5.0 * count, 4.0, 15.0, 3, 5) for count in (2, 4, 8)}
    paths = write(measured, PLAN, tmp_path)
    assert sorted(path.name for path in paths) == ["speed.json", "speed.md", "speed.png"]
    assert "more than 14000, fails" in paths[1].read_text()
    assert json.loads(paths[0].read_text())["edit_8"]["ours_s"] == 40.0
    assert paths[2].stat().st_size > 10_000


def test_what_was_measured_is_not_measured_again(tmp_path):
    parts, other = Parts(tmp_path, "these sources"), Parts(tmp_path, "other sources")
    assert parts.get("import", lambda: {"import_s": 1.0}) == {"import_s": 1.0}
    assert parts.get("import", lambda: pytest.fail("measured again")) == {"import_s": 1.0}
    assert other.get("import", lambda: {"import_s": 2.0}) == {"import_s": 2.0}


@pytest.mark.parametrize("plan", [FULL, QUICK, CARD], ids=["full", "quick", "card"])
def test_what_is_planned_is_there(plan):
    assert {one.subject for one in (*plan.times, *plan.memory)} <= set(SUBJECTS)
    assert plan.headline in {times.subject for times in plan.times}


def test_a_plan_reaches_its_process():
    for times in QUICK.times:
        assert Times.read(json.loads(json.dumps(times.plain()))).plain() == json.loads(json.dumps(times.plain()))
