"""What a fit answers with: parameters with intervals, held-out error, predictions."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import AXES, FloatArray, law_axes, training_cost
from orchestrator.fitting.check import QUALITIES, numeric_columns
from orchestrator.fitting.frames import as_html, parameter_rows, summary
from orchestrator.fitting.identifiability import Identifiability, Withheld
from orchestrator.fitting.law import Law
from orchestrator.fitting.separability import Separability
from orchestrator.fitting.table_words import missing_column
from orchestrator.spec.registries import LAWS

#: Draws of all laws, over all rows of a slice, that are made at a time: 16 MB of them.
MOST_DRAWS = 2_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A parameter's value with its 90 % interval; None where the rows can't tell it."""

    value: float | None
    lo: float | None
    hi: float | None

    def to_json(self) -> dict[str, float | None]:
        """Return a JSON-able dictionary."""
        return {"value": self.value, "lo": self.lo, "hi": self.hi}


@dataclass(frozen=True, kw_only=True)
class LawFit:
    """A law fitted to a table.

    Parameters
    ----------
    law, target
        Registry name of the law, and the column it predicts.
    axes
        Axes of the law; ``predict`` needs the columns they are made from.
    params
        Every parameter with its interval; numbers that the rows can't tell are None.
    objective
        Sum of Huber losses (threshold 1e-3) on the log residuals of all rows; comparable between laws.
    r2_log
        Share of the variance of the log target explained.
    held_out_rmse_log
        Root mean square error of the log target on rows left out of a second fit; None where it can't be had.
    n_rows
        Rows fitted.
    warnings
        One sentence each.
    solution
        All parameter values (P,), those without a number in ``params`` included: predictions need them.
    draws
        Bootstrap replicas of them, shape (B, P).
    residuals
        Log residuals, scaled up for the degrees of freedom; at most 1,000. Divided by the noise of their rows,
        ``(n·d·e / noise_cost)^noise_power``.
    seed
        Of the bootstrap and of the noise in ``predict_interval``.
    rolling_rmse_log
        Root mean square error of the log target on dearer rows, predicted again and again from cheaper ones, over the
        folds that all laws of the report share; None where it can't be had.
    ahead
        The last of these errors, at most 1,000.
    dearest
        Largest n·d·e among the rows.
    noise_power, noise_cost
        How the noise goes along n·d·e, power 0 where rows count alike, and where it has the size of ``residuals``.
    identifiability
        How well the rows tell the parameters apart.
    withheld
        Why parameters have no number, by their names.
    """

    law: str
    target: str
    axes: tuple[str, ...]
    params: dict[str, Estimate]
    objective: float
    r2_log: float
    held_out_rmse_log: float | None
    n_rows: int
    warnings: list[str]
    solution: FloatArray = field(repr=False)
    draws: FloatArray = field(repr=False)
    residuals: FloatArray = field(repr=False)
    seed: int = 0
    rolling_rmse_log: float | None = None
    ahead: FloatArray = field(default_factory=lambda: np.zeros(0), repr=False)
    dearest: float = np.inf
    noise_power: float = 0.0
    noise_cost: float = 1.0
    identifiability: Identifiability | None = None
    withheld: dict[str, Withheld] = field(default_factory=dict)

    def predict(self, table: pa.Table) -> FloatArray:
        """Return the target of each row, shape (rows,).

        Raises
        ------
        BadInput
            If a column that the law needs is missing or holds anything but positive numbers.
        """
        law, axes = self._law_and_axes(table)
        loss = law.predict(self.solution, axes)
        return np.minimum(1.0 / loss, 1.0) if self.target in QUALITIES else loss

    def predict_interval(self, table: pa.Table, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Return the ends (lo, hi) of an interval for a new run's target, each of shape (rows,).

        Holds the bootstrap's spread of the parameters and the noise of a run: of the residuals, or, for runs dearer
        than all that were fitted, of the errors that the law has made in predicting dearer rows.

        Raises
        ------
        BadInput
            As ``predict``; also for a level outside (0, 1) and after a fit without a bootstrap.
        """
        return pooled_interval([self], table, level)

    def drawn(self, table: pa.Table, step: int) -> Iterator[tuple[slice, FloatArray]]:
        """Yield slices of so many rows with draws of the log loss of new runs there, shape (B, rows of the slice)."""
        law, axes = self._law_and_axes(table)
        coords = law.to_coords(self.draws, axes)
        random = np.random.default_rng(self.seed)
        near = random.choice(self.residuals, size=(len(coords), 1))
        far = random.choice(np.concatenate([self.ahead, -self.ahead]), size=near.shape) if self.ahead.size else near
        cost = training_cost(axes)
        beyond, noise = cost > self.dearest, (cost / self.noise_cost) ** self.noise_power
        log_axes = {name: np.log(values) for name, values in axes.items()}
        for start in range(0, table.num_rows, step):
            rows = slice(start, start + step)
            logs = law.log_loss(coords, {name: values[rows] for name, values in log_axes.items()})
            yield rows, logs + np.where(beyond[rows], far, near * noise[rows])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dictionary from which `from_dict` makes an equal fit."""
        errors = ("r2_log", "held_out_rmse_log", "rolling_rmse_log")
        same = ("law", "target", "objective", *errors, "n_rows", "seed", "dearest", "noise_power", "noise_cost")
        return {
            **{name: getattr(self, name) for name in same},
            "axes": list(self.axes),
            "params": {k: v.to_json() for k, v in self.params.items()},
            "warnings": list(self.warnings),
            "solution": self.solution.tolist(),
            "draws": self.draws.tolist(),
            "residuals": self.residuals.tolist(),
            "ahead": self.ahead.tolist(),
            "identifiability": None if self.identifiability is None else self.identifiability.to_json(),
            "withheld": {name: {"cause": found.cause, "why": found.why} for name, found in self.withheld.items()},
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> LawFit:
        """Return the fit that `to_dict` wrote down.

        Raises
        ------
        BadInput
            If a key is missing.
        """
        try:
            solution = np.asarray(stored["solution"], dtype=np.float64)
            return cls(
                law=stored["law"],
                target=stored["target"],
                axes=tuple(stored["axes"]),
                params={k: Estimate(v["value"], v["lo"], v["hi"]) for k, v in stored["params"].items()},
                objective=stored["objective"],
                r2_log=stored["r2_log"],
                held_out_rmse_log=stored["held_out_rmse_log"],
                n_rows=stored["n_rows"],
                warnings=list(stored["warnings"]),
                solution=solution,
                draws=np.asarray(stored["draws"], dtype=np.float64).reshape(-1, solution.size),
                residuals=np.asarray(stored["residuals"], dtype=np.float64),
                seed=stored["seed"],
                rolling_rmse_log=stored.get("rolling_rmse_log"),
                ahead=np.asarray(stored["ahead"], dtype=np.float64),
                dearest=stored["dearest"],
                noise_power=stored["noise_power"],
                noise_cost=stored["noise_cost"],
                identifiability=Identifiability.from_json(stored["identifiability"]),
                withheld={name: Withheld(found["cause"], found["why"]) for name, found in stored["withheld"].items()},
            )
        except KeyError as error:
            raise BadInput(f"stored fit lacks the key {error.args[0]!r}; fit again") from error

    def _law_and_axes(self, table: pa.Table) -> tuple[Law, dict[str, FloatArray]]:
        law: Law = LAWS.load(self.law)()
        wanted = {*self.axes, *(("d", "e", "unique_d") if "d" in self.axes else ())}
        present = [name for name in AXES if name in wanted and name in table.column_names]
        axes = law_axes(numeric_columns(table, present), data_seen=law.data_seen)
        for name in self.axes:
            if name not in axes:
                column = "e" if name == "unique_d" and "d" in present else name
                raise BadInput(missing_column(table, column, f"law {self.law}"))
        return law, {name: axes[name] for name in self.axes}


def pooled_interval(fits: Sequence[LawFit], table: pa.Table, level: float) -> tuple[FloatArray, FloatArray]:
    """Return the ends (lo, hi), each of shape (rows,), of an interval that holds the draws of several laws alike.

    Raises
    ------
    BadInput
        As `LawFit.predict_interval`.
    """
    if not 0 < level < 1:
        raise BadInput(f"level {level!r}: must lie between 0 and 1, such as 0.9")
    for fit in fits:
        if not len(fit.draws):
            raise BadInput(f"{fit.law} was fitted without a bootstrap, so it has no intervals; fit with bootstrap=1000")
    ends = np.empty((2, table.num_rows))
    step = max(1, MOST_DRAWS // sum(len(fit.draws) for fit in fits))
    for parts in zip(*(fit.drawn(table, step) for fit in fits), strict=True):
        logs = np.concatenate([draws for _, draws in parts])
        ends[:, parts[0][0]] = np.quantile(logs, [(1 - level) / 2, (1 + level) / 2], axis=0)
    lo, hi = np.exp(ends)
    if fits[0].target in QUALITIES:
        return np.minimum(1.0 / hi, 1.0), np.minimum(1.0 / lo, 1.0)
    return lo, hi


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """Every law that could be fitted, the one that predicts best, and what a person should know.

    Parameters
    ----------
    fits
        Law name to fit.
    best
        The fit that stands first in ``ranking``, or None: the default answer (`average`) where it was made.
    best_law
        The best single law: its exponents are those to read.
    warnings
        About the table, and about laws left out.
    reasons
        Those of the warnings that say why laws, or all of them, could not be fitted.
    ranking
        Names of the laws fitted, best first (see :mod:`orchestrator.fitting.ranking`).
    near
        Those among them that the rows can't tell from the best.
    target, n_rows
        Column fitted, and rows of the table.
    separability
        Where rows are compressed: whether their damage depends on the model, as the product law says it doesn't.
    """

    fits: dict[str, LawFit]
    best: LawFit | None
    warnings: list[str]
    target: str
    n_rows: int
    ranking: list[str] = field(default_factory=list)
    near: list[str] = field(default_factory=list)
    separability: Separability | None = None
    best_law: LawFit | None = None
    reasons: list[str] = field(default_factory=list)

    def predict(self, table: pa.Table) -> FloatArray:
        """Return the target of each row, shape (rows,): by the default answer, else the mean of the laws in ``near``.

        That mean is geometric.

        Raises
        ------
        BadInput
            As `LawFit.predict`.
        """
        if self.best is not None and self.best is not self.best_law:
            return self.best.predict(table)
        result: FloatArray = np.exp(np.mean([np.log(self.fits[name].predict(table)) for name in self.near], axis=0))
        return result

    def predict_interval(self, table: pa.Table, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Return the ends (lo, hi) of the interval of what ``predict`` returns; of laws, with their disagreement.

        Raises
        ------
        BadInput
            As `LawFit.predict_interval`.
        """
        if self.best is not None and self.best is not self.best_law:
            return self.best.predict_interval(table, level)
        return pooled_interval([self.fits[name] for name in self.near], table, level)

    def summary(self) -> str:
        """Return the laws with parameters, intervals and errors in words."""
        return summary(self)

    def to_pandas(self) -> Any:
        """Return a data frame with one row a parameter: ``law, parameter, value, lo, hi``.

        Raises
        ------
        BadInput
            If pandas isn't installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise BadInput("pandas isn't installed: pip install pandas, or read `fits` as it is") from None
        return pandas.DataFrame(parameter_rows(self))

    def _repr_html_(self) -> str:
        return as_html(self)
