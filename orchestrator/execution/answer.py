"""Rows of a finished sweep → fits, committed to the store so that exponents can be queried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BadInput
from orchestrator.execution.evidence import Evidence, from_store
from orchestrator.store import Store

if TYPE_CHECKING:
    from orchestrator.fitting import FitReport


@dataclass(frozen=True)
class Answer:
    """The fitted laws of a sweep, or the sentence that says why there are none."""

    evidence: Evidence | None
    report: FitReport | None
    warnings: list[str]

    def fits_json(self) -> dict[str, Any]:
        """Return ``fits`` and ``best`` as ``scalaw fit --json`` prints them."""
        if self.report is None:
            return {"fits": {}, "best": None, "warnings": self.warnings}
        from orchestrator.fitting import report_json

        return report_json(self.report)


def answer(store: Store, sweep: str) -> Answer:
    """Fit the rows of a sweep with its own settings; rows that allow no fit give a warning, not an error."""
    try:
        evidence = from_store(store, sweep)
        report = evidence.fit()
    except BadInput as refusal:
        return Answer(None, None, [f"no fit: {refusal}"])
    evidence.commit(report)
    return Answer(evidence, report, [*evidence.notes, *report.warnings])
