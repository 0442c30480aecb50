"""The job server of a Ray cluster: what scalaw asks of it, and its refusals in one sentence each."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.errors import BadInput, Interrupted, Unreachable
from orchestrator.execution.cluster.address import knock, token_refused

#: Where Ray's own commands look for the server when none is named.
ADDRESS_VARIABLE: Final = "RAY_API_SERVER_ADDRESS"
#: Lines that Ray writes into a job's log before the job does.
RAYS_OWN: Final = re.compile(r"^(\S+ \S+\tINFO job_manager\.py.*|Running entrypoint for job .*)\n?", re.MULTILINE)
#: States of a job that ends no more.
ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
#: Seconds that a cluster has to be ready for jobs; its dashboard answers before it is.
AGENT_S: Final = 30.0
#: Seconds between two looks at a job.
LOOK_S: Final = 0.3


def server_address(address: str | None) -> str:
    """Return the address that is meant: the one named, or that of the environment.

    Raises
    ------
    Unreachable
        If it is not the address of a dashboard.
    BadInput
        If there is none.
    """
    found = address or os.environ.get(ADDRESS_VARIABLE)
    if not found:
        raise BadInput(
            f"`address` is missing: name the cluster's dashboard, http://HOST:8265 (or set {ADDRESS_VARIABLE})"
        )
    scheme, separator, rest = found.partition("://")
    if not separator:
        raise Unreachable(f"`address` {found}: write the dashboard's address in full, such as http://HOST:8265")
    if scheme == "ray":
        host = rest.split(":")[0]
        raise Unreachable(
            f"`address` {found} is that of Ray Client: jobs go to the dashboard, http://{host}:8265 "
            "('scalaw run' takes ray://)"
        )
    try:
        parts = urlsplit(found)
        port = parts.port
    except ValueError:
        parts, port = urlsplit("http://"), None
    if scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise Unreachable(f"`address` {found.rpartition('@')[2]}: expected http://HOST:8265 or https://HOST")
    return f"{scheme}://{parts.hostname}:{port or (443 if scheme == 'https' else 8265)}{parts.path.rstrip('/')}"


class JobServer:
    """A connection to a cluster's job server.

    Parameters
    ----------
    address
        URL of its dashboard; ``None``: that of `ADDRESS_VARIABLE`.

    Raises
    ------
    Unreachable
        If nothing answers there, it is no Ray dashboard, it refuses our token, or runs another Ray.
    """

    def __init__(self, address: str | None) -> None:
        self.address = server_address(address)
        _check_token()
        knock(urlsplit(self.address).netloc)
        with self._refusals():
            from orchestrator.submission.job_client import JobClient

            logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.ERROR)
            self._client = JobClient(self.address)
            self._check_version(self._client._do_request("GET", "/api/version").json()["ray_version"])

    def submit(self, **what: Any) -> str:
        """Submit a job, as `ray.job_submission.JobSubmissionClient.submit_job` takes it; return its id.

        One of that id that is there already, submitted by another at the same moment, is as good.
        """
        from orchestrator.submission.job_client import Refused

        late = time.monotonic() + AGENT_S
        while True:
            with self._refusals():
                try:
                    return str(self._client.submit_job(**what))
                except Refused as refusal:
                    if self._found(what["submission_id"]) is not None:
                        return str(what["submission_id"])
                    if not refusal.no_agent or time.monotonic() > late:
                        raise
            time.sleep(1)

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs that scalaw submitted, newest first: id, status, message, exit code, times (s)."""
        with self._refusals():
            found = [job for job in self._client.list_jobs() if _is_ours(job)]
        return [_described(job) for job in sorted(found, key=lambda job: -(job.start_time or 0))]

    def job(self, job_id: str) -> dict[str, Any]:
        """Return one of them.

        Raises
        ------
        BadInput
            If there is no such job.
        """
        with self._refusals():
            found = self._found(job_id)
        if found is None or not _is_ours(found):
            raise BadInput(f"{self.address} has no scalaw job {job_id}; see: scalaw list `address` {self.address}")
        return _described(found)

    def logs(self, job_id: str) -> str:
        """Return what a job has printed so far, without the lines in which Ray starts it."""
        with self._refusals():
            return RAYS_OWN.sub("", str(self._client.get_job_logs(job_id)))

    def stop(self, job_id: str) -> None:
        """Ask a job to stop; it may take until the stages in flight are done."""
        with self._refusals():
            self._client.stop_job(job_id)

    def follow(self, job_id: str, tell: Callable[[str], None]) -> dict[str, Any]:
        """Tell each further part of a job's log until it ends; return the job."""
        job, told = self.job(job_id), 0
        while True:
            try:
                job, text = self.job(job_id), self.logs(job_id)
            except Unreachable as failure:
                raise Unreachable(
                    f"{self.address} no longer answers; what is there tells: scalaw status {job['store']}; submit the "
                    "sweep again when the cluster is back"
                ) from failure
            if len(text) > told:
                tell(text[told:])
                told = len(text)
            if job["status"] in ENDED:
                return job
            time.sleep(3 * LOOK_S)

    def exit_code(self, job_id: str, tell: Callable[[str], None]) -> int:
        """Follow a job to its end and return how its ``scalaw run`` exited: 0, or 1 where cells failed.

        Raises
        ------
        Interrupted
            If it was stopped.
        Unreachable
            If its driver was ended from outside, or the cluster no longer answers.
        """
        job = self.follow(job_id, tell)
        if job["status"] == "STOPPED":
            raise Interrupted(f"{job_id} was stopped; submit the sweep again to go on")
        code = job["exit_code"] if job["exit_code"] is not None else int(job["status"] != "SUCCEEDED")
        if code < 0 or code > Interrupted.exit_code:
            raise Unreachable(f"the driver of {job_id} was ended by a signal; submit the sweep again to go on")
        return int(code)

    def _found(self, job_id: str) -> Any:
        """Return what Ray knows of a job, or None where it knows none of that id."""
        from orchestrator.submission.job_client import Refused

        try:
            return self._client.get_job_info(job_id)
        except Refused as refusal:
            if not refusal.not_found:
                raise
            return None

    def _check_version(self, theirs: str) -> None:
        import ray

        if theirs.split(".")[:2] != ray.__version__.split(".")[:2]:
            raise Unreachable(
                f"the cluster at {self.address} runs Ray {theirs}, and here is Ray {ray.__version__}: "
                "install the same version on both sides"
            )

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        import requests

        from orchestrator.submission.job_client import Refused, TokenRefused

        try:
            yield
        except TokenRefused as failure:
            raise token_refused(self.address, sent=failure.sent) from failure
        except RuntimeError as failure:
            said = (str(failure).strip(" '").splitlines() or [repr(failure)])[0]
            if isinstance(failure, Refused) and failure.no_agent:
                said = (
                    "no node takes jobs; is the head up, and does each Ray of one machine have its own agent port "
                    "(--dashboard-agent-listen-port)?"
                )
            raise Unreachable(f"the cluster at {self.address} refused: {said}") from failure
        except (requests.exceptions.RequestException, ConnectionError, KeyError, ValueError) as failure:
            if self.address.startswith("https:") and isinstance(failure, ConnectionError):
                raise Unreachable(
                    f"{self.address}: nothing speaks TLS there, or its certificate isn't trusted here; "
                    "set REQUESTS_CA_BUNDLE, or write http://"
                ) from failure
            raise Unreachable(
                f"{self.address} is no Ray dashboard ({type(failure).__name__}): jobs go to its port, mostly 8265, "
                "not to 6379 (GCS) or 10001 (Ray Client)"
            ) from failure


