"""Rows chosen before any loss is known, against random rows of the same cost, on the published tables.

    OMP_NUM_THREADS=1 python benchmarks/selection_far.py [FOLDER]     (default: ../shared/data)

The dearest fifth of each table of `far.py` is predicted from rows that 5, 10 and 20 % of the others' cost pays for.
Figures: error over that of the median of seven random choices, fitted by the far answer and by a Chinchilla law.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from far import Columns, tables
from table import machine, print_table

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.far.answer import fit_far
from orchestrator.fitting.laws.chinchilla import Chinchilla
from orchestrator.fitting.sample import centred
from orchestrator.fitting.selection.costs import Costs
from orchestrator.fitting.selection.prior_plan import Rows
from orchestrator.fitting.selection.selector import Selector

FRACTIONS = (0.05, 0.10, 0.20)
SEEDS = 7
FEWEST = 4
WHOLE = "Gemstones"


def errors(columns: Columns, rows: Rows, dear: Rows) -> list[float]:
    """Return RMSE(log) of the dear rows by the far answer and by a Chinchilla law, nan where that can't be fitted."""
    known, there = ({name: values[part] for name, values in columns.items()} for part in (rows, dear))
    truth = np.log(columns["loss"][dear])
    far = fit_far(known, known["loss"]).predict(there)
    law = Chinchilla()
    sample, units = centred({axis: known[axis] for axis in "nd"}, known["loss"])
    if law.obstacle(sample.log_axes) is not None:
        return [float(np.sqrt(np.mean((far - truth) ** 2))), float("nan")]
    coords = law.shift(law.solve(sample)[None], units.axes, units.loss)
    plain = law.log_loss(coords, {axis: np.log(there[axis]) for axis in "nd"})[0]
    return [float(np.sqrt(np.mean((found - truth) ** 2))) for found in (far, plain)]


def at_random(cost: FloatArray, candidates: Rows, budget: float, seed: int) -> Rows:
    """Return rows in a random order until the budget is spent; what is too dear is passed over."""
    taken, spent = [], 0.0
    for row in np.random.default_rng(seed).permutation(candidates):
        if spent + cost[row] <= budget:
            taken.append(row)
            spent += cost[row]
    return np.array(taken)


def main() -> None:
    """Print a line for each share of the cost."""
    lines = []
    for fraction in FRACTIONS:
        ratios, absolute = [], []
        for name, columns in tables(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")):
            if name == WHOLE:  # its halves stand beside it
                continue
            cost = columns["n"] * columns["d"]
            dear = np.argsort(cost)[int(0.8 * cost.size) :]
            candidates = np.setdiff1d(np.arange(cost.size), dear)
            budget = fraction * float(cost[candidates].sum())
            axes = {axis: columns[axis] for axis in "nd"}
            selector = Selector(axes, candidates, dear, Costs.apart(cost[candidates]), budget)
            chosen = np.array(sorted(choice.point for choice in selector.choose_all(columns["loss"])))
            random = [at_random(cost, candidates, budget, seed) for seed in range(SEEDS)]
            random = [rows for rows in random if rows.size >= FEWEST]
            if chosen.size < FEWEST or not random:
                continue
            found = errors(columns, chosen, dear)
            middle = np.nanmedian([errors(columns, rows, dear) for rows in random], axis=0)
            ratios.append(np.array(found) / middle)
            absolute.append(found[0])
        mean, worst = np.exp(np.nanmean(np.log(ratios), axis=0)), np.nanmax(ratios, axis=0)
        shown = [f"{value:.2f}" for value in (mean[0], worst[0], mean[1], worst[1])]
        lines.append([f"{fraction:.0%}", len(ratios), *shown, f"{np.median(absolute):.4f}"])
    print(f"{machine()}\n")
    heads = ["cost", "tables", "far answer ÷ random", "worst", "Chinchilla ÷ random", "worst", "median RMSE(log)"]
    print_table(heads, lines)


if __name__ == "__main__":
    main()
