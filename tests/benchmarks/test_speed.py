"""The bench measures what it says: the same calls, its own sums, and nothing twice."""

import json

import pytest

from benchmarks.speed import report, run
from benchmarks.speed.jobs import TEXTS, Bare, Diffusers, Ours, capture_timed
from benchmarks.speed.plan import CARD, FULL, QUICK, Plan, Times
from benchmarks.speed.run import Parts, timed, write
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
    assert ours.sizes == [3] * 3
    assert theirs.sizes == [3] * 4


def test_a_sweep_is_nine_edits(subject):
    ours = Ours(subject, 4, 1)
    ours.invert()
    ours.sizes.clear()
    ours.sweep(ours.concepts(TEXTS[:1]))
    assert ours.sizes == [2] * 3 * 9


def test_recording_is_timed(subject):
    ours = Ours(subject, 1, 0)
    with capture_timed(lambda action: action() or 1.0) as captured:
        ours.probe()
    assert sum(captured) > 0


@pytest.mark.long
@pytest.mark.parametrize(("default", "used"), [(False, "attention_pytorch"), (True, "attention_sub_quad")])
def test_processes_are_measured_with_the_attention_that_is_said(default, used):
    plan = Times("small 256", 1, 0, ((("edit_1",), 1, 10),), default_attention=default)
    found = timed("cpu", plan)
    assert found["attention"] == used
    assert found["rows"]["edit_1"]["overhead"] > 0
    assert (found["rows"]["edit_1"]["diffusers_s"] is None) == default


def test_rows_with_the_default_attention_stand_beside_the_others(tmp_path, monkeypatch):
    def timed(device, times):
        edit = row(3.0, 2.0, None, 1, None) if times.default_attention else row(2.0, 2.0, 3.0, 1, 1)
        return {"steps": 1, "warmup": 0, "attention": "slow" if times.default_attention else "fast", "rows": {"edit_1": edit}}

    monkeypatch.setattr(run, "timed", timed)
    plans = tuple(Times("small 256", 1, 0, (), default_attention=default) for default in (False, True))
    found = run.networks(Plan(plans, (), "small 256", False), Parts(tmp_path, "key"), "cpu")["small 256"]
    assert [found["rows"][name]["ours_s"] for name in ("edit_1", "edit_1_default_attention")] == [2.0, 3.0]
    assert "| edit_1, ComfyUI's default attention | 3.000 s |" in report.table("small 256", found)


def test_bare_calls_are_the_networks_own(subject):
    """The whole network runs, on as many rows as asked, with the attention of the process."""
    seen = []
    hook = subject.model.model.diffusion_model.register_forward_hook(lambda network, inputs, output: seen.append(output.shape))
    bare = Bare(subject)
    try:
        for rows in (1, 3):
            bare.call(rows)
    finally:
        hook.remove()
    assert seen == [(1, 4, 8, 8), (3, 4, 8, 8)]


def row(ours, bare, diffusers, calls, their_calls):
    named = {"ours_s": ours, "bare_s": bare, "diffusers_s": diffusers, "calls": calls, "rows": calls, "calls_diffusers": their_calls}
    return named | {"rows_diffusers": their_calls, "overhead": ours / bare, "capture_share": 0.001, "rounds": 1, "spread": {"ours": 0.0}}


@pytest.fixture
def measured():
    """Every call of one row takes 1 s and of two rows 2 s; diffusers' take half as long again."""
    rows = {"inversion": row(5.0, 5.0, 7.5, 5, 5), "edit_1": row(6.0, 4.8, 15.0, 3, 5) | {"rows": 6}}
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
    # 50 calls of 1 s and 48 of 2 s, against 50 of 1.5 s and 50 of 3 s.
    assert found["speedup_vs_diffusers"] == pytest.approx(225 / 146, abs=1e-3)
    assert found["second_edit_vs_diffusers"] == pytest.approx(150 / 96, abs=1e-3)
    # The bare calls of two rows took 1.6 s.
    assert found["networks"]["SD 1.5 256"]["second_edit_limit"] == pytest.approx(150 / 76.8, abs=1e-3)
    assert found["overhead_ratio"] == pytest.approx(1.25)
    assert found["attention"] == "--use-pytorch-cross-attention"
    assert found["edit_1"]["ours_s"] == 6.0
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


def test_a_single_step_stands_for_any(subject):
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
    # 50 edited calls of 12 s against 48 of 6 s.
    assert f"| SD 1.5, 512 x 512 pixels | {675 / 338:.2f} | {600 / 288:.2f} | {600 / 288:.2f} |" in report.size_table(found)


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
