"""Success against background PSNR: the two things that an edit trades for each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from .methods import FLOWEDIT, FOUND, IMG2IMG, INPAINT, NAMED, OURS, PUBLISHED, REPAIRED, SHIPPED, TRUE_MASK, TRUE_ONE, UNNAMED

NAMES = {
    OURS: "ours",
    FOUND: "ours, place found",
    PUBLISHED: "ours, as published",
    TRUE_MASK: "ours, true mask",
    TRUE_ONE: "ours, true mask, one setting",
    REPAIRED: "diffusers, repaired",
    SHIPPED: "diffusers, as shipped",
    FLOWEDIT: "FlowEdit",
    IMG2IMG: "img2img",
    UNNAMED: "ours, source not named",
    NAMED: "diffusers, source named",
    INPAINT: "inpainting, true mask",
}
COLOURS = {
    **{OURS: "#d1495b", FOUND: "#7b2d8b", PUBLISHED: "#d1495b", TRUE_MASK: "#8d99ae", TRUE_ONE: "#adb5bd"},
    **{REPAIRED: "#30638e", SHIPPED: "#00798c", FLOWEDIT: "#00798c", IMG2IMG: "#edae49"},
    **{UNNAMED: "#c07abf", NAMED: "#5fa8d3", INPAINT: "#b08968"},
}
BELOW, BEFORE = (FOUND, REPAIRED), (TRUE_ONE,)
"""Methods whose name stands below their dot, or left of it: they may lie close to ours."""
MARKERS = "os^v*DP"


def draw(found: dict[str, Any], path: Path) -> None:
    """A large dot for each method over all edits, a small mark for each of its kinds."""
    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    markers = dict(zip((kind for kind in next(iter(found["methods"].values()))["success"] if kind != "all"), MARKERS, strict=False))
    for method, one in found["methods"].items():
        colour = COLOURS[method]
        for kind, marker in markers.items():
            if one["success"][kind] is not None:
                axes.scatter(one["background_psnr_db_by_kind"][kind], one["success"][kind], 28, colour, marker, alpha=0.45, linewidths=0)
        centre = one["background_psnr_db"], one["success"]["all"]
        axes.scatter(*centre, 150, colour, edgecolors="white", linewidths=1.5, zorder=3)
        side = {"xytext": (-9, 7), "ha": "right"} if method in BEFORE else {"xytext": (9, -17 if method in BELOW else 7)}
        axes.annotate(NAMES[method], centre, textcoords="offset points", color=colour, weight="bold", zorder=4, **side)
    for kind, marker in markers.items():
        axes.scatter([], [], 28, "grey", marker, label=kind)
    axes.axvline(24, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="background PSNR outside the true region, dB", ylabel="share of edits that succeeded", ylim=(-0.03, 1.05))
    axes.set_title(f"{found['edits']} edits", loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, title="kind of edit")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
