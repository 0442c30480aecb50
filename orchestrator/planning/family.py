"""The seam behind which a model family stands, and the shape it answers with.

This is the half that plans: shapes and FLOPs, and no torch, not even by way of another module. The half that trains
(:mod:`workers.families.trained`) is named by it and imported by workers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A buildable model: its dimensions, its counted parameters and its closed-form FLOPs.

    Parameters
    ----------
    family
        Registry name of the family.
    dims
        The family's own dimensions (width, depth, heads, …), as sorted ``(name, value)`` pairs.
    params_total, params_non_embedding
        Counted parameters, with and without embeddings; the second is the N that is fitted.
    forward_flops, train_flops
        FLOPs of one example, forward only, and forward with backward (multiply and add count as two).
    head_flops
        FLOPs of one example for the gradient of the output head's weights: all that training adds to the forward pass
        where nothing else is trained.
    """

    family: str
    dims: tuple[tuple[str, int | str], ...]
    params_total: int
    params_non_embedding: int
    forward_flops: int
    train_flops: int
    head_flops: int = 0

    def dim(self, name: str) -> int:
        """Return one integer dimension by name."""
        return int(dict(self.dims)[name])

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary."""
        return {**asdict(self), "dims": dict(self.dims)}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitGroup:
    """Units of a model that can be taken out together with all that goes with them: heads, or channels.

    Parameters
    ----------
    name
        For facts and messages.
    units
        How many there are.
    members
        Parameters and buffers as (name, axis, outer): along the axis lie ``outer`` blocks of all units.
    counted_by
        ``MODULE.attribute`` that holds the number of units, or nothing.
    """

    name: str
    units: int
    members: tuple[tuple[str, int, int], ...]
    counted_by: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary."""
        return {**asdict(self), "members": [list(member) for member in self.members]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> UnitGroup:
        """Return the group that a dictionary tells of."""
        return cls(**{**document, "members": tuple((n, a, o) for n, a, o in document["members"])})


class Family(Protocol):
    """A model family.

    Guarantees: ``shape_for`` is deterministic, imports no torch, answers in milliseconds and returns the buildable
    shape whose non-embedding count is nearest to what was asked; ``params_*`` of a shape equal the counts of the
    module that the engine builds; FLOPs are within 2 % of torch's counter.
    """

    @property
    def name(self) -> str:
        """Its name in the registry."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 (a class)
        """Class of the YAML keys beside ``family:``."""

    @property
    def defaults(self) -> Mapping[str, Mapping[str, Any]]:
        """Values for the recipe keys that the YAML left at ``auto``, by optimizer."""

    @property
    def head(self) -> str:
        """Name of the module's output layer."""

    @property
    def simulated(self) -> bool:
        """True when rows are made up (``family: simulated``)."""

    @property
    def training(self) -> str:
        """``module:class`` of the half that trains."""

    def shape_for(self, params: int, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the nearest buildable shape for ``params`` non-embedding parameters.

        Raises
        ------
        BadInput
            If no shape within a factor of two can be built, or the data does not fit the family.
        """

    def shape_on(self, shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the shape of the same model on other data: with as many outputs as that has classes.

        Raises
        ------
        BadOption
            If the model can't read that data.
        """

    def activation_bytes(self, shape: ModelShape, data: DataManifest, *, half: bool) -> int | None:
        """Return the most bytes that training takes for one example, beside weights, gradients and optimizer.

        ``None`` where nobody knows.

        That is what the backward pass needs of the forward pass and, at its turning point, logits and their gradients;
        ``half`` where matrices multiply in bf16. Models that run eagerly; a compiled one takes no more.
        """

    def weights(self, shape: ModelShape) -> list[tuple[str, tuple[int, ...]]]:
        """Return name and shape of every weight that may be compressed: (outputs, inputs, …), in the module's order.

        Not among them: embeddings, norms, biases, and a network's first convolution.
        """

    def unit_groups(self, shape: ModelShape) -> list[UnitGroup]:
        """Return the groups of units that structured pruning may thin out."""
