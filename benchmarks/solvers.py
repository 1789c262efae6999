"""How each solver edits in few steps: success, other objects and background, as JSON and as a Markdown table.

    make solvers

The edits and settings of `make quality`, which were tuned for LEDITS++ in many steps and are not tuned anew; concepts act in the same
share of the steps. The small checkpoint is not made for few steps.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from benchmarks.quality.edits import SCORED, make_edits
from benchmarks.quality.methods import OURS
from benchmarks.quality.report import score, summary
from benchmarks.quality.settings import Setting, load
from benchmarks.quality.work import Job, Workers
from scripts.figures import Results, solvers
from scripts.paths import RESULTS

STEPS = (4, 8)
SOLVERS = (("LEDITS++", 0), ("first order", 0), ("first order", 1), ("ODE", 0), ("LCM", 0))
EACH = 4


def setting_of(setting: Setting, steps: int, solver: str, path_shift: int) -> Setting:
    share = steps / setting.steps
    warmup, cooldown = round(setting.warmup * share), round(setting.cooldown * share)
    return replace(setting, steps=steps, warmup=warmup, cooldown=cooldown, solver=solver, path_shift=path_shift)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=EACH, help="edits of each kind")
    each = parser.parse_args().each
    settings, edits, results = load(), make_edits(SCORED, each), []
    with Workers() as workers:
        for steps in STEPS:
            runs = {
                solver: [Job(edit, setting_of(settings[edit.kind], steps, *solver), (OURS,), full=False) for edit in edits]
                for solver in SOLVERS
            }
            workers.finish([job for jobs in runs.values() for job in jobs], f"{steps} steps")
            for (solver, shift), jobs in runs.items():
                results.append({"steps": steps, "solver": solver, "path_shift": shift, **summary([score(job, OURS) for job in jobs])})
            (RESULTS / "solvers.json").write_text(json.dumps({"edits": len(edits), "runs": results}, indent=1) + "\n")
    print(solvers(Results(RESULTS)))


if __name__ == "__main__":
    main()
