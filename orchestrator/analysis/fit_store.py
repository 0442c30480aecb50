"""Rows of a finished sweep → fits, committed to the store so that exponents can be queried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.analysis.inputs import Evidence, from_store
from orchestrator.errors import BadInput
from orchestrator.fitting import FitReport, report_json
from orchestrator.store import Store


@dataclass(frozen=True)
class Answer:
    """The fitted laws of a sweep, or the sentence that says why there are none.

    Attributes
    ----------
    pretraining
        Of a sweep with fine-tuning: the answer of the pretrained cells, on their own task.
    """

    evidence: Evidence | None
    report: FitReport | None
    warnings: list[str]
    pretraining: Answer | None = None

    def fits_json(self) -> dict[str, Any]:
        """Return ``fits`` and ``best`` as ``scalaw fit`` prints them as JSON, and those of pretraining beside them."""
        beside = {"pretraining": self.pretraining.fits_json()} if self.pretraining else {}
        if self.report is None:
            return {"fits": {}, "best": None, "warnings": self.warnings, **beside}
        return {**report_json(self.report), **beside}


def answer(store: Store, sweep: str) -> Answer:
    """Fit the rows of a sweep with its own settings; rows that allow no fit give a warning, not an error."""
    last = _answer(store, sweep, finetuned=None)
    if len(store.sweep(sweep).get("tasks", ())) < 2:
        return last
    return Answer(last.evidence, last.report, last.warnings, _answer(store, sweep, finetuned=False))


def _answer(store: Store, sweep: str, *, finetuned: bool | None) -> Answer:
    try:
        evidence = from_store(store, sweep, finetuned=finetuned)
        report = evidence.fit()
    except BadInput as refusal:
        return Answer(None, None, [f"no fit: {refusal}"])
    evidence.commit(report)
    return Answer(evidence, report, [*evidence.notes, *report.warnings])
