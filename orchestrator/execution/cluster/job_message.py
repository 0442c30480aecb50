"""The message of a running job in Ray's dashboard: how far the sweep is."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.dashboard.modules.job.common import JobInfoStorageClient, JobStatus
from ray.exceptions import RayError

from orchestrator.store.heartbeat import JOB_VARIABLE

#: Seconds after which a head that is slow to take a message is given up for this one.
PATIENCE_S: Final = 5


class JobMessage:
    """Keeps the message of the job that this process is; elsewhere it does nothing.

    Ray has no public way to do so; this is what its own supervisor does. Only the supervisor writes a job's end, after
    this process is gone, so the two never write at once.
    """

    def __init__(self) -> None:
        self.job_id = os.environ.get(JOB_VARIABLE)

    def say(self, sentence: str) -> None:
        """Show a sentence as the job's message; a head that does not answer is asked again with the next one."""
        if self.job_id is None:
            return
        jobs = JobInfoStorageClient(GcsClient(address=ray.get_runtime_context().gcs_address))
        try:
            asyncio.run(jobs.put_status(self.job_id, JobStatus.RUNNING, sentence, timeout=PATIENCE_S))
        except (RayError, TimeoutError, RuntimeError) as failure:
            print(f"scalaw: the job's message could not be set: {failure}", flush=True)
