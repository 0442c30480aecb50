"""The half that plans of a family of a person's own: what the helper process has counted, as planning wants it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field, create_model, model_validator

from orchestrator.errors import UnbuildableSize
from orchestrator.planning.family import ModelShape, UnitGroup
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from orchestrator.spec.plugins.code import ENTRY, PluginCode
from orchestrator.spec.plugins.importing import import_target
from orchestrator.spec.plugins.questions import ask
from orchestrator.spec.validation_errors import Complaint, refusal
from workers.families.own.describing import family_facts
from workers.families.own.family import Family

#: The half that trains imports torch, so it is named and not imported.
_TRAINING = "workers.families.own.train"


class PlannedFamily:
    """See `orchestrator.planning.family.Family`; calling it gives itself, as a class would its instance.

    Parameters
    ----------
    name
        In the registry.
    code
        Whose digest its answers, and the ids of its cells, depend on.
    facts
        As the helper described it.
    where
        What a question says beside to find the class, for one of an installed package.
    trained
        Returns the half that trains.
    """

    simulated = False
    #: Named for the protocol's sake; `trained` is asked for it.
    training = "workers.families.own.train:TrainedFamily"

    def __init__(
        self,
        name: str,
        code: PluginCode,
        facts: Mapping[str, Any],
        where: Mapping[str, str],
        trained: Callable[[Any], Any],
    ) -> None:
        self.name, self.code, self._trained = name, code, trained
        self.code_digest = code.digest
        self.defaults: Mapping[str, Mapping[str, Any]] = facts["defaults"]
        self.head: str = facts["head"]
        self.own_loss: bool = facts["own_loss"]
        self._where = where
        self._weights: dict[ModelShape, list[tuple[str, tuple[int, ...]]]] = {}
        self._activation_bytes: dict[ModelShape, int] = {}
        self.Options = _options(facts["options"], lambda given: self._ask({"ask": "options", "given": given}))

    def __call__(self) -> PlannedFamily:
        return self

    def trained(self) -> Any:
        """Return what makes the half that trains; its module imports torch."""
        return self._trained(self)

    def shape_for(self, params: int, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the shape of the candidate whose N is nearest.

        Raises
        ------
        UnbuildableSize
            If none is within a factor of two.
        BadInput
            If a candidate can't be built, or none of them fits the data.
        """
        answer = self._ask({"ask": "shape", "params": params, "options": dict(options), "data": _facts(data)})
        if "unbuildable" in answer:
            side, counted = answer["unbuildable"]["side"], answer["unbuildable"]["params"]
            raise UnbuildableSize(
                f"the {side} {self.name} that sizes() gives has {counted:,} parameters, not about {params:,}; take "
                "another size, or give more candidates"
            )
        return self._shape(answer["shape"])

    def shape_on(self, shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the shape of the same dimensions on other data."""
        question = {"ask": "shape", "dims": dict(shape.dims), "options": dict(options), "data": _facts(data)}
        return self._shape(self._ask(question)["shape"])

    def activation_bytes(self, shape: ModelShape, data: DataManifest, *, half: bool) -> int:
        """Return what autograd keeps of an example in float32; in bf16 it is less, by how much nobody has counted."""
        return self._activation_bytes[shape]

    def weights(self, shape: ModelShape) -> list[tuple[str, tuple[int, ...]]]:
        """Return what may be compressed of a shape that this has given."""
        return self._weights[shape]

    def unit_groups(self, shape: ModelShape) -> list[UnitGroup]:
        """Return none: which parts go together nobody can tell from a module."""
        return []

    def _ask(self, question: Mapping[str, Any]) -> Any:
        return ask(self.code, {**question, "family": self.name, **self._where})

    def _shape(self, facts: Mapping[str, Any]) -> ModelShape:
        counts = ("params_total", "params_non_embedding", "forward_flops", "train_flops", "head_flops")
        shape = ModelShape(
            family=self.name,
            dims=tuple(sorted(facts["dims"].items())),
            **{name: facts[name] for name in counts},
        )
        self._activation_bytes[shape] = facts["activation_bytes"]
        self._weights[shape] = [(name, tuple(size)) for name, size in facts["weights"]]
        self.head = facts["head"]
        return shape


def planned(code: PluginCode, facts: Mapping[str, Any]) -> PlannedFamily:
    """Return the half that plans of a family in a file, which this process has not imported."""

    def trained(half: PlannedFamily) -> Any:
        return import_target(f"{_TRAINING}:trained_in")(code, facts["name"], half)

    return PlannedFamily(facts["name"], code, facts, {}, trained)


def adapted(family: Any, target: str) -> Any:
    """Return what an entry point stands for as planning wants it.

    A family of ``sizes`` and ``build`` gets a half that plans, whose digest is that of the file it stands in; one that
    comes in two halves is that already.
    """
    if not (isinstance(family, type) and issubclass(family, Family)):
        return family
    text = inspect.getsource(inspect.getmodule(family) or family)
    code = PluginCode(target, ((ENTRY, text),))

    def trained(half: PlannedFamily) -> Any:
        return import_target(f"{_TRAINING}:trained")(family, code, half)

    return PlannedFamily(family.name, code, family_facts(family), {"target": target}, trained)


def _facts(data: DataManifest) -> dict[str, Any]:
    """Return what a model may depend on of its data; how much there is of them is not among it."""
    return {
        "task": data.task,
        "tokens_per_example": data.tokens_per_example,
        "input_shape": list(data.input_shape),
        "classes": data.classes,
        "batch": data.batch,
    }


def _options(described: Mapping[str, Any], check: Callable[[dict[str, Any]], Any]) -> type[Options]:
    """Return a class of a family's own keys, whose values the family's own class judges, in the helper."""

    class Described(Options):
        @model_validator(mode="before")
        @classmethod
        def _judged(cls, given: Any) -> Any:
            if not isinstance(given, dict) or not described or given.keys() - described.keys():
                return given
            answer = check(given)
            if "complaints" in answer:
                raise refusal([Complaint(tuple(path), sentence) for path, sentence in answer["complaints"]])
            return answer["options"]

    fields: dict[str, Any] = {
        name: (Any, Field(... if facts["required"] else facts["default"], description=facts["description"]))
        for name, facts in described.items()
    }
    return create_model("FamilyOptions", __base__=Described, **fields)
