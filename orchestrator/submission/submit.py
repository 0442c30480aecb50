"""``scalaw submit``: a sweep goes to a cluster as a job, once."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypedDict

from orchestrator.errors import BadInput, Interrupted, ScalawError, Unreachable
from orchestrator.planning.content_id import content_id
from orchestrator.planning.own_trainer import check_consent
from orchestrator.programs.program import Program, read_program
from orchestrator.spec import Sweep, load_sweep
from orchestrator.spec.plugins.code import PluginCode, read_plugin
from orchestrator.store import Store, open_store
from orchestrator.store.heartbeat import ADDRESS_VARIABLE, JOB_VARIABLE
from orchestrator.submission.client import ENDED, LOOK_S, JobServer
from orchestrator.submission.entrypoint import entrypoint
from orchestrator.submission.order import MOST_BYTES, SCRATCH, VARIABLE, JobOrder
from orchestrator.submission.package import Package, pack, plugin_places

#: Seconds that a stopped job has until Ray ends it hard: the stages in flight finish, states are kept.
STOP_WAIT_S: Final = 600
#: Seconds after which a submit no longer waits for the sweep to begin; a cluster may have to grow first.
BEGIN_WAIT_S: Final = 120


def silent(sentence: str) -> None:
    """Say nothing: nobody asked to be told."""


class Submission(TypedDict):
    """What came of a submit, JSON-able.

    Attributes
    ----------
    job_id
        By which `logs` and `stop` know it.
    sweep, address, dashboard_url
        Its sweep's name, its cluster, and its page there.
    attached
        True where the sweep was running there already, and nothing was sent.
    begun
        True once the sweep's first line was printed: data, store and plan are in order.
    package_bytes
        Size of what was sent.
    """

    job_id: str
    sweep: str
    address: str
    dashboard_url: str
    attached: bool
    begun: bool
    package_bytes: int


def submit(
    path: str | Path,
    *,
    store: str,
    address: str | None = None,
    share: bool = True,
    retry_failed: bool = False,
    budget_fraction: float | None = None,
    keep_weights: Sequence[str] = (),
    working_dir: str | Path = ".",
    exclude: Sequence[str] = (),
    overrides: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    program: str | Path | None = None,
    tell: Callable[[str], None] = silent,
) -> Submission:
    """Send a sweep to a cluster as a job and return when it has begun; sent again while it runs, nothing is doubled.

    Parameters
    ----------
    path
        The sweep's YAML.
    store
        Bucket, or a folder that the cluster sees under this name.
    address
        The cluster's dashboard, ``http://HOST:8265``; ``None``: that of ``RAY_API_SERVER_ADDRESS``.
    share, retry_failed, budget_fraction, keep_weights
        As `run_sweep` takes them.
    working_dir, exclude
        Folder that is sent along, in which the job runs, and patterns of files in it that aren't.
    overrides
        ``KEY=VALUE`` each, as `load_sweep` takes them.
    plugins
        Files and folders of people's own code, as `load_sweep` takes them; they are sent along, and run there.
    program
        The ``program.toml`` of a trainer of one's own, below the working folder; its whole folder is sent. To give it
        is the consent to run it there.
    tell
        Takes a sentence of progress.

    Raises
    ------
    BadInput
        If the sweep is wrong, here or there, or the cluster runs another one of that name into the store.
    Unreachable
        If cluster or store can't be reached, from here or from there; no job is left.
    Interrupted
        By Ctrl-C once the job was sent; it goes on.
    """
    sweep = load_sweep(path, overrides=overrides, plugins=plugins)
    codes = [read_plugin(plugin) for plugin in plugins]
    own = None if program is None else _below(Path(working_dir), program)
    check_consent(sweep, None if own is None else own[0])
    server = JobServer(address)
    where, proof = _prove(store, tell)
    looked = True
    try:
        order = JobOrder(
            file=Path(path).name,
            text=Path(path).read_text(encoding="utf-8"),
            overrides=list(overrides),
            store=where,
            share=share,
            retry_failed=retry_failed,
            budget_fraction=budget_fraction,
            keep_weights=list(keep_weights),
            proof=None if proof is None else proof[1],
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            plugins=plugin_places(codes),
            program=None if own is None else f"{own[1]}/program.toml",
            program_digest=None if own is None else own[0].digest,
        )
        if len(order.to_text().encode()) > MOST_BYTES:
            raise BadInput(
                f"{order.file} is larger than {MOST_BYTES // 1000} kB, more than a job's environment carries"
            )
        identity = _identity(sweep, order, codes)
        running, earlier = _of_this_sweep(server, sweep.name, where, identity)
        if running is not None:
            return _submission(server, sweep, running, attached=True, begun=True)
        job_id = f"scalaw-{sweep.name}-{identity[:8]}-{earlier + 1}"
        with tempfile.TemporaryDirectory() as scratch:
            whole = () if own is None else (own[1],)
            package = pack(Path(working_dir), Path(scratch) / "sweep.zip", job_id, exclude, codes, whole)
            size_kb = package.size_bytes / 1e3
            tell(f"sending {package.files:,} files of {working_dir} and scalaw itself, {size_kb:,.0f} kB")
            looked = False
            try:
                _send(server, job_id, sweep.name, identity, order, package)
                looked = _await_begin(server, job_id, sweep.name)
            except KeyboardInterrupt as interrupt:
                raise goes_on(job_id, server.address) from interrupt
            except ScalawError:
                looked = True
                raise
        return _submission(server, sweep, job_id, begun=looked, package_bytes=package.size_bytes)
    finally:
        if proof is not None and looked:  # a job that has not looked yet takes it away itself
            _forget(*proof)


def waited(job_id: str, *, address: str | None = None, tell: Callable[[str], None] = silent) -> int:
    """Follow a job to its end, telling each further part of its log; return how its ``scalaw run`` exited.

    Raises
    ------
    Interrupted
        If it was stopped; or by Ctrl-C, and then it goes on.
    Unreachable
        If its driver was ended from outside, or the cluster no longer answers.
    """
    server = JobServer(address)
    try:
        return server.exit_code(job_id, tell)
    except KeyboardInterrupt as interrupt:
        raise goes_on(job_id, server.address) from interrupt


def _identity(sweep: Sweep, order: JobOrder, plugins: Sequence[PluginCode]) -> str:
    """Return what two orders have in common that ask for the same."""
    asked: dict[str, Any] = {"share": order.share, "retry_failed": order.retry_failed}
    asked |= {"budget_fraction": order.budget_fraction}
    if order.keep_weights:
        asked["keep_weights"] = sorted(order.keep_weights)
    if plugins:
        asked["plugins"] = sorted(code.digest for code in plugins)
    if order.program_digest is not None:
        asked["program"] = order.program_digest
    return content_id({"sweep": sweep.canonical(), "store": order.store, "asked": asked})


def _below(working_dir: Path, path: str | Path) -> tuple[Program, str]:
    """Return a program, and its folder as it is called below the folder that is sent."""
    program, root = read_program(path), working_dir.resolve()
    if not Path(program.folder).is_relative_to(root):
        raise BadInput(
            f"{path} is not below {root}, the folder that is sent: name one that holds both as `working_dir`"
        )
    if Path(path).name != "program.toml" and not Path(path).is_dir():
        raise BadInput(f"{path}: a program that is sent has its manifest in program.toml; rename it")
    return program, Path(program.folder).relative_to(root).as_posix()


def _submission(
    server: JobServer, sweep: Sweep, job_id: str, *, attached: bool = False, begun: bool, package_bytes: int = 0
) -> Submission:
    return {
        "job_id": job_id,
        "sweep": sweep.name,
        "address": server.address,
        "dashboard_url": f"{server.address}/#/jobs/{job_id}",
        "attached": attached,
        "begun": begun,
        "package_bytes": package_bytes,
    }


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


def goes_on(job_id: str, address: str) -> Interrupted:
    """Return what a person who interrupts a submit should know."""
    return Interrupted(f"the job goes on; stop it with: scalaw stop {job_id} `address` {address}")


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
            f"(scalaw stop {job['job_id']} `address` {server.address}), or give this sweep another name"
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
