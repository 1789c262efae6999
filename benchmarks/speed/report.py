"""From measurements to figures: benchmarks/results/speed.json, the table, and what was to be reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .plan import Plan

DEFAULT_STEPS, DEFAULT_WARMUP = 50, 2
"""Of the pack's nodes; diffusers' pipeline is asked for the same."""

ATTENTION = "--use-pytorch-cross-attention"
"""ComfyUI's option with which ours, the bare calls and the KSampler are measured."""

DEFAULT_ATTENTION = "_default_attention"
"""At the end of a row's name: measured without that option."""

LARGE = ("2048", "1024")


def figures(found: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """The content of benchmarks/results/speed.json: the headline's rows at the top where it has them, else the first subject's that does."""
    networks = found["networks"] | found.get("card", {})
    for one in networks.values():
        if "rows" in one:
            one |= _whole_job(one)
    headline = networks[plan.headline]
    rows: dict[str, Any] = {}
    for name in (plan.headline, *networks):
        for row, values in networks[name].get("rows", {}).items():
            rows.setdefault(row, {"network": name} | values)
    return {
        **rows,
        **({"demo": found["demo"]} if "demo" in found else {}),
        "memory": _memory(headline.get("memory", {})),
        "headline": plan.headline,
        "attention": ATTENTION,
        "overhead_ratio": headline["rows"]["edit_1"]["overhead"],
        "speedup_vs_diffusers": headline["speedup_vs_diffusers"],
        "second_edit_vs_diffusers": headline["second_edit_vs_diffusers"],
        **found["import"],
        "networks": {name: one | ({"memory_mb": _memory(one["memory"])} if "memory" in one else {}) for name, one in networks.items()},
    }


def _whole_job(one: dict[str, Any]) -> dict[str, Any]:
    """Inversion and edit with the default number of steps and warm-up, from what a call of either kind takes.

    A call of one row for every step of the inversion and of two for every step of the edit; ours makes none before the warm-up ends.
    The limit: our calls with nothing around them.
    """
    inversion, edit = one["rows"]["inversion"], one["rows"]["edit_1"]
    single, second = {}, {}
    for who in ("ours", "bare"):
        single[who] = inversion[f"{who}_s"] / inversion["calls"]
        second[who] = (DEFAULT_STEPS - DEFAULT_WARMUP) * edit[f"{who}_s"] / edit["calls"]
    single["diffusers"] = inversion["diffusers_s"] / inversion["calls_diffusers"]
    second["diffusers"] = DEFAULT_STEPS * edit["diffusers_s"] / edit["calls_diffusers"]
    whole = {who: DEFAULT_STEPS * single[who] + second[who] for who in single}
    measured = (inversion["diffusers_s"] + edit["diffusers_s"]) / (inversion["ours_s"] + edit["ours_s"])
    return {
        "speedup_vs_diffusers": round(whole["diffusers"] / whole["ours"], 3),
        "second_edit_vs_diffusers": round(second["diffusers"] / second["ours"], 3),
        "second_edit_limit": round(second["diffusers"] / second["bare"], 3),
        "speedup_vs_diffusers_as_measured": round(measured, 3),
    }


def _memory(memory: dict[str, Any]) -> dict[str, Any]:
    """The most memory above what lay there before, in MB; None where it failed."""

    def most(one: dict[str, Any]) -> float | None:
        return None if "failed" in one else max(value for key, value in one.items() if key in ("inversion_mb", "edit_1_mb"))

    return {f"{who}_mb": most(one) for who, one in memory.items()}


def timed(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, one) for name, one in result["networks"].items() if "rows" in one]


def steps_of(one: dict[str, Any]) -> str:
    """How many steps a subject's jobs have, in words."""
    return "1 step" if one["steps"] == 1 else f"{one['steps']} steps"


def table(name: str, one: dict[str, Any]) -> str:
    """One subject's times as a Markdown table."""
    head = ["", "ours", "bare calls", "ours / bare", "diffusers", "diffusers / ours", "calls (rows)", "diffusers' calls (rows)", "spread"]
    lines = [
        f"**{name}**, {steps_of(one)}, concepts from step {one['warmup']}; ours and the bare calls with ComfyUI's `{ATTENTION}`",
        "",
        _line(head),
        _line(["---"] * len(head)),
    ]
    for row, values in one["rows"].items():
        theirs, ours, bare = values["diffusers_s"], values["ours_s"], values["bare_s"]
        lines.append(
            _line(
                [
                    _row_label(row),
                    f"{ours:.3f} s",
                    f"{bare:.3f} s" if bare else "",
                    f"{values['overhead']:.3f}" if values["overhead"] else "",
                    "" if theirs is None else f"{theirs:.3f} s",
                    "" if theirs is None else f"{theirs / ours:.2f}",
                    f"{values['calls']} ({values['rows']})",
                    "" if theirs is None else f"{values['calls_diffusers']} ({values['rows_diffusers']})",
                    f"{max(values['spread'].values()):.0%} of {values['rounds']}",
                ]
            )
        )
    return "\n".join(lines)


def _row_label(row: str) -> str:
    return f"{row.removesuffix(DEFAULT_ATTENTION)}, ComfyUI's default attention" if row.endswith(DEFAULT_ATTENTION) else row


