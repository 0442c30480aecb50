"""What this machine has."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return the cores that this process may use; where the system can't say that of a process (macOS), all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
