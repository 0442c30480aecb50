"""How often 90 % intervals hold the truth.

    python benchmarks/coverage.py                    simulated sweeps whose law is known
    python benchmarks/coverage.py --real [FOLDER]    published runs (default: ../shared/data)

The first draws sweeps of 36 cells under three laws and two levels of noise; what is predicted is the log loss of a run
at three times the largest N and D. The second orders runs by cost, fits the laws to the cheaper ones and predicts the
next tenth: by the bootstrap of the best law alone, and as `FitReport.predict_interval` answers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from table import machine, print_table

from orchestrator.fitting import fit
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.bootstrap import RESAMPLES
from orchestrator.fitting.law import Law
from orchestrator.spec.registries import LAWS

#: Laws with their true parameters, and those of which coverage is asked.
TRUTHS: dict[str, tuple[dict[str, float], tuple[str, ...]]] = {
    "product": ({"C": 0.05, "alpha": 0.08, "beta": 0.1, "gamma": 0.1}, ("alpha", "beta", "gamma")),
    "chinchilla": ({"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.36}, ("alpha", "beta", "E")),
    "product_floor": (
        {"L_inf": 1.5, "C": 60.0, "alpha": 0.15, "beta": 0.15, "gamma": 0.1},
        ("alpha", "beta", "gamma", "L_inf"),
    ),
}
NOISES = (0.003, 0.01)
#: Laws that are tried on published runs.
REAL_LAWS = ("product", "product_floor", "chinchilla", "kaplan", "additive")
#: Shares of the rows, cheapest first, from which the next tenth is predicted.
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def print_simulated(sweeps: int, bootstrap: int, resample: str, laws: Sequence[str]) -> None:
    """Print the coverage of parameters and of a prediction, for each law and noise."""
    lines = []
    for name, (truth, asked) in TRUTHS.items():
        if laws and name not in laws:
            continue
        law: Law = LAWS.load(name)()
        epochs = [1.0, 2.0, 4.0] if "gamma" in truth else [1.0]
        sides = 4 if "gamma" in truth else 6
        grid = np.meshgrid(np.geomspace(1e6, 1e9, sides), np.geomspace(1e7, 1e10, sides), epochs, indexing="ij")
        axes = dict(zip("nde", (side.ravel() for side in grid), strict=True))
        used = {axis: values for axis, values in axes.items() if axis in (*law.required, *law.optional)}
        used = {axis: values for axis, values in used.items() if np.ptp(values)}
        params = np.array([truth[parameter.name] for parameter in law.parameters(used)])
        far = {axis: np.array([3 * values.max() if axis != "e" else values.max()]) for axis, values in used.items()}
        clean, aim = law.predict(params, used), float(law.predict(params, far)[0])
        for noise in NOISES:
            held: dict[str, list[bool]] = {parameter: [] for parameter in (*asked, "prediction")}
            for seed in range(sweeps):
                random = np.random.default_rng([seed, int(noise * 1e6)])
                loss = clean * np.exp(random.normal(0, noise, clean.size))
                table = pa.table({**used, "loss": loss})
                found = fit(table, laws=[name], bootstrap=bootstrap, resample=resample).fits[name]
                for parameter in asked:
                    estimate = found.params[parameter]
                    if estimate.lo is not None and estimate.hi is not None:
                        held[parameter].append(estimate.lo <= truth[parameter] <= estimate.hi)
                lo, hi = found.predict_interval(pa.table(far))
                held["prediction"].append(bool(lo[0] <= aim * np.exp(random.normal(0, noise)) <= hi[0]))
            shown = [f"{parameter} {np.mean(hits):.1%} of {len(hits)}" for parameter, hits in held.items()]
            lines.append([name, noise, clean.size, ", ".join(shown[:-1]), f"{np.mean(held['prediction']):.1%}"])
    print_table(["law", "noise of log L", "cells", "parameters inside their 90 % interval", "new run inside"], lines)


def real_sets(folder: Path) -> Iterator[tuple[str, dict[str, FloatArray]]]:
    """Yield published runs: Chinchilla's points, Gadre's corpora, Gemstones by width."""
    table = pyarrow.csv.read_csv(folder / "chinchilla_epoch" / "points.csv")
    n, flops, loss = (np.asarray(table[name], dtype=np.float64) for name in ("Model Size", "Training FLOP", "loss"))
    kept = np.argsort(loss)[:-5]
    yield "Chinchilla", {"n": n[kept], "d": (flops / (6 * n))[kept], "loss": loss[kept]}
    table = pyarrow.csv.read_csv(folder / "gadre" / "runs.csv")
    corpora = np.array(table["dataset"].to_pylist())
    for corpus in np.unique(corpora):
        here = corpora == corpus
        columns = {"n": "params", "d": "tokens", "loss": "loss_c4_val"}
        yield f"Gadre {corpus}", {to: np.asarray(table[name], dtype=np.float64)[here] for to, name in columns.items()}
    runs = [json.loads(line) for line in (folder / "gemstones" / "losses.jsonl").read_text().splitlines()]
    for width in sorted({run["width"] for run in runs}):
        here = [run for run in runs if run["width"] == width]
        columns = {"n": "params_active_precise", "d": "tokens", "loss": "final_loss"}
        points = {to: np.array([float(run[name]) for run in here]) for to, name in columns.items()}
        if np.unique(points["n"]).size >= 3:
            yield f"Gemstones, width {width}", points


def print_real(folder: Path, bootstrap: int) -> None:
    """Print how many runs of each next budget lie inside, and how wide the intervals are."""
    lines: list[list[object]] = []
    totals: list[tuple[int, ...]] = []
    widths: list[list[float]] = []
    for name, points in real_sets(folder):
        cost = points["n"] * points["d"]
        edges = [*np.quantile(cost, SHARES), cost.max()]
        hits, ratios = [], []
        for lower, upper in pairwise(edges):
            known, ahead = cost <= lower, (cost > lower) & (cost <= upper)
            if known.sum() < 12 or not ahead.any():
                continue
            report = fit(_part(points, known), laws=REAL_LAWS, bootstrap=bootstrap)
            if report.best is None:
                continue
            aims = _part(points, ahead)
            truth = points["loss"][ahead]
            inside: list[FloatArray] = []
            width = []
            for source in (replace(report.best, ahead=np.zeros(0)), report):
                for level in (0.8, 0.9):
                    lo, hi = source.predict_interval(aims, level)
                    inside.append((lo <= truth) & (truth <= hi))
                    width.append(float(np.mean(np.log(hi / lo))))
            hits.append(np.array(inside).sum(1))
            ratios.append((int(ahead.sum()), width[2] / width[0], width[3] / width[1]))
        if hits:
            rows, *wider = np.array(ratios).T
            totals.append((int(rows.sum()), *np.sum(hits, axis=0)))
            widths.append([float(np.exp(np.mean(np.log(ratio)))) for ratio in wider])
            lines.append([name, *_shown(totals[-1], widths[-1])])
    lines.append(["all", *_shown(np.sum(totals, axis=0), np.exp(np.mean(np.log(widths), axis=0)))])
    header = [
        "runs",
        "predicted",
        "bootstrap, 80 %",
        "90 %",
        "predicted, 80 %",
        "90 %",
        "width ÷ bootstrap's, 80 %",
        "90 %",
    ]
    print_table(header, lines)


def _shown(counts: Sequence[int], widths: Sequence[float]) -> list[str]:
    count, *hits = counts
    return [str(count), *(f"{hit / count:.2f}" for hit in hits), *(f"{width:.2f}" for width in widths)]


def _part(points: dict[str, FloatArray], rows: Sequence[bool] | FloatArray) -> pa.Table:
    return pa.table({name: values[rows] for name, values in points.items()})


def main() -> None:
    """Print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", nargs="?", type=Path, const=Path("../shared/data"), metavar="FOLDER")
    parser.add_argument("--sweeps", type=int, default=500)
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--resample", choices=RESAMPLES, default="case", help="of the simulated sweeps")
    parser.add_argument("--law", action="append", choices=TRUTHS, help="only this one of the simulated sweeps")
    options = parser.parse_args()
    print(f"{machine()}\n")
    if options.real:
        print_real(options.real, options.bootstrap)
    else:
        print_simulated(options.sweeps, options.bootstrap, options.resample, options.law)


if __name__ == "__main__":
    main()
