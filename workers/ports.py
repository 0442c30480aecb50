"""Ports of this node."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port of the loopback device that nobody listens on at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
