"""Prediction by the far answer in n and data, where repeated data count as what fresh data they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from orchestrator.fitting.average.predictor import Columns
from orchestrator.fitting.axes import FloatArray, law_axes
from orchestrator.fitting.caution import Caution
from orchestrator.fitting.far.answer import FarAnswer, fit_far
from orchestrator.fitting.far.misfit import LocalMisfit
from orchestrator.fitting.far.quantiles import over_ninety

#: Signs that a prediction may be off by more than this: rms residual, forward error, disagreement of the floors.
MOST_OFF: Final = 0.05
SIGN_RESIDUAL: Final = 0.05
SIGN_FORWARD: Final = 0.03
SIGN_DISAGREEMENT: Final = 0.06
#: Root mean squares of the misfit near a point that hold what was measured there.
HELD: Final = 1.3
#: Weight of the highest floor from which the table saturates; range of ln(n·d) below which the trend is the prior's.
SATURATED: Final = 0.3
LEAST_RANGE: Final = 1.0
#: Tokens a parameter below which a run is hardly begun, and times beyond the rows that are worth a word.
FEWEST_TOKENS: Final = 1.5
WORTH_SAYING: Final = 4.0


@dataclass(frozen=True, slots=True)
class FarPredictor:
    """The far answer on n and effective data.

    Parameters
    ----------
    answer
        Fitted to ``n`` and effective ``d``.
    worth
        R_D of `data_constrained`, by which repeated data are worth U + U·R_D·(1 − e^(−(D/U − 1)/R_D)); None where
        nothing repeats.
    worth_ends
        Ends of its 90 % interval.
    misfit
        How far rows near a point are missed, where data repeat: by n, unique data and data seen.
    """

    answer: FarAnswer
    worth: float | None = None
    worth_ends: tuple[float, float] | None = None
    misfit: LocalMisfit | None = None

    @classmethod
    def fitted(
        cls, columns: Columns, loss: FloatArray, worth: float | None, worth_ends: tuple[float, float] | None
    ) -> FarPredictor:
        """Return the predictor of some rows."""
        answer = fit_far(effective(columns, worth), loss)
        if worth is None:
            return cls(answer)
        off = answer.predict(effective(columns, worth)) - np.log(loss)
        return cls(answer, worth, worth_ends, LocalMisfit.of(_places(columns), HELD * off))

    @property
    def kind(self) -> str:
        """Return how it predicts."""
        if self.worth is None:
            return "kaplan_floor over many floors"
        return f"kaplan_floor over many floors, on n and effective data (R_D {self.worth:.3g} of data_constrained)"

    @property
    def needs(self) -> tuple[str, ...]:
        """Return ``n`` and ``d``."""
        return ("n", "d")

    def log_loss(self, columns: Columns) -> FloatArray:
        """Return ln L of each row."""
        return self.answer.predict(effective(columns, self.worth))

    def half_width(self, columns: Columns, level: float) -> FloatArray:
        """Return the half-width; what repeated data are worth is uncertain too."""
        half = self.answer.half_width(effective(columns, self.worth), level)
        if self.misfit is not None:
            half = np.maximum(half, over_ninety(level) * self.misfit.at(_places(columns)))
        if self.worth_ends is None:
            return half
        low, high = (self.answer.predict(effective(columns, end)) for end in self.worth_ends)
        return np.sqrt(half**2 + (0.5 * (high - low)) ** 2)

    def cautions(self, columns: Columns) -> list[Caution]:
        """Return how far beyond the rows these lie, and which signs there are that they may be far off."""
        at, answer = effective(columns, self.worth), self.answer
        beyond = float(np.exp((np.log(at["n"]) + np.log(at["d"])).max() - answer.log_cost[1]))
        apart = float(answer.disagreement(at).max())
        found, where = (
            [],
            f"{beyond:.3g}× beyond the compute of the rows" if beyond > WORTH_SAYING else "among the rows",
        )
        signs = {
            "residual": (answer.residual_rmse, SIGN_RESIDUAL),
            "forward": (answer.floors.rolling_rmse or 0.0, SIGN_FORWARD),
            "disagreement": (apart, SIGN_DISAGREEMENT),
        }
        shown = {name: value for name, (value, most) in signs.items() if value > most}
        if shown:
            said = {
                "residual": "the rows lie {:.1%} from the law",
                "forward": "dearer rows were predicted {:.1%} off",
                "disagreement": "floors disagree by {:.1%}",
            }
            why = ", ".join(said[name].format(value) for name, value in shown.items())
            text = f"{where}: may be off by more than {MOST_OFF:.0%} ({why})"
            found.append(Caution(text, "may_be_off", beyond=beyond, **shown))
        elif beyond > WORTH_SAYING:
            found.append(Caution(f"{where}; the interval grows with it", "beyond", beyond=beyond))
        if float((at["d"] / at["n"]).min()) < FEWEST_TOKENS:
            few = float((at["d"] / at["n"]).min())
            found.append(
                Caution(
                    f"{few:.2g} tokens a parameter: early in a run no law of its end holds",
                    "early",
                    tokens_per_param=few,
                )
            )
        return found

    def table_cautions(self) -> list[Caution]:
        """Return what the rows themselves make doubtful far out."""
        floors, span = self.answer.floors, self.answer.log_cost[1] - self.answer.log_cost[0]
        found = []
        if floors.weights[-1] > SATURATED:
            share = float(floors.weights[-1])
            text = (
                f"the loss hardly falls any more (its highest floor has weight {share:.2f}): far out it may fall less"
            )
            found.append(Caution(text, "saturating", weight=share))
        if span < LEAST_RANGE:
            text = (
                f"n·d spans a factor of {np.exp(span):.2g} only: far out the trend is that of other tables, not of "
                "these rows; add cheaper or dearer cells"
            )
            found.append(Caution(text, "narrow_range", factor=float(np.exp(span))))
        return found

    def facts(self) -> dict[str, Any]:
        """Return the floors, their weights, and what else it is made of."""
        return {"kind": self.kind, "effective_data_R_D": self.worth, **self.answer.facts()}


def _places(columns: Columns) -> FloatArray:
    axes = law_axes(columns, data_seen=True)
    unique = axes.get("unique_d", axes["d"])
    return np.log(np.column_stack([axes["n"], unique, axes["d"]]))


def effective(columns: Columns, worth: float | None) -> dict[str, FloatArray]:
    """Return ``n`` and effective ``d`` (data seen where nothing repeats) of a table's columns."""
    axes = law_axes(columns, data_seen=True)
    seen = axes["d"]
    if worth is None or "unique_d" not in axes:
        return {"n": axes["n"], "d": seen}
    unique = axes["unique_d"]
    return {"n": axes["n"], "d": unique * (1.0 - worth * np.expm1(-(seen / unique - 1.0) / worth))}
