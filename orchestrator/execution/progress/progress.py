"""What a person sees while a sweep runs: one live block on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from orchestrator.execution.progress.live_fit import LiveFit
from orchestrator.execution.progress.run_log import Journal
from orchestrator.execution.stage_scheduler import StageScheduler
from orchestrator.store.cell_row import last_line

if TYPE_CHECKING:
    from orchestrator.execution.progress.metrics import Metrics

#: Seconds between plain lines, and between refits of the live law and settings of the metrics.
LINE_S = 10.0
FIT_S = 3.0


@dataclass
class Progress:
    """Counts cells and shows how far a sweep is.

    Parameters
    ----------
    name
        Sweep.
    cells, already
        Cells of the sweep, and those that the store had before.
    flops
        FLOPs that this run has to spend.
    fit
        Law that is shown as rows come in.
    journal
        On stderr; its console decides by itself whether it is a terminal.
    heartbeat
        Called with the counts at most once in ``LINE_S``; keeps ``scalaw status`` informed.
    metrics, message
        Take the same for Ray's dashboard.
    """

    name: str
    cells: int
    already: int
    flops: int
    fit: LiveFit
    journal: Journal
    heartbeat: Callable[[dict[str, Any]], None]
    metrics: Metrics | None = None
    message: Callable[[str], None] | None = None
    done: int = 0
    failed: int = 0
    _live: Live | None = None
    _begun_s: float = field(default_factory=time.monotonic)
    _line_s: float = field(default_factory=time.monotonic)
    _fit_s: float = 0.0
    _fit_text: str = ""
    _told_to_stop: bool = False

    def __enter__(self) -> Progress:
        if self.journal.console.is_terminal:
            self._live = Live(console=self.journal.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def row(self, row: dict[str, Any]) -> None:
        """Note a committed row."""
        if row["status"] == "ok":
            self.done += 1
            self.fit.add(row)
        else:
            self.failed += 1
            last = last_line(row["error"])
            self.say(f"cell {row['cell_id'][:12]} failed: {last}")

    def say(self, sentence: str) -> None:
        """Show a sentence above the progress."""
        self.journal.say(sentence, style="red")

    def tick(self, scheduler: StageScheduler, *, warm: int, busy: int, starting: int, stopping: bool) -> None:
        """Show the state of the sweep, if it is time to.

        Parameters
        ----------
        warm, busy, starting
            Workers that are up, those with a stage, and those on their way.
        stopping
            True once a stop was asked for.
        """
        now = time.monotonic()
        if stopping and not self._told_to_stop:
            self._told_to_stop = True
            self.journal.say(f"{self.name}: stopping after the step at work; states are kept (Ctrl-C again: now)")
        due, again = now - self._line_s >= LINE_S, now - self._fit_s >= FIT_S
        if again:
            self._fit_text, self._fit_s = self.fit.refit(), now
            self._measure(scheduler, {"busy": busy, "idle": warm - busy, "starting": starting})
        if not due and self._live is None:
            return
        facts = self._facts(scheduler, warm=warm, busy=busy, stopping=stopping)
        if self._live is not None:
            bar = ProgressBar(total=self.cells, completed=self.already + self.done + self.failed, width=40)
            self._live.update(Group(Text(f"{self.name}: {facts}"), bar))
        if due:
            self._line_s = now
            line = f"{self.name}: {facts}"
            if self._live is None:
                self.journal.say(line)
            else:
                self.journal.note(line)
            if self.message is not None:
                self.message(facts)
            self.beat()

    def _measure(self, scheduler: StageScheduler, workers: dict[str, int]) -> None:
        if self.metrics is not None:
            cells = {"done": self.already + self.done, "failed": self.failed}
            cells["missing"] = self.cells - sum(cells.values())
            self.metrics.update(scheduler, cells=cells, workers=workers, exponents=self.fit.exponents)

    def beat(self) -> None:
        """Write the counts."""
        self.heartbeat({"cells": self.cells, "done": self.already + self.done, "failed": self.failed})

    def _facts(self, scheduler: StageScheduler, *, warm: int, busy: int, stopping: bool) -> str:
        eta = scheduler.eta_s(max(warm, 1))
        parts = [
            f"{self.already + self.done}/{self.cells} cells" + (f", {self.failed} failed" if self.failed else ""),
            f"{scheduler.done}/{len(scheduler.tree)} stages",
            f"{scheduler.flops_spent:.2e} of {self.flops:.2e} FLOPs",
            f"{busy} of {warm} workers busy" if warm else "workers are starting",
            "stopping after the step at work (Ctrl-C again: now)" if stopping else f"{_clock(eta)} left",
        ]
        return " · ".join(parts + ([self._fit_text] if self._fit_text else []))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
