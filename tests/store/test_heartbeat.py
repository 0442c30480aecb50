"""Who is at work on a sweep, as others see it."""

from __future__ import annotations

import os
import socket
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.store import open_store
from orchestrator.store.heartbeat import STALE_S, beat, driver_at_work


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"), create=True)


def test_a_driver_is_at_work_from_its_first_beat_until_it_stops(store):
    assert not driver_at_work(store, "a")
    beat(store, "a", {"cells": 3, "done": 1})
    assert driver_at_work(store, "a")
    assert not driver_at_work(store, "b")
    beat(store, "a", {"stopped": True})
    assert not driver_at_work(store, "a")


@pytest.mark.parametrize(("host", "age_s", "expected"), [
    (socket.gethostname(), 0, False),
    ("elsewhere", 0, True),
    ("elsewhere", STALE_S + 1, False),
])  # fmt: skip
def test_a_killed_driver_is_known_at_once_on_its_own_machine_and_elsewhere_by_its_silence(store, host, age_s, expected):
    ended = subprocess.Popen(["true"])
    ended.wait()
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    store.save_heartbeat("a", {"host": host, "pid": ended.pid, "updated_at": at.isoformat()})
    assert driver_at_work(store, "a") is expected


def test_a_process_of_somebody_else_counts_as_alive(store):
    alive = {"host": socket.gethostname(), "pid": os.getppid(), "updated_at": datetime.now(UTC).isoformat()}
    store.save_heartbeat("a", alive)
    assert driver_at_work(store, "a")
