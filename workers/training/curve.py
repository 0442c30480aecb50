"""What a stage's training looked like: losses, rates and gradients on the way, and where a loss stopped being a number.

Losses are gathered as they are, on the device, and read at a few points alone, some points late where that would make a
host wait for its GPU. A point every step would cost more than many small models' steps.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist

from orchestrator.planning.tree import Stage
from workers.curves import COLUMNS, point_steps
from workers.rank import ALONE, Rank

#: Points that a GPU may be behind before the host waits for it.
LAG = 8


class Diverged(ArithmeticError):
    """The loss is no longer finite; training the same stage again would end the same way."""

    @classmethod
    def after(cls, step: int) -> Diverged:
        """Return the error for a loss that is not finite in this step."""
        return cls(f"the loss is not finite after step {step}: lower train.learning_rate or lengthen the warmup")


@dataclass(frozen=True)
class Validation:
    """Validation losses on the way.

    Parameters
    ----------
    every
        Steps between two.
    losses
        Returns the loss of each model now, and leaves them ready to be trained on; called on every rank, so that none
        waits for another, and rank 0's are kept.
    """

    every: int
    losses: Callable[[], Sequence[float]]


class _Pending(NamedTuple):
    """A point whose numbers may still be on their way from a device."""

    step: int
    values: torch.Tensor | np.ndarray
    arrived: Any
    rate: float
    val_losses: Sequence[float]
    seconds: float


def is_here(tensor: torch.Tensor) -> bool:
    """Return whether a tensor's values can be read without a wait for a device."""
    return tensor.device.type == "cpu"


class CurveRecorder:
    """Takes the losses of a stage's steps, of one model or of several that train together.

    Parameters
    ----------
    stage
        What is trained.
    start
        Step that the state had from which it goes on.
    rank
        This process among those that share each batch; all of them record, and get the mean of their losses.
    models
        How many train as one.
    validation
        Where validation losses are wanted on the way.
    saved
        What an earlier attempt had recorded, as :meth:`saved` returned it, one a model.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        start: int,
        rank: Rank = ALONE,
        models: int = 1,
        validation: Validation | None = None,
        saved: Sequence[Mapping[str, np.ndarray]] = (),
    ) -> None:
        self.stage, self.rank, self.validation = stage, rank, validation
        self._due = set(point_steps(stage.start_step, stage.stop_step))
        #: The first step of each model whose loss was no number.
        self.diverged: dict[int, int] = {}
        self._points: list[list[list[float]]] = [[] for _ in range(models)]
        self._since: list[torch.Tensor] = []
        self._pending: deque[_Pending] = deque()
        self._copies = stage.recipe.compile == "graphs"  # the graph's next replay writes over what it returned
        self._before_s, self._begun = 0.0, time.perf_counter()
        self._read_to = start
        #: Whether the points begin where the stage does; a state of an older scalaw has none to go on from.
        taken_up = len(saved) == models and all(saved)
        self.whole = start == stage.start_step or taken_up
        if taken_up:
            self._points = [each["points"].tolist() for each in saved]
            before = np.stack([each["since"] for each in saved], axis=1)
            self._read_to = start - len(before)
            self._since = [torch.from_numpy(row.copy()).reshape(() if models == 1 else -1) for row in before]
            self._before_s = float(saved[0]["seconds"])

    def after(self, step: int, losses: torch.Tensor, gradient_norm: Callable[[], torch.Tensor]) -> None:
        """Take the loss or losses of a step, counted from 1.

        Parameters
        ----------
        gradient_norm
            Returns the global norm of the gradients before clipping, of each model; asked at points alone.

        Raises
        ------
        Diverged
            If the model trains by itself and a loss that has arrived is no number; on every rank alike.
        """
        self._since.append(losses.clone() if self._copies else losses)
        validates = self.validation is not None and step % self.validation.every == 0
        if step not in self._due and not validates:
            return
        found: Sequence[float] = ()
        if validates and self.validation is not None:
            found = self.validation.losses()
        self._pending.append(self._sent(step, gradient_norm(), found))
        self._since = []
        while len(self._pending) > (0 if is_here(losses) else LAG):
            self._settle()

    def finish(self) -> None:
        """Wait for what is still on its way.

        Raises
        ------
        Diverged
            As :meth:`after`.
        """
        while self._pending:
            self._settle()

    def points(self, model: int = 0) -> np.ndarray:
        """Return the points so far, float64 (points, columns); what isn't known is NaN."""
        return np.array(self._points[model], np.float64).reshape(-1, len(COLUMNS))

    def saved(self, model: int = 0) -> dict[str, np.ndarray]:
        """Return what is recorded, to go on from."""
        self.finish()
        # A gang's losses since the last point are each rank's own, and one rank alone is asked: they are left out, so
        # that the next point is the mean of all ranks, over fewer steps.
        mine = self._since if self.rank.world_size == 1 else []
        since = np.array([float(losses.reshape(-1)[model]) for losses in mine], np.float64)
        return {"points": self.points(model), "since": since, "seconds": np.array(self._seconds())}

    def _seconds(self) -> float:
        return self._before_s + time.perf_counter() - self._begun

    def _sent(self, step: int, norms: torch.Tensor, val_losses: Sequence[float]) -> _Pending:
        device = norms.device
        rate = self.stage.recipe.learning_rate * self.stage.recipe.rate_factor(step - 1, self.stage.total_steps)
        if is_here(norms) and self.rank.world_size == 1:  # a few Python numbers are quicker than torch's calls
            here = np.array([each.tolist() for each in (*self._since, norms)], np.float64)
            return _Pending(step, here.reshape(len(here), -1), None, rate, val_losses, self._seconds())
        losses = torch.stack([each.to(device).reshape(-1).float() for each in self._since])
        if self.rank.world_size > 1:
            dist.all_reduce(losses)
            losses /= self.rank.world_size
        values = torch.cat([losses, norms.detach().reshape(1, -1).float()])
        arrived = None
        if device.type == "cuda":
            pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            values = pinned.copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        return _Pending(step, values, arrived, rate, val_losses, self._seconds())

    def _settle(self) -> None:
        point = self._pending.popleft()
        if point.arrived is not None:
            point.arrived.synchronize()
        values = point.values if isinstance(point.values, np.ndarray) else point.values.numpy().astype(np.float64)
        losses, norms = values[:-1], values[-1]
        for model, mean in enumerate((losses.sum(axis=0) / len(losses)).tolist()):
            if not math.isfinite(mean):
                self.diverged.setdefault(model, self._read_to + int((~np.isfinite(losses[:, model])).argmax()) + 1)
            val_loss = point.val_losses[model] if point.val_losses else math.nan
            self._points[model].append([point.step, mean, val_loss, point.rate, float(norms[model]), point.seconds])
        self._read_to = point.step
        if len(self._points) == 1 and self.diverged:
            raise Diverged.after(self.diverged[0])
