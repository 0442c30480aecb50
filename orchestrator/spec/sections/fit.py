"""``fit:`` — which laws are fitted, and to what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from orchestrator.spec.bounds import Replicas
from orchestrator.spec.choices import Axis, HoldOut
from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import PositiveReal
from orchestrator.spec.registries import LAWS


def _known_law(name: str) -> str:
    if name not in LAWS:
        raise ValueError(f"unknown law {name[:40]!r}; {suggestion(name, LAWS.names())}")
    return name


class Fit(Options):
    """What ``scalaw run`` fits when the grid is done; ``scalaw fit`` can ask otherwise at any time."""

    target: Literal["loss", "accuracy"] = Field(default="loss", description="What the laws predict.")
    laws: Annotated[tuple[Annotated[str, AfterValidator(_known_law)], ...], Axis()] = Field(
        default=("product", "chinchilla", "data_constrained"),
        description="Laws to fit; the best is chosen by held-out error.",
    )
    hold_out: HoldOut = Field(
        default="largest", description="Rows kept for judging: largest, none, or the dearest share such as 0.2."
    )
    bootstrap: Replicas = Field(default=1000, description="Bootstrap replicas behind every interval; 0: none.")
    noise: Literal["equal", "seeds", "heteroscedastic"] = Field(
        default="equal", description="What rows count for: alike, by the spread of seeds, by a power of the cost."
    )
    resample: Literal["case", "residual", "cluster"] = Field(
        default="case", description="What a bootstrap replica draws: rows, errors, or all rows of a size together."
    )
    epsilon: Literal["bytes", "fidelity", "bits"] = Field(
        default="bytes", description="What ε measures of a compression."
    )
    target_interval: PositiveReal | None = Field(
        default=None,
        description="A run that selects cells ends where the 90 % interval of the target's log loss is narrower.",
    )
