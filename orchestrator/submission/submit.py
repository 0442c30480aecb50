"""``scalaw submit``: a sweep goes to a cluster as a job, once."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import BadInput, Interrupted, ScalawError, Unreachable
from orchestrator.planning.content_id import content_id
from orchestrator.spec.sweep import Sweep
from orchestrator.store import Store, open_store
from orchestrator.store.heartbeat import ADDRESS_VARIABLE, JOB_VARIABLE
from orchestrator.submission.client import ENDED, LOOK_S, JobServer
from orchestrator.submission.entrypoint import entrypoint
from orchestrator.submission.order import MOST_BYTES, SCRATCH, VARIABLE, JobOrder
from orchestrator.submission.package import Package, pack

#: Seconds that a stopped job has until Ray ends it hard: the stages in flight finish, states are kept.
STOP_WAIT_S: Final = 600
#: Seconds after which a submit no longer waits for the sweep to begin; a cluster may have to grow first.
BEGIN_WAIT_S: Final = 120


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What came of a submit.

    Attributes
    ----------
    job_id
        By which `logs` and `stop` know it.
    attached
        True where the sweep was running there already, and nothing was sent.
    begun
        True once the sweep's first line was printed: data, store and plan are in order.
    package
        What was sent, or ``None``.
    """

    job_id: str
    attached: bool
    begun: bool
    package: Package | None


def submit(
    server: JobServer,
    sweep: Sweep,
    *,
    file: str,
    text: str,
    overrides: Sequence[str],
    store: str,
    flags: Sequence[str],
    folder: Path,
    excludes: Sequence[str],
    tell: Callable[[str], None],
) -> Submission:
    """Submit a sweep and wait until it has begun.

    Parameters
    ----------
    sweep
        As parsed here, for its name and id.
    file, text, overrides, store, flags
        As `JobOrder` has them.
    folder, excludes
        As `pack` takes them.
    tell
        Takes a sentence for a person.

    Raises
    ------
    BadInput
        If the cluster refuses the sweep, or runs another one of that name into the store.
    Unreachable
        If cluster or store can't be reached, from here or from there; no job is left.
    """
    where, proof = _prove(store, tell)
    looked = True
    try:
        order = JobOrder(
            file=file,
            text=text,
            overrides=list(overrides),
            store=where,
            flags=list(flags),
            proof=None if proof is None else proof[1],
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
        )
        if len(order.to_text().encode()) > MOST_BYTES:
            raise BadInput(f"{file} is larger than {MOST_BYTES // 1000} kB, more than a job's environment carries")
        identity = content_id({"sweep": sweep.canonical(), "store": where, "flags": list(flags)})
        running, earlier = _of_this_sweep(server, sweep.name, where, identity)
        if running is not None:
            return Submission(job_id=running, attached=True, begun=True, package=None)
        job_id = f"scalaw-{sweep.name}-{identity[:8]}-{earlier + 1}"
        with tempfile.TemporaryDirectory() as scratch:
            package = pack(folder, Path(scratch) / "sweep.zip", job_id, excludes)
            tell(f"sending {package.files:,} files of {folder} and scalaw itself, {package.size_bytes / 1e3:,.0f} kB")
            looked = False
            try:
                _send(server, job_id, sweep.name, identity, order, package)
                looked = _await_begin(server, job_id, sweep.name)
            except KeyboardInterrupt as interrupt:
                raise Interrupted(goes_on(job_id, server.address)) from interrupt
            except ScalawError:
                looked = True
                raise
        return Submission(job_id=job_id, attached=False, begun=looked, package=package)
    finally:
        if proof is not None and looked:  # a job that has not looked yet takes it away itself
            _forget(*proof)


def _send(server: JobServer, job_id: str, sweep: str, identity: str, order: JobOrder, package: Package) -> None:
    """Submit the job."""
    server.submit(
        entrypoint=entrypoint(sweep),
        submission_id=job_id,
        runtime_env={
            "working_dir": str(package.path),
            "env_vars": {
                VARIABLE: order.to_text(),
                JOB_VARIABLE: job_id,
                ADDRESS_VARIABLE: server.address,
                "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
            },
        },
        metadata={
            "job_name": f"scalaw {sweep}",
            "scalaw_sweep": sweep,
            "scalaw_id": identity,
            "scalaw_store": order.store,
            "scalaw_version": version("scalaw"),
        },
    )


def goes_on(job_id: str, address: str) -> str:
    """Return what a person who interrupts a submit should know."""
    return f"the job goes on; stop it with: scalaw stop {job_id} --address {address}"


def _prove(uri: str, tell: Callable[[str], None]) -> tuple[str, tuple[Store, str] | None]:
    """Write what the cluster must see in the store; return its full address, and where and what was written."""
    try:
        store = open_store(uri, create=True)
        key = store.leave_mark()
    except Unreachable as failure:
        if "://" not in uri or uri.startswith("file:"):
            raise
        tell(f"warning: {failure}; whether the cluster reaches it is tried there")
        return uri, None
    return store.uri, (store, key)


def _forget(store: Store, key: str) -> None:
    """Take away what was written, and the folder where it holds nothing else."""
    store.take_mark(key)
    if "://" not in store.uri:
        for folder in (Path(store.uri, "logs"), Path(store.uri)):
            with suppress(OSError):
                folder.rmdir()


def _of_this_sweep(server: JobServer, name: str, store: str, identity: str) -> tuple[str | None, int]:
    """Return the id of the job that runs this sweep, and how many jobs ran it before.

    Raises
    ------
    BadInput
        If another sweep of that name is running into the store.
    """
    jobs = [job for job in server.jobs() if job["sweep"] == name and job["store"] == store]
    for job in jobs:
        if job["status"] in ENDED:
            continue
        if job["id"] == identity:
            return job["job_id"], 0
        raise BadInput(
            f"{name} is running into {store} as {job['job_id']}, from another YAML or with other flags: stop it first "
            f"(scalaw stop {job['job_id']} --address {server.address}), or give this sweep another name"
        )
    return None, sum(job["id"] == identity for job in jobs)


def _await_begin(server: JobServer, job_id: str, sweep: str) -> bool:
    """Wait for the sweep's first line.

    Raises
    ------
    ScalawError
        As the job was refused; it has ended then.
    """
    late = time.monotonic() + BEGIN_WAIT_S
    while time.monotonic() < late:
        job, lines = server.job(job_id), server.logs(job_id).splitlines()
        if any(line.startswith(f"{sweep}: ") for line in lines):
            return True
        if job["status"] == "SUCCEEDED":
            return True
        if job["status"] in ENDED:
            raise _refusal(job, lines)
        time.sleep(LOOK_S)
    return False


def _refusal(job: dict[str, Any], lines: list[str]) -> ScalawError:
    found = (line.removeprefix("scalaw: ") for line in reversed(lines) if line.startswith("scalaw: "))
    said = next((re.sub(rf"{SCRATCH}\w+/", "", line) for line in found), None)
    kinds = {kind.exit_code: kind for kind in (BadInput, Unreachable, Interrupted)}
    kind = kinds.get(job["exit_code"] or 1, ScalawError)
    last = (lines or [job["message"] or "no word of why"])[-1]
    return kind(said or f"the job {job['job_id']} ended before the sweep began ({job['status']}): {last}")