def _check_token() -> None:
    """Refuse a token that isn't there, be it named or looked for at home; Ray would meet it with a traceback."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path(os.environ.get("HOME") or "/") / ".ray" / "auth_token"
    with suppress(OSError):
        if path.read_text().strip():
            return
    if named:
        raise Unreachable(f"RAY_AUTH_TOKEN_PATH names {path}, where there is no token: write the cluster's token there")
    if os.environ.get("RAY_AUTH_MODE") == "token":
        raise Unreachable(
            f"RAY_AUTH_MODE is token, but there is no token in {path}: set RAY_AUTH_TOKEN_PATH to a file that holds "
            "the cluster's token"
        )


def _is_ours(job: Any) -> bool:
    return bool((job.metadata or {}).get("scalaw_sweep"))


def _described(job: Any) -> dict[str, Any]:
    status = getattr(job.status, "value", job.status)
    return {
        "job_id": job.submission_id,
        "sweep": job.metadata["scalaw_sweep"],
        "status": str(status),
        "store": job.metadata.get("scalaw_store"),
        "version": job.metadata.get("scalaw_version"),
        "id": job.metadata.get("scalaw_id"),
        "started_s": None if job.start_time is None else job.start_time / 1000,
        "ended_s": None if not job.end_time else job.end_time / 1000,
        "exit_code": job.driver_exit_code,
        "message": job.message,
    }
