"""How a sweep is doing, as metrics of Ray: on the dashboard's metrics endpoint, for Prometheus and Grafana."""

from __future__ import annotations

import time
from collections import Counter as Tally

from ray.util.metrics import Gauge

from orchestrator.execution.stage_scheduler import StageScheduler
from orchestrator.execution.stage_status import Status


class Metrics:
    """Gauges named ``ray_scalaw_…``, each with the tag ``sweep``.

    Parameters
    ----------
    sweep
        Name of the sweep.
    """

    def __init__(self, sweep: str) -> None:
        self.sweep = sweep
        self._cells = self._gauge("cells", "Cells of the sweep, by state: done, failed or missing.", "state")
        self._stages = self._gauge("stages_done", "Stages that are done, by kind.", "kind")
        self._ready = self._gauge("stages_ready", "Stages that wait for a worker.")
        self._workers = self._gauge("workers", "Gangs of workers, by state: busy, idle or starting.", "state")
        self._flops = self._gauge("flops_per_s", "Training FLOPs finished per second since the sweep began.")
        self._left = self._gauge("left_s", "Estimated seconds to the end.")
        self._exponents = self._gauge("exponent", "Exponents of the product law over the rows so far.", "name")
        self._begun_s = time.monotonic()

    def update(
        self, scheduler: StageScheduler, *, cells: dict[str, int], workers: dict[str, int], exponents: dict[str, float]
    ) -> None:
        """Set every gauge.

        Parameters
        ----------
        cells, workers
            How many there are in each state.
        exponents
            Those that are known, by name.
        """
        for state, count in cells.items():
            self._set(self._cells, count, state=state)
        for state, count in workers.items():
            self._set(self._workers, count, state=state)
        for kind, count in Tally(
            stage.kind for stage in scheduler.tree if scheduler.status(stage.id) is Status.DONE
        ).items():
            self._set(self._stages, count, kind=kind)
        self._set(self._ready, scheduler.ready("train", "score"))
        self._set(self._flops, scheduler.flops_spent / max(1e-9, time.monotonic() - self._begun_s))
        self._set(self._left, scheduler.eta_s(max(1, workers.get("busy", 0) + workers.get("idle", 0))))
        for name, value in exponents.items():
            self._set(self._exponents, value, name=name)

    def _set(self, gauge: Gauge, value: float, **tags: str) -> None:
        gauge.set(value, {"sweep": self.sweep, **tags})

    @staticmethod
    def _gauge(name: str, description: str, *tags: str) -> Gauge:
        return Gauge(f"scalaw_{name}", description, tag_keys=("sweep", *tags))
