"""The seam behind which a model family stands, and the shape it answers with.

The family object itself imports no torch: planning asks it for shapes and FLOPs; a worker asks it for the engine
that trains them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from orchestrator.planning.manifest import DataManifest


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
    """

    family: str
    dims: tuple[tuple[str, int | str], ...]
    params_total: int
    params_non_embedding: int
    forward_flops: int
    train_flops: int

    def dim(self, name: str) -> int:
        """Return one integer dimension by name."""
        return int(dict(self.dims)[name])

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary."""
        return {**asdict(self), "dims": dict(self.dims)}


class Family(Protocol):
    """A model family.

    Guarantees: ``shape_for`` is deterministic, imports no torch, answers in milliseconds and returns the buildable
    shape whose non-embedding count is nearest to what was asked; ``params_*`` of a shape equal the counts of the
    module that the engine builds; FLOPs are within 2 % of torch's counter.
    """

    name: str
    #: Values for the recipe keys that the YAML left at ``auto``, by optimizer.
    defaults: Mapping[str, Mapping[str, Any]]
    #: True when rows are made up (``family: simulated``).
    simulated: bool

    def shape_for(self, params: int, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the nearest buildable shape for ``params`` non-embedding parameters.

        Raises
        ------
        BadInput
            If no shape within a factor of two can be built, or the data does not fit the family.
        """

    def engine(self) -> Any:
        """Return the engine class (``workers.seam.Engine``) that trains this family; may import torch."""