def by_size(result: dict[str, Any]) -> dict[str, dict[int, dict[str, Any]]]:
    """Of each network that was measured on pictures of several sides, in pixels, what was found on each."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for name, one in timed(result):
        network, _, side = name.rpartition(" ")
        if side.isdigit():
            found.setdefault(network, {})[int(side)] = one
    return {network: dict(sorted(sizes.items())) for network, sizes in found.items() if len(sizes) > 1}


def size_table(result: dict[str, Any]) -> str:
    """How the advantage over diffusers grows with the picture: its attention writes down every score."""
    head = ["default 50 steps, times as fast as diffusers", "whole job", "second edit", "its bare calls alone"]
    lines = [_line(head), _line(["---"] * len(head))]
    for network, sizes in by_size(result).items():
        for side, one in sizes.items():
            keys = ("speedup_vs_diffusers", "second_edit_vs_diffusers", "second_edit_limit")
            lines.append(_line([f"{network}, {side} x {side} pixels", *(f"{one[key]:.2f}" for key in keys)]))
    return "\n".join(lines)


def memory_table(result: dict[str, Any]) -> str:
    """The most memory beside the weights, and what the step took: one process each, ours and the KSampler with the same attention."""
    names = {"ours": "ours", "ksampler": "KSampler", "diffusers": "diffusers"}
    head = [
        f"one step with two prompts, ComfyUI with `{ATTENTION}`",
        *(f"{name}, MB" for name in names.values()),
        *(f"{name}, s" for name in names.values()),
    ]
    lines = [_line(head), _line(["---"] * len(head))]
    for name, one in result["networks"].items():
        if "memory" not in one:
            continue
        limit = one["memory"]["diffusers"].get("limit_mb")
        most = [one["memory_mb"].get(f"{who}_mb", "") for who in names]
        took = [one["memory"].get(who, {}).get("edit_1_s") for who in names]
        shown = (f"more than {limit}, fails" if mb is None else mb and f"{mb:.0f}" for mb in most)
        lines.append(_line([name, *shown, *("" if seconds is None else f"{seconds:.1f}" for seconds in took)]))
    return "\n".join(lines)


def verdicts(result: dict[str, Any]) -> list[str]:
    """What was to be reached, with the figures, and whether it was."""
    found: list[tuple[str, bool]] = []
    for name, one in timed(result):
        most, edit = (1.15 if name.startswith("small") else 1.02), one["rows"]["edit_1"]
        found.append((f"{name}: overhead over the bare calls {edit['overhead']:.3f}, at most {most}", edit["overhead"] <= most))
        if not name.startswith("small"):
            share = edit["capture_share"] or 0.0
            found += [
                (f"{name}: capture {share:.2%} of an edit, at most 1 %", share <= 0.01),
                (
                    f"{name}: whole job of {DEFAULT_STEPS} steps {one['speedup_vs_diffusers']:.2f} times as fast as diffusers, at least 1.3",
                    one["speedup_vs_diffusers"] >= 1.3,
                ),
                (
                    f"{name}: second edit {one['second_edit_vs_diffusers']:.2f} times as fast as diffusers, at least 2; "
                    f"its calls alone would be {one['second_edit_limit']:.2f} times as fast",
                    one["second_edit_vs_diffusers"] >= 2,
                ),
            ]
        for what, first, last in _growth(one):
            found.append(
                (f"{name}: {what} costs {first:.3g} s at first and {last:.3g} s later, the same within 15 %", abs(last / first - 1) <= 0.15)
            )
    for name, one in result["networks"].items():
        if "ksampler" in one.get("memory", {}):
            mine, plain = one["memory_mb"]["ours_mb"], one["memory_mb"]["ksampler_mb"]
            found.append((f"{name}: memory {mine / plain:.2f} of a KSampler's beside the weights, at most 1.05", mine <= 1.05 * plain))
        if name.endswith(LARGE) and "memory" in one:
            mine, theirs = one["memory_mb"]["ours_mb"], one["memory_mb"]["diffusers_mb"]
            said = (
                f"fails with {one['memory']['diffusers'].get('limit_mb')} MB"
                if theirs is None
                else f"needs {theirs / mine:.1f} times as much"
            )
            found.append(
                (
                    f"{name}: a large photo takes {mine:.0f} MB, diffusers {said}: fails or at least 3 times",
                    theirs is None or theirs >= 3 * mine,
                )
            )
    found.append((f"import {1000 * result['import_s']:.0f} ms, less than 50", result["import_s"] < 0.05))
    return [f"- {'reached' if reached else 'NOT reached'}: {line}" for line, reached in found]


def _growth(one: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    """What one more of something costs where there are few of it, and where there are many."""
    edits = {count: one["rows"][f"edit_{count}"]["ours_s"] for count in (1, 2, 4, 8) if f"edit_{count}" in one["rows"]}
    if len(edits) == 4:
        yield "a further concept", edits[2] - edits[1], (edits[8] - edits[4]) / 4
    jobs = {int(steps): row["ours_s"] for steps, row in one.get("by_steps", {}).items()}
    if len(jobs) >= 4:
        first, second, *_, before, last = sorted(jobs)
        yield "a further step", (jobs[second] - jobs[first]) / (second - first), (jobs[last] - jobs[before]) / (last - before)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
