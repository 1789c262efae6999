"""How each solver edits in few steps: success, other objects and background, as JSON and as a Markdown table.

    make solvers

The place is found from the words of what is there, one setting for all kinds, and nothing tuned; beside them the same in 20 steps. Few
steps begin at a skip of 0: at the levels that checkpoints of few steps were trained at. The small checkpoint was not trained for them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from benchmarks.quality.edits import SCORED, make_edits
from benchmarks.quality.methods import FOUND
from benchmarks.quality.report import score, summary
from benchmarks.quality.settings import ANY_KIND
from benchmarks.quality.work import Job, Workers
from scripts.figures import Results, solvers
from scripts.paths import RESULTS

SOLVERS = (("LEDITS++", 0), ("first order", 0), ("first order", 1), ("ODE", 0), ("LCM", 0))
WHOLE = [(20, solver, 0, skip) for solver, skip in (("LEDITS++", 0.05), ("LEDITS++", 0.0), ("first order", 0.05), ("ODE", 0.05))]
RUNS = [(steps, solver, shift, 0.0) for steps in (4, 8) for solver, shift in SOLVERS] + WHOLE
"""Steps, solver, path_shift and skip."""
EACH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=EACH, help="edits of each kind")
    each = parser.parse_args().each
    edits, results = make_edits(SCORED, each), []
    with Workers() as workers:
        for run in RUNS:
            chosen = dict(zip(("steps", "solver", "path_shift", "skip"), run, strict=True))
            jobs = [Job(edit, replace(ANY_KIND, **chosen), (FOUND,), full=False) for edit in edits]
            workers.finish(jobs, ", ".join(f"{name} {value}" for name, value in chosen.items()))
            results.append(chosen | summary([score(job, FOUND) for job in jobs]))
            (RESULTS / "solvers.json").write_text(json.dumps({"edits": len(edits), "runs": results}, indent=1) + "\n")
    print(solvers(Results(RESULTS)))


if __name__ == "__main__":
    main()
