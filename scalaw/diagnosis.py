"""``scalaw doctor`` as a function."""

from __future__ import annotations

from typing import Any

from orchestrator.execution.doctor import checkup


def doctor(*, store: str | None = None, address: str | None = None) -> dict[str, Any]:
    """Try Python, torch, devices, Ray, and a store and a cluster where they are named.

    Returns
    -------
    dict
        ``ok``, and ``checks``: what was tried, whether it works, what was found, and how to mend it.
    """
    checks = checkup(store, address)
    return {"ok": all(check["ok"] for check in checks), "checks": checks}
