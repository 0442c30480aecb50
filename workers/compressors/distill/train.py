"""A smaller model of the same family that learns from the cell's own (Hinton et al. 2015, section 2).

The loss is ``mix · T² · KL(teacher ‖ student, both softened by T) + (1 - mix) · cross-entropy``. With ``mix: 0`` the
student learns by itself: the honest comparison.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from workers.compressors.distill.plan import DistillOptions
from workers.compressors.session import Fresh, NothingHeld, Parts
from workers.training.loop import Loss, cross_entropy


class Distiller:
    """The half of :class:`~workers.compressors.distill.plan.Distill` that compresses."""

    @staticmethod
    def session(module: torch.nn.Module, options: DistillOptions, parts: Parts, steps: int, fresh: Fresh) -> Teaching:
        """Begin with a fresh student."""
        return Teaching(module, options, fresh())

    @staticmethod
    def restructure(module: torch.nn.Module, facts: dict[str, Any]) -> torch.nn.Module:
        """Return the module as it is: a student is an ordinary model of its size."""
        return module


class Teaching(NothingHeld):
    """A student and its teacher."""

    after_step = None

    def __init__(self, teacher: torch.nn.Module, options: DistillOptions, student: torch.nn.Module) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.module, self.options = student, options
        self.loss: Loss | None = self._loss if options.mix else None

    def finish(self) -> dict[str, Any]:
        """Return nothing: the student's shape tells all."""
        return {}

    def _loss(self, x: torch.Tensor, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        heat, mix = self.options.temperature, self.options.mix
        with torch.no_grad():
            taught = F.log_softmax(self.teacher(x).flatten(0, -2).float() / heat, -1)
        learnt = F.log_softmax(logits.flatten(0, -2).float() / heat, -1)
        apart = F.kl_div(learnt, taught, reduction="batchmean", log_target=True)
        total: torch.Tensor = mix * heat**2 * apart + (1 - mix) * cross_entropy(logits, y)
        return total
