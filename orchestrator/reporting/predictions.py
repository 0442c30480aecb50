"""What a law predicts for rows that its fit has not seen, and the law's figures in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.fitting import LawFit, fit
from orchestrator.fitting.average.fit import AverageFit
from orchestrator.fitting.axes import FloatArray, Mask
from orchestrator.fitting.law import Law
from orchestrator.fitting.validation import HoldOut, held_out_rows
from orchestrator.reporting.points import Points
from orchestrator.spec.registries import LAWS

GREEK: Final = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "zeta": "ζ", "eta": "η"}


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predicted target of each row, shape (rows,), and the rows held out from the fit that predicts; None if none."""

    values: FloatArray
    held: Mask | None


def predictions(points: Points, law: LawFit, hold_out: HoldOut) -> Predictions:
    """Predict every row by a second fit without the held-out rows, where the law has a held-out error.

    That fit is the one behind ``law.held_out_rmse_log``, which is thus the spread of the held-out rows about 1:1.
    Without it, rows are predicted by the fit to all of them.
    """
    if law.held_out_rmse_log is not None:
        held = held_out_rows(points.axes, hold_out)
        if held is not None:
            rest = fit(
                points.table.filter(~held), target=points.target, laws=[law.law], hold_out="none", bootstrap=0
            ).fits.get(law.law)
            if rest is not None:
                return Predictions(rest.predict(points.table), held)
    return Predictions(law.predict(points.table), None)


def facts(law: LawFit) -> str:
    """Return the law's name, its exponents with 90 % intervals and its errors, one a line."""
    form: Law = LAWS.load(law.params_of if isinstance(law, AverageFit) else law.law)()
    interval = " [90 % interval]" if any(estimate.lo is not None for estimate in law.params.values()) else ""
    name = f"{law.law}; exponents: {law.params_of}" if isinstance(law, AverageFit) else f"{law.law} law"
    lines = [name, f"all {law.n_rows:,} rows{interval}"]
    lines += _exponents(
        law, [p.name for p in form.parameters(law.axes) if p.role == "exponent" and p.name in law.params]
    )
    error = law.held_out_rmse_log
    lines.append("no held-out error" if error is None else f"held-out RMSE(log) {error:.3g}")
    return "\n".join(lines)


def _exponents(law: LawFit, names: Sequence[str]) -> list[str]:
    lines = []
    for name in names:
        estimate, symbol = law.params[name], GREEK.get(name, name)
        if estimate.value is None:
            lines.append(f"{symbol} not identified")
        elif estimate.lo is None or estimate.hi is None:
            lines.append(f"{symbol} = {estimate.value:.3f}")
        else:
            lines.append(f"{symbol} = {estimate.value:.3f}  [{estimate.lo:.3f}, {estimate.hi:.3f}]")
    return lines
