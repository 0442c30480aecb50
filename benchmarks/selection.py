"""Cells chosen by what they tell for what they cost, against other ways to spend a tenth of the cost.

    python benchmarks/selection.py [FOLDER]               (default: ../shared/data)
    python benchmarks/selection.py --store runs/quick3    (a store of the quickstart with `--set grid.seeds=3`)

The first predicts the dear runs of ScaleBench's data-constrained set (Li et al. 2026) from a tenth of the cost of the
others; the second the largest N and D of the quickstart from the rest, where cells share training.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from table import machine, print_table

from orchestrator import load_sweep, make_plan, open_store
from orchestrator.execution.active_selection import stage_costs
from orchestrator.fitting import fit
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.selection import selector
from orchestrator.fitting.selection.costs import Costs
from orchestrator.fitting.selection.posterior import Belief, Rows
from orchestrator.fitting.selection.replay import quality
from orchestrator.fitting.validation import held_out_rows

AXES = ("unique_d", "n", "d", "loss")
BUDGET_FRACTION = 0.1


def d_optimal_gains(belief: Belief, points: Rows, targets: Rows) -> FloatArray:
    """Return what each point takes off the entropy of the weights (Chaloner and Verdinelli 1995, section 2.1)."""
    gains: FloatArray = np.log1p(belief.variance(points) / belief.noise)
    return gains


def chosen(
    columns: dict[str, FloatArray], loss: FloatArray, targets: Rows, costs: Costs, budget: float, seed: int
) -> Rows:
    """Return the points that active selection takes among those that are no targets."""
    candidates = np.setdiff1d(np.arange(loss.size), targets)
    chooser = selector.Selector(columns, candidates, targets, costs, budget, seed=seed)
    return np.array(sorted(choice.point for choice in chooser.choose_all(loss)))


def in_order(order: Rows, cost: FloatArray, budget: float) -> Rows:
    """Return the rows that the budget pays for, taken in an order; what is too dear is passed over."""
    taken, spent = [], 0.0
    for row in order:
        if spent + cost[row] <= budget:
            taken.append(row)
            spent += cost[row]
    return np.array(taken)


def predicted(
    points: dict[str, FloatArray], rows: Rows, targets: Rows, laws: Sequence[str] | None = None
) -> tuple[float, float]:
    """Return R² and RMSE(log) of the targets, predicted from some rows by the laws that these rows can't tell apart."""
    report = fit(pa.table({name: values[rows] for name, values in points.items()}), laws=laws, bootstrap=0)
    if not report.fits:
        return float("nan"), float("nan")
    aims = pa.table({name: values[targets] for name, values in points.items() if name != "loss"})
    return quality(report, aims, points["loss"][targets])


def print_data_constrained(folder: Path, seeds: int) -> None:
    """Print R² of the dear runs for each way to choose."""
    parts = [
        pq.read_table(folder / "scalebench" / f"data_constrained_{part}.parquet")
        .select(["unique_tokens", "params", "tokens", "loss"])
        .rename_columns(list(AXES))
        for part in ("train", "test")
    ]
    points = {name: np.concatenate([np.asarray(part[name], dtype=np.float64) for part in parts]) for name in AXES}
    known, targets = parts[0].num_rows, np.arange(parts[0].num_rows, points["loss"].size)
    cost = 6 * points["n"][:known] * points["d"][:known]
    budget = BUDGET_FRACTION * cost.sum()
    columns = {name: points[name] for name in AXES if name != "loss"}

    def active(seed: int) -> Rows:
        return chosen(columns, points["loss"], targets, Costs.apart(cost), budget, seed)

    def d_optimal(seed: int) -> Rows:
        v_optimal, Belief.gains = Belief.gains, d_optimal_gains  # type: ignore[method-assign]
        try:
            return active(seed)
        finally:
            Belief.gains = v_optimal  # type: ignore[method-assign]

    ways: dict[str, tuple[Callable[[int], Rows], int]] = {
        "active selection": (active, seeds),
        "D-optimal": (d_optimal, seeds),
        "random": (lambda seed: in_order(np.random.default_rng(seed).permutation(known), cost, budget), seeds),
        "cheapest first": (lambda seed: in_order(np.argsort(cost, kind="stable"), cost, budget), 1),
        "all rows": (lambda seed: np.arange(known), 1),
    }
    lines = []
    for name, (choose, count) in ways.items():
        picks = [choose(seed) for seed in range(count)]
        found = [predicted(points, rows, targets) for rows in picks]
        r2 = [one for one, _ in found]
        lines.append(
            [
                name,
                count,
                f"{statistics.mean(map(len, picks)):.0f}",
                f"{statistics.mean(cost[rows].sum() for rows in picks) / cost.sum():.1%}",
                f"{statistics.mean(r2):.3f}",
                f"{min(r2):.3f} to {max(r2):.3f}",
                f"{statistics.mean(error for _, error in found):.4f}",
            ]
        )
    print(f"data-constrained: {known} runs to choose from, {targets.size} to predict\n")
    print_table(["way", "seeds", "rows", "cost", "mean R²", "R²", "mean RMSE(log)"], lines)


