"""A run by its job or by its store: what it said, and how it is stopped."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from orchestrator.errors import BadInput, Unreachable
from orchestrator.store import Store, open_store
from orchestrator.store.heartbeat import driver_at_work
from orchestrator.store.sweeps import sweep_name
from orchestrator.submission.client import ADDRESS_VARIABLE, ENDED, JobServer
from orchestrator.submission.submit import STOP_WAIT_S, silent

#: Seconds between two looks at a store.
LOOK_S: Final = 1.0


class Run(Protocol):
    """A run that can be read and stopped."""

    def log(self) -> str:
        """Return what it has said so far."""

    def follow(self, tell: Callable[[str], None]) -> object:
        """Tell each further part of its log until it ends."""

    def stop(self, tell: Callable[[str], None]) -> str:
        """Stop it, wait until it has ended and return how it stands."""


@dataclass(frozen=True)
class JobRun:
    """A job of a cluster."""

    server: JobServer
    job_id: str

    def log(self) -> str:
        """Return what it has said so far."""
        return self.server.logs(self.job_id)

    def follow(self, tell: Callable[[str], None]) -> object:
        """Tell each further part of its log until it ends."""
        return self.server.follow(self.job_id, tell)

    def stop(self, tell: Callable[[str], None]) -> str:
        """Stop it, wait until it has ended and return its status."""
        job = self.server.job(self.job_id)
        if job["status"] in ENDED:
            return f"had ended already ({job['status'].lower()})"
        self.server.stop(self.job_id)
        tell("stopping: stages in flight finish and their states are kept")
        late = time.monotonic() + STOP_WAIT_S + 60
        while (job := self.server.job(self.job_id))["status"] not in ENDED:
            if time.monotonic() > late:
                raise Unreachable(f"{self.job_id} does not end; see its page on {self.server.address}")
            time.sleep(LOOK_S)
        return str(job["status"]).lower()


@dataclass(frozen=True)
class StoreRun:
    """The last run of a sweep into a store, wherever its driver is."""

    store: Store
    sweep: str
    address: str | None = None

    def log(self) -> str:
        """Return what it has said so far."""
        return self.store.run_log(self.sweep)

    def follow(self, tell: Callable[[str], None]) -> object:
        """Tell each further part of its log until its driver is gone."""
        told = ""
        while True:
            working, text = driver_at_work(self.store, self.sweep), self.log()
            tell(text.removeprefix(told) if text.startswith(told) else text)
            told = text
            if not working:
                break
            time.sleep(LOOK_S)
        if not (self.store.heartbeat(self.sweep) or {}).get("stopped"):
            raise Unreachable(
                f"the driver of {self.sweep} is gone without a word: run or submit the sweep again to go on"
            )
        return None

    def stop(self, tell: Callable[[str], None]) -> str:
        """Stop its driver if it runs on this machine, wait for it and return how it stands."""
        heartbeat = self.store.heartbeat(self.sweep)
        if heartbeat is None or not driver_at_work(self.store, self.sweep):
            return "no driver is at work on it"
        job, address = heartbeat.get("job_id"), self.address or heartbeat.get("job_address")
        if job and address:
            return JobRun(JobServer(address), job).stop(tell)
        if heartbeat.get("host") != socket.gethostname():
            raise BadInput(f"the driver of {self.sweep} runs on {heartbeat.get('host')}: stop it there, by Ctrl-C")
        os.kill(int(heartbeat["pid"]), signal.SIGINT)
        tell("stopping: stages in flight finish and their states are kept")
        while driver_at_work(self.store, self.sweep):
            time.sleep(LOOK_S)
        return "stopped"


def find_run(target: str, address: str | None, sweep: str | None) -> Run:
    """Return the run that is meant: a job where an address is known and no store has that name, else a store's.

    Raises
    ------
    BadInput
        If there is no such job, or nothing was run into the store.
    Unreachable
        If cluster or store can't be reached.
    """
    known = address or os.environ.get(ADDRESS_VARIABLE)
    if known and "/" not in target and not Path(target).is_dir():
        server = JobServer(known)
        server.job(target)
        return JobRun(server, target)
    if target.startswith("scalaw-") and "/" not in target and not Path(target).is_dir():
        raise BadInput(f"{target} looks like a job: name its cluster with `address` http://HOST:8265")
    store = open_store(target)
    name = store.only_sweep(sweep)
    if name is None:
        raise BadInput(f"nothing was run into {target} yet")
    return StoreRun(store, sweep_name(name), known)


def jobs(address: str | None = None) -> list[dict[str, Any]]:
    """Return the jobs that were submitted to a cluster, newest first: id, status, store, times (s).

    Raises
    ------
    Unreachable
        If the cluster doesn't answer.
    """
    return JobServer(address).jobs()


def logs(target: str, *, address: str | None = None, sweep: str | None = None) -> str:
    """Return what a job, or the last run into a store, has said so far.

    Raises
    ------
    BadInput, Unreachable
        As `find_run`.
    """
    return find_run(target, address, sweep).log()


def stop(
    target: str,
    *,
    address: str | None = None,
    sweep: str | None = None,
    tell: Callable[[str], None] = silent,
) -> str:
    """Stop a job, or the run into a store, wait until it has ended and return how it stands.

    Stages in flight finish and states are kept; the same run goes on later.

    Raises
    ------
    BadInput, Unreachable
        As `find_run`.
    """
    return find_run(target, address, sweep).stop(tell)
