"""The exponents as they firm up while a sweep runs: a cheap product law over the rows so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from orchestrator.analysis.store_rows import axes_from_rows
from orchestrator.errors import BadInput
from orchestrator.fitting import fit
from orchestrator.store.schema import ROW_SCHEMA

#: Rows, and distinct values of an axis, below which nothing is said.
FEWEST_ROWS, FEWEST_VALUES = 6, 3
#: Rows that are packed together: as a dictionary a row takes 5 kB, in a table a tenth of it.
PART_ROWS = 256


@dataclass
class LiveFit:
    """Keeps the rows of one recipe measured so far and describes their product law in a line.

    Attributes
    ----------
    exponents
        Those of the last fit, by name.
    """

    target: str
    recipe: str
    exponents: dict[str, float] = field(default_factory=dict)
    _parts: list[pa.Table] = field(default_factory=list)
    _latest: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        """Take another measured row, if it is a pretrained model of the recipe that is fitted."""
        child = row.get("finetune_examples") or row.get("compression_method")
        if row["recipe"] == self.recipe and not child:
            self._latest.append(row)
            if len(self._latest) == PART_ROWS:
                self._parts.append(self._table())
                self._latest = []

    def _table(self) -> pa.Table:
        return pa.Table.from_pylist(self._latest, schema=ROW_SCHEMA)

    def refit(self) -> str:
        """Fit the rows so far; return ``alpha 0.06 beta 0.16`` …, or an empty string while too little is known."""
        self.exponents = {}
        if not self._parts and len(self._latest) < FEWEST_ROWS:
            return ""
        try:
            table = axes_from_rows(pa.concat_tables([*self._parts, self._table()]), target=self.target)
            report = fit(table, target=self.target, laws=["product"], hold_out=None, bootstrap=0)
        except BadInput as refusal:
            return f"no fit yet: {refusal}"
        if any(len(set(table[axis].to_pylist())) < FEWEST_VALUES for axis in ("n", "d")):
            return ""
        law = report.fits.get("product")
        if law is None:
            return ""
        names = (name for name in ("alpha", "beta", "gamma") if name in law.params)
        known = {name: law.params[name].value for name in names}
        self.exponents = {name: value for name, value in known.items() if value is not None}
        return " ".join(f"{name} {value:.3f}" for name, value in self.exponents.items())
