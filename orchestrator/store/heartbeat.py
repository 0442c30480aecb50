"""The note by which a driver tells others that it is at work on a sweep."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.store import Store

#: Environment variable by which a submitted driver knows its job.
JOB_VARIABLE = "SCALAW_JOB_ID"
#: That by which it knows the address that it was submitted to.
ADDRESS_VARIABLE = "SCALAW_JOB_ADDRESS"
#: A driver that wrote no heartbeat for this long is taken to be gone.
STALE_S = 45.0


def beat(store: Store, sweep: str, counts: Mapping[str, Any]) -> None:
    """Write how far this driver is, or ``{"stopped": True}``."""
    job = os.environ.get(JOB_VARIABLE)
    submitted = {"job_id": job, "job_address": os.environ.get(ADDRESS_VARIABLE)} if job else {}
    about = {"host": socket.gethostname(), "pid": os.getpid(), "updated_at": datetime.now(UTC).isoformat()}
    store.save_heartbeat(sweep, {**counts, **about, **submitted})


def driver_at_work(store: Store, sweep: str) -> bool:
    """Return whether a driver has written a heartbeat lately and has not stopped, or been killed on this machine."""
    heartbeat = store.heartbeat(sweep)
    if heartbeat is None or heartbeat.get("stopped"):
        return False
    age_s = (datetime.now(UTC) - datetime.fromisoformat(heartbeat["updated_at"])).total_seconds()
    here = heartbeat.get("host") == socket.gethostname()
    return age_s < STALE_S and not (here and _gone(int(heartbeat["pid"])))


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
