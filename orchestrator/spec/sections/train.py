"""``train:`` — the recipe that every cell shares."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from orchestrator.spec.bounds import BatchSize, Shift, Steps, WarmupSteps
from orchestrator.spec.choices import AutoOrNonNegativeReal, AutoOrPositiveReal
from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import OpenFraction, Real, named
from orchestrator.spec.registries import OPTIMIZERS, SCHEDULES

Momentum = Annotated[Real, Field(ge=0, lt=1)]


def _known_optimizer(name: str) -> str:
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name[:40]!r}; {suggestion(name, OPTIMIZERS.names())}")
    return name


def _known_schedule(name: Any) -> str:
    if not isinstance(name, str) or name not in SCHEDULES:
        raise ValueError(f"can't be {named(name)}; {suggestion(name, SCHEDULES.listed(), 'one of')}")
    return name


class Train(Options):
    """Optimizer and schedule. ``auto`` is a stated rule of the model family."""

    optimizer: Annotated[str, AfterValidator(_known_optimizer)] = Field(
        default="adamw", description="The optimizer.", json_schema_extra={"enum": [*OPTIMIZERS.names()]}
    )
    learning_rate: AutoOrPositiveReal = Field(default="auto", description="Peak rate; auto: the family's rule.")
    batch_size: BatchSize = Field(default=64, description="Examples a step, over all ranks.")
    warmup_steps: WarmupSteps = Field(default=100, description="Steps of linear warmup, the same for every cell.")
    schedule: Annotated[str, BeforeValidator(_known_schedule)] = Field(
        default="wsd",
        description="wsd, wsm and constant share training between cells; cosine and step train each alone.",
        json_schema_extra={"enum": [*SCHEDULES.listed()]},
    )
    cooldown_fraction: OpenFraction = Field(
        default=0.2, description="Share of the steps that cool down (wsd), or whose snapshots are merged (wsm)."
    )
    weight_decay: AutoOrNonNegativeReal = Field(
        default="auto", description="Decoupled weight decay; auto: the family's rule."
    )
    momentum: Momentum = Field(default=0.9, description="Momentum of sgd.")
    beta1: Momentum = Field(default=0.9, description="First-moment decay of adamw.")
    beta2: Momentum = Field(default=0.95, description="Second-moment decay of adamw.")
    gradient_clip: AutoOrPositiveReal | None = Field(
        default="auto", description="Largest gradient norm; null: no clipping; auto: the family's rule."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="Of the forward pass; auto: bf16 where workers have GPUs, else fp32."
    )
    compile: bool | Literal["graphs"] = Field(
        default=False,
        description="Compile each size once a worker (torch.compile); graphs: as CUDA graphs, on a GPU.",
    )
    deterministic: bool = Field(
        default=False, description="Kernels that give the same bits each time; GPUs have faster ones that don't."
    )
    fuse: bool = Field(
        default=False, description="Train seeds of one small size as one batched model where a probe says it pays."
    )
    eval_every: Steps | None = Field(
        default=None, description="Steps between validation losses on the way, for the curves; left out: none."
    )
    shift_pixels: Shift = Field(default=0, description="Images only: random shifts by up to so many pixels.")
    milestones: tuple[OpenFraction, ...] = Field(
        default=(0.5, 0.75), min_length=1, description="schedule step: shares of the steps at which the rate falls."
    )
    decay_factor: OpenFraction = Field(default=0.1, description="schedule step: what the rate is multiplied by.")

    @field_validator("milestones")
    @classmethod
    def _rising(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
        if any(a >= b for a, b in pairwise(milestones)):
            raise ValueError("must rise, each larger than the one before; sort them and remove repeats")
        return milestones
