"""How near the order of stages comes to the makespan that no schedule beats.

    python benchmarks/makespan.py

The list schedule of the stage tree is simulated with the estimated stage times, in the order that the driver uses, and
again with times that differ from the estimates by a seeded log-normal factor (standard deviation 0.2), which the order
does not know. The bound is the larger of the work shared evenly and the longest path.
"""

from __future__ import annotations

import numpy as np
from table import print_table

from orchestrator.planning import make_plan
from orchestrator.planning.cost import lower_bound_s, schedule_s
from orchestrator.spec import load_sweep

WORKERS = (2, 4, 8, 64, 1024)
SWEEPS = {
    "quickstart": [],
    "quickstart, wsm": ["train.schedule=wsm"],
    "quickstart, 4 seeds": ["grid.seeds=4"],
    "quickstart, E = 1 … 8, 4 seeds": ["grid.epochs=[1,2,3,4,5,6,7,8]", "grid.seeds=4"],
    "quickstart, every cell alone": ["train.schedule=cosine"],
}
NOISE = 0.2


def main() -> None:
    """Print the table."""
    rows = []
    for name, overrides in SWEEPS.items():
        plan = make_plan(load_sweep("sweeps/quickstart.yaml", overrides=overrides))
        for noisy in (False, True):
            rng = np.random.default_rng(0)
            taken_s = {k: s * float(np.exp(NOISE * rng.normal() if noisy else 0.0)) for k, s in plan.stages_s.items()}
            path_s = max(plan.tree.remaining_s(taken_s).values())
            ratios = [
                schedule_s(plan.tree, taken_s, plan.remaining_s, workers)
                / lower_bound_s(sum(taken_s.values()), path_s, workers)
                for workers in WORKERS
            ]
            kind = "off by 20 %" if noisy else "as estimated"
            rows.append([name, len(plan.tree), kind, *(f"{ratio:.3f}" for ratio in ratios)])
    print_table(["sweep", "stages", "times", *(f"{workers} workers" for workers in WORKERS)], rows)


if __name__ == "__main__":
    main()
