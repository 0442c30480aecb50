"""Far extrapolation on published runs: cheap rows fitted, dear ones predicted, near and far, with interval coverage.

    OMP_NUM_THREADS=1 python benchmarks/far.py [FOLDER] [--each] [--law NAME …] [--bootstrap B]     (../shared/data)

Nine tables (Chinchilla's points, Gadre's corpora, Gemstones whole, wide and deep, the envelope and the lower quartile
of learning rates and batches), each cut where 15, 25, 40, 55 % of the range of log compute is left over. *Near* are
rows up to 4 times the largest compute fitted, *far* those beyond. Figures are geometric means over tables of RMSE(log)
over that of a Chinchilla law fitted to the same rows (each table the geometric mean of its cuts); coverage of the
nominal 90 % interval is that of rows, averaged over tables; width is over that of the interval which would just do:
the same for every row and as wide as holds 90 % of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from table import machine, print_table

from orchestrator.fitting import FitReport, fit
from orchestrator.fitting.axes import FloatArray, Mask

Columns = dict[str, FloatArray]
LEFT_OVER = (0.15, 0.25, 0.40, 0.55)
NEAR = 4.0
#: Rows that a cut must leave known, and a part (near or far) must have to count.
FEWEST_KNOWN = 12
FEWEST_AHEAD = 3
ANSWER = "average"
REFERENCE = "chinchilla"


def tables(folder: Path) -> Iterator[tuple[str, Columns]]:
    """Yield the published tables as columns n, d, loss."""
    table = pyarrow.csv.read_csv(folder / "chinchilla_epoch" / "points.csv")
    n, flops, loss = (np.asarray(table[name], dtype=np.float64) for name in ("Model Size", "Training FLOP", "loss"))
    kept = np.argsort(loss)[:-5]
    yield "Chinchilla", {"n": n[kept], "d": (flops / (6 * n))[kept], "loss": loss[kept]}
    table = pyarrow.csv.read_csv(folder / "gadre" / "runs.csv")
    corpora = np.array(table["dataset"].to_pylist())
    named = {"n": "params", "d": "tokens", "loss": "loss_c4_val"}
    for corpus in np.unique(corpora):
        yield f"Gadre {corpus}", {to: np.asarray(table[name], float)[corpora == corpus] for to, name in named.items()}
    runs = [json.loads(line) for line in (folder / "gemstones" / "losses.jsonl").read_text().splitlines()]
    named = {"n": "params_active_precise", "d": "tokens", "loss": "final_loss"}
    gems = {to: np.array([float(run[name]) for run in runs]) for to, name in named.items()}
    shape = np.array([run["width"] / run["depth"] for run in runs])
    middle = np.median(sorted({run["width"] / run["depth"] for run in runs}))
    yield "Gemstones", gems
    yield "Gemstones, wide", _part(gems, shape > middle)
    yield "Gemstones, deep", _part(gems, shape <= middle)
    yield from _learning_rates(folder)


def _learning_rates(folder: Path) -> Iterator[tuple[str, Columns]]:
    """The lowest loss of each (N, D) over learning rates and batches, and its lower quartile."""
    named = ("non_embedding_param_size", "data_size", "lm_loss")
    parts = [
        pq.read_table(folder / "scalebench" / f"lr_bsz_{part}.parquet").select(named) for part in ("train", "test")
    ]
    n, d, loss = (np.concatenate([np.asarray(part[name], float) for part in parts]) for name in named)
    points, of = np.unique(np.column_stack([n, d]), axis=0, return_inverse=True)
    for name, share in (("lr_bsz envelope", 0.0), ("lr_bsz lower quartile", 0.25)):
        yield (
            name,
            {
                "n": points[:, 0],
                "d": points[:, 1],
                "loss": np.array([np.quantile(loss[of == k], share) for k in range(len(points))]),
            },
        )


def cuts(columns: Columns) -> Iterator[tuple[float, Mask, Mask, Mask]]:
    """Yield for each cut the share left over, and which rows are known, near and far."""
    log_cost = np.log(columns["n"] * columns["d"])
    for share in LEFT_OVER:
        known = log_cost <= log_cost.max() - share * np.ptp(log_cost)
        if known.sum() < FEWEST_KNOWN or (~known).sum() < FEWEST_AHEAD:
            continue
        near = ~known & (log_cost <= log_cost[known].max() + np.log(NEAR))
        yield share, known, near, ~known & ~near


@dataclass
class Score:
    """What one answer did on one part (near or far) of one cut."""

    ratio: float
    held: float = float("nan")
    width: float = float("nan")


@dataclass
class Scores:
    """By answer, part and table: the scores of the cuts."""

    by: dict[str, dict[str, dict[str, list[Score]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    )

    def add(self, answer: str, part: str, table: str, score: Score) -> None:
        """Keep one."""
        self.by[answer][part][table].append(score)

    def line(self, answer: str) -> list[str]:
        """Return the figures of an answer: error, worst table, coverage and width, each near / far."""
        found: dict[str, list[str]] = defaultdict(list)
        for part in ("near", "far"):
            of_tables = self.by[answer][part]
            ratios = [float(np.exp(np.mean([np.log(s.ratio) for s in scores]))) for scores in of_tables.values()]
            found["error"].append(f"{np.exp(np.mean(np.log(ratios))):.3f}")
            found["worst"].append(f"{max(ratios):.2f}")
            held = [np.mean([s.held for s in scores]) for scores in of_tables.values()]
            widths = [np.mean([np.log(s.width) for s in scores]) for scores in of_tables.values()]
            found["held"].append(f"{np.mean(held):.2f}")
            found["width"].append(f"{np.exp(np.mean(widths)):.2f}")
        return [answer, *(" / ".join(found[name]) for name in ("error", "worst", "held", "width"))]


def answers(report: FitReport, single: list[str] | None) -> Iterator[tuple[str, object]]:
    """Yield what is scored: the default answer, the best single law, and single laws by name."""
    yield ANSWER, report.fits.get(ANSWER, report)
    best = next(name for name in report.ranking if name != ANSWER)
    yield "best single law", report.fits[best]
    for name in single or (REFERENCE,):
        if name in report.fits:
            yield name, report.fits[name]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--each", action="store_true", help="a line for each cut as well")
    parser.add_argument("--law", action="append", help="single laws to score")
    parser.add_argument("--bootstrap", type=int, default=200)
    options = parser.parse_args()
    scores, each, begun, count = Scores(), [], time.perf_counter(), 0
    for name, columns in tables(options.folder):
        for share, known, near, far in cuts(columns):
            report = fit(pa.table(_part(columns, known)), bootstrap=options.bootstrap)
            count += 1
            for part, rows in (("near", near), ("far", far)):
                if rows.sum() < FEWEST_AHEAD:
                    continue
                aims, truth = pa.table(_part(columns, rows)), np.log(columns["loss"][rows])
                base = _rmse(report.fits[REFERENCE].predict(aims), truth)
                for answer, found in answers(report, options.law):
                    predicted = found.predict(aims)  # type: ignore[attr-defined]
                    score = Score(_rmse(predicted, truth) / base)
                    if options.bootstrap:
                        lo, hi = np.log(found.predict_interval(aims))  # type: ignore[attr-defined]
                        needed = np.quantile(np.abs(np.log(predicted) - truth), 0.9)
                        score.held = float(np.mean((lo <= truth) & (truth <= hi)))
                        score.width = float(np.mean(hi - lo) / 2 / needed)
                    scores.add(answer, part, name, score)
                    each.append(
                        [
                            name,
                            f"{share:.0%}",
                            part,
                            int(known.sum()),
                            int(rows.sum()),
                            answer,
                            f"{base:.4f}",
                            f"{score.ratio:.2f}",
                            f"{score.held:.2f}",
                            f"{score.width:.2f}",
                        ]
                    )
    seconds = time.perf_counter() - begun
    print(f"{count} cuts of {len({line[0] for line in each})} tables, {seconds / count:.2f} s a fit; {machine()}\n")
    if options.each:
        heads = [
            "table",
            "left over",
            "part",
            "fitted",
            "predicted",
            "answer",
            "RMSE of Chinchilla",
            "÷ it",
            "held",
            "width",
        ]
        print_table(heads, each)
        print()
    heads = [
        "answer",
        "RMSE(log) ÷ Chinchilla's, near / far",
        "worst table",
        "90 % interval holds",
        "width ÷ what would just do",
    ]
    print_table(heads, [scores.line(answer) for answer in scores.by])


def _rmse(predicted: FloatArray, log_truth: FloatArray) -> float:
    return float(np.sqrt(np.mean((np.log(predicted) - log_truth) ** 2)))


def _part(columns: Columns, rows: Mask) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


if __name__ == "__main__":
    main()
