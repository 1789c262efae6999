"""Cost against the number of active concepts and against the number of steps; the advantage over diffusers against the picture's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from .report import by_size, steps_of

COLOURS = {"ours": "#d1495b", "bare": "#8d99ae", "diffusers": "#30638e"}
NAMES = {"ours": "ours", "bare": "the bare network calls", "diffusers": "diffusers"}


def draw(result: dict[str, Any], path: Path) -> None:
    """A panel for each network with edits of several concepts, one for each with jobs of several lengths, one for pictures of several sizes."""
    timed = {name: one for name, one in result["networks"].items() if "rows" in one}
    panels = [(f"{name}, {steps_of(one)}: one edit", "active concepts", _by_concepts(one)) for name, one in timed.items()]
    panels += [(f"{name}: inversion and one edit", "steps", one.get("by_steps", {})) for name, one in timed.items()]
    panels = [panel for panel in panels if len(panel[2]) > 1]
    sizes = by_size(result)
    count = len(panels) + bool(sizes)
    figure, all_axes = pyplot.subplots(1, count, figsize=(4.6 * count, 4.2), layout="constrained", squeeze=False)
    for axes, (title, label, points) in zip(all_axes[0], panels, strict=False):
        places = [int(place) for place in points]
        for who, colour in COLOURS.items():
            axes.plot(places, [row[f"{who}_s"] for row in points.values()], "o-", color=colour, label=NAMES[who], markersize=5)
        axes.set(xlabel=label, ylabel="seconds, one thread", ylim=(0, None), xlim=(0, None))
        axes.set_title(title, loc="left", fontsize=10)
    if sizes:
        _draw_sizes(all_axes[0][-1], sizes)
    for axes in all_axes[0]:
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0][0].legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _draw_sizes(axes: pyplot.Axes, sizes: dict[str, dict[int, dict[str, Any]]]) -> None:
    for (network, found), marker in zip(sizes.items(), "os^", strict=False):
        ratios = [one["second_edit_vs_diffusers"] for one in found.values()]
        axes.plot(list(found), ratios, f"{marker}-", color=COLOURS["ours"], label=network, markersize=5)
    axes.axhline(1, color=COLOURS["diffusers"], linewidth=1)
    axes.text(axes.get_xlim()[1], 1, "diffusers ", color=COLOURS["diffusers"], ha="right", va="bottom", fontsize=9)
    axes.set(xlabel="pixels on a side", ylabel="times as fast as diffusers", ylim=(0, None), xlim=(0, None))
    axes.set_title("a second edit, 50 steps", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="upper left")


def _by_concepts(one: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("edit_"): row for name, row in one["rows"].items() if name.removeprefix("edit_").isdigit()}
