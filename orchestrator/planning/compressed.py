"""How a trained model is made smaller (axis ε): one or more steps, each from a state to a state."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.planning.family import ModelShape
from orchestrator.planning.recipe import Recipe
from orchestrator.spec.compression_options import CompressionOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressStep:
    """One compression.

    Parameters
    ----------
    method
        Registry name.
    options
        The YAML's mapping for it.
    before, shape
        The model that goes in and the one that comes out: the same, or a student.
    training_steps
        Optimiser steps of recovery, or of a student's training.
    training_examples
        The prefix of the data that these read.
    step_flops
        Training FLOPs of one of them.
    recipe
        How these steps are taken.
    content
        Digest of all that its result depends on beside the parent's state.
    """

    method: str
    options: CompressionOptions
    before: ModelShape
    shape: ModelShape
    training_steps: int
    training_examples: int
    step_flops: int
    recipe: Recipe
    content: str

    @property
    def flops(self) -> int:
        """Training FLOPs of all steps."""
        return self.training_steps * self.step_flops


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """What makes a compressed cell of its parent.

    Parameters
    ----------
    method
        As the YAML has it: of several steps ``chain``.
    label
        What is done, in a few words that tell variants of one sweep apart.
    level
        Bits, density, rank ratio or the student's N; ``None`` for a chain.
    steps
        One after the other.
    """

    method: str
    label: str
    level: float | None
    steps: tuple[CompressStep, ...]
