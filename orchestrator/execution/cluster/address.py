"""Whether anything answers at a cluster's address, before anything is written or Ray is loaded."""

from __future__ import annotations

import socket

from orchestrator.errors import Unreachable

#: Longest wait for a cluster's port to answer; Ray itself would try for minutes.
KNOCK_S = 5.0


def knock(address: str) -> None:
    """Open and close a connection to ``HOST:PORT`` or ``ray://HOST:PORT``; words such as ``auto`` are left to Ray.

    Raises
    ------
    Unreachable
        If nothing answers.
    """
    if address.startswith(("http://", "https://")):
        raise Unreachable(
            f"{address} is a dashboard, to which scalaw submit sends jobs; a driver here joins HOST:6379 or "
            "ray://HOST:10001"
        )
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except OSError as failure:
        raise Unreachable(f"no Ray cluster answers at {address}: {failure.strerror or failure}") from failure


def token_refused(address: str, *, sent: bool = True) -> Unreachable:
    """Return what to say where a cluster wants a token, or another than the one that was sent."""
    return Unreachable(
        f"the cluster at {address} {'refuses our token' if sent else 'wants a token'}: "
        "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file that holds the cluster's token"
    )