def print_quickstart(uri: str, budget_fraction: float) -> None:
    """Print the errors at the largest N and D of each seed of a store, from a few cells and from all."""
    sweep = load_sweep("sweeps/quickstart.yaml", overrides=["grid.seeds=3"])
    losses = {row["cell_id"]: row["val_loss"] for row in open_store(uri).results(sweep.name).to_pylist()}
    lines: list[list[object]] = []
    asked = {"the sweep's laws": sweep.fit.laws, "product": ("product",)}
    ratios: dict[str, list[float]] = {name: [] for name in asked}
    for seed in range(3):
        plan = make_plan(load_sweep("sweeps/quickstart.yaml", overrides=[f"seed={seed}"]))
        loss = np.array([losses[cell.id] for cell in plan.cells])
        rows = [(cell.shape.params_non_embedding, cell.data_examples, cell.epochs) for cell in plan.cells]
        columns = dict(zip("nde", np.array(rows, dtype=np.float64).T, strict=True))
        mask = held_out_rows(columns, "largest")
        assert mask is not None
        targets, rest = np.flatnonzero(mask), np.flatnonzero(~mask)
        costs = stage_costs(plan, [[plan.cells[k]] for k in rest])
        everything = sum(stage.flops for stage in plan.tree.towards({plan.cells[k].id for k in rest}))
        few = chosen(columns, loss, targets, costs, budget_fraction * plan.flops_planned, seed)
        points = {**columns, "loss": loss}
        line = [seed, len(few), *(f"{part / plan.flops_planned:.1%}" for part in (costs.spent, everything))]
        for name, laws in asked.items():
            (_, error), (_, of_all) = (predicted(points, rows, targets, laws) for rows in (few, rest))
            ratios[name].append(error / of_all)
            line += [f"{error:.4f}", f"{of_all:.4f}", f"{error / of_all:.2f}"]
        lines.append(line)
    means = [["", "", f"{statistics.mean(values):.2f}"] for values in ratios.values()]
    lines.append(["mean", "", "", "", *(cell for part in means for cell in part)])
    print(f"quickstart: {rest.size} cells to choose from, {targets.size} to predict; RMSE(log) of these\n")
    header = ["seed", "cells", "of the grid's FLOPs", "all candidates"]
    print_table([*header, *(text for name in asked for text in (name, "from all", "ratio"))], lines)


def main() -> None:
    """Print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--store", help="a store of the quickstart with three seeds")
    parser.add_argument("--budget-fraction", type=float, default=0.12, help="with --store")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    print(f"{machine()}\n")
    if options.store:
        print_quickstart(options.store, options.budget_fraction)
    else:
        print_data_constrained(options.folder, options.seeds)


if __name__ == "__main__":
    main()
