"""The parsed sweep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from orchestrator.errors import BadInput, BadOption
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import NonNegativeCount
from orchestrator.spec.sections.data import Data
from orchestrator.spec.sections.evaluate import EvaluateTask
from orchestrator.spec.sections.fit import Fit
from orchestrator.spec.sections.grid import Grid
from orchestrator.spec.sections.inference import Inference
from orchestrator.spec.sections.keep import Keep, Top
from orchestrator.spec.sections.model import Model
from orchestrator.spec.sections.resources import Resources
from orchestrator.spec.sections.train import Train
from orchestrator.spec.validation_errors import Complaint, refusal
from orchestrator.spec.yaml.key_path import quoted, shown
from orchestrator.spec.yaml.line_numbers import LineNumbers

_PROGRAM = "model: {family: program} and data: {source: program}"
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_SECTIONS: tuple[tuple[str, type[Options]], ...] = (
    ("data", Data), ("model", Model), ("grid", Grid), ("train", Train), ("resources", Resources),
    ("inference", Inference), ("fit", Fit),
)  # fmt: skip


class Sweep(Options):
    """One sweep: what is trained, over which grid, with what, and what is fitted. Frozen."""

    name: str = Field(
        description="Names the sweep in its store; letters, digits, '.', '_' and '-', at most 64.",
        json_schema_extra={"pattern": f"^{NAME_PATTERN}$"},
    )
    description: str | None = Field(default=None, description="Anything a person wants to remember; never interpreted.")
    seed: NonNegativeCount = Field(default=0, lt=2**31, description="All randomness derives from it.")
    data: Data = Field(default_factory=Data)
    model: Model = Field(default_factory=Model)
    grid: Grid
    train: Train = Field(default_factory=Train)
    resources: Resources = Field(default_factory=Resources)
    inference: Inference = Field(default_factory=Inference)
    fit: Fit = Field(default_factory=Fit)
    evaluate: Annotated[tuple[EvaluateTask, ...], Field(max_length=100)] = Field(
        default=(), description="What trained language models are asked beside their loss."
    )
    keep: Keep = Field(
        default="none", description="Whose final weights stay in the store: `none`, `best`, `all` or `{top: 3}`."
    )
    _lines: LineNumbers = PrivateAttr(default_factory=LineNumbers)

    @classmethod
    def hint(cls, key: str) -> str:
        """Return the likely fix for an unknown key: the section that has it, or the nearest name."""
        for name, section in _SECTIONS:
            if key in section.model_fields:
                return f"it belongs under `{name}:`"
        return super().hint(key)

    @field_validator("name")
    @classmethod
    def _safe_file_name(cls, name: str) -> str:
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError(
                f"{quoted(name)} can't name a file; use letters, digits, '.', '_' and '-', at most 64, "
                "beginning with a letter or digit"
            )
        return name

    @field_validator("keep", mode="before")
    @classmethod
    def _known_keep(cls, keep: Any) -> Any:
        if isinstance(keep, dict | Top) or keep in ("none", "best", "all"):
            return keep
        word = "none" if keep is None else str(keep)
        raise ValueError(f"can't be {quoted(word)}; one of: none, best, all, {{top: 3}}")

    @model_validator(mode="after")
    def _simulated_together(self) -> Self:
        family, source = self.model.family, self.data.source
        finetune = self.grid.finetune
        if (family == "program") is not (source == "program"):
            key = ("data", "source") if family == "program" else ("model", "family")
            raise refusal([Complaint(key, f"a program trains on data of its own; write {_PROGRAM}")])
        if family == "simulated":
            if source != "simulated":
                sentence = f"simulated trains on no data, so it can't have {source}; write data: {{source: simulated}}"
                raise refusal([Complaint(("model", "family"), sentence)])
            if finetune is not None and finetune.data.source != "simulated":
                sentence = (
                    f"simulated trains on no data, so it can't have {finetune.data.source}; write data: simulated"
                )
                raise refusal([Complaint(("grid", "finetune", "data", "source"), sentence)])
            return self
        sentence = f"simulated holds no examples for a {family}; write model: {{family: simulated}}"
        if source == "simulated":
            raise refusal([Complaint(("data", "source"), sentence)])
        if finetune is not None and finetune.data.source == "simulated":
            raise refusal([Complaint(("grid", "finetune", "data", "source"), sentence)])
        return self

    def read_from(self, lines: LineNumbers) -> Self:
        """Remember where it was read, and return it."""
        self._lines = lines
        return self

    def at(self, *path: str | int) -> str:
        """Return how a message names a key of this sweep: ``sweep.yaml:12: grid.params[2]``."""
        return f"{self._lines.place(path, self.name)}: {shown(path)}"

    @contextmanager
    def blamed(self, *path: str | int) -> Iterator[None]:
        """Put the section of this sweep at a path before an option that is refused inside."""
        try:
            yield
        except BadOption as fault:
            raise BadInput(f"{self.at(*path, fault.key)}: {fault.sentence}") from fault

    def recipes(self) -> list[Train]:
        """Return what each recipe of the grid trains with: ``train:`` with the recipe's changes."""
        return [
            self.train.model_copy(update=change.model_dump(exclude_unset=True))
            for change in self.grid.recipes or (Train(),)
        ]

    def canonical(self) -> dict[str, Any]:
        """Return the sweep as a JSON-able mapping with every default filled in, keys sorted.

        It is itself a sweep: written as JSON and read back it gives an equal one. Two YAML files that differ in key
        order, number notation or left-out defaults have the same.
        """
        document = self.model_dump(mode="json", exclude={"data", "model"})
        document |= {"data": self.data.flat(), "model": self.model.flat()}
        finetune = self.grid.finetune
        if finetune is not None:
            document["grid"]["finetune"]["data"] = finetune.data.flat()
        document["grid"]["recipes"] = [r.model_dump(mode="json", exclude_unset=True) for r in self.grid.recipes]
        if not self.grid.recipes:
            del document["grid"]["recipes"]
        if not self.evaluate:
            del document["evaluate"]
        if self.keep == "none":
            del document["keep"]
        if self.train.eval_every is None:
            del document["train"]["eval_every"]
        if not self.grid.compression:  # an empty list is refused, so none is written
            del document["grid"]["compression"]
        ordered = _sorted(document)
        assert isinstance(ordered, dict), "sorting keeps a mapping a mapping"
        return ordered


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(v) for v in value] if isinstance(value, list) else value
