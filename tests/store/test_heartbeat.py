"""Who leads a sweep: one driver at a time, told from the store alone, whatever the clocks say."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.errors import BadInput, StoreReplaced
from orchestrator.store import open_store
from orchestrator.store.heartbeat import STALE_S, check_free, driver_at_work, take_lease

HERE = socket.gethostname()
AN_HOUR = timedelta(hours=1)
LEAD = """
import sys
from orchestrator.store import open_store
from orchestrator.store.heartbeat import take_lease
lease = take_lease(open_store(sys.argv[1], create=True), "a")
print(lease.number, flush=True)
sys.stdin.readline()
"""


class Clock:
    """A monotonic clock that runs only while somebody sleeps; ``meanwhile`` is called after each sleep."""

    def __init__(self, meanwhile=lambda slept_s: None):
        self.now, self.meanwhile = 1e6, meanwhile

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.meanwhile(self.now - 1e6)


def _elsewhere(store, *, number=3, beats=5, clock=timedelta(0), **more):
    """Write what a driver on another machine, whose clock goes otherwise, leaves in a store."""
    about = {
        "host": "elsewhere", "pid": 4711, "process_started": "x/1",
        "updated_at": (datetime.now(UTC) + clock).isoformat(), "lease": number,
    }  # fmt: skip
    store.blobs.replace(f"logs/a.lease-{number:06d}", json.dumps(about).encode())
    store.save_heartbeat("a", {**about, "beats": beats, **more})


def _ended():
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def test_a_lease_holds_until_it_is_given_back(store):
    assert not driver_at_work(store, "a")
    check_free(store, "a")
    lease = take_lease(store, "a")
    lease.beat({"cells": 3, "done": 1})
    assert driver_at_work(store, "a")
    assert not driver_at_work(store, "b")
    assert store.heartbeat("a")["done"] == 1
    with pytest.raises(BadInput):
        check_free(store, "a")
    lease.give_back()
    assert not driver_at_work(store, "a")
    check_free(store, "a")
    assert take_lease(store, "a").number == lease.number + 1


def test_two_sweeps_of_one_store_have_a_driver_each(store):
    take_lease(store, "a")
    assert take_lease(store, "a.b").number == 1
    assert take_lease(store, "b").number == 1


def test_asking_whether_it_is_free_writes_nothing(store):
    check_free(store, "a")
    assert store.blobs.children() == set()


def test_the_refusal_names_host_process_and_age(store):
    take_lease(store, "a")
    heartbeat = store.heartbeat("a")
    at = datetime.now(UTC) - timedelta(seconds=12)
    store.save_heartbeat("a", {**heartbeat, "updated_at": at.isoformat()})
    with pytest.raises(
        BadInput, match=rf"at work on a in .*: process {os.getpid()} on {HERE}, last heard of 12 s ago; .*scalaw stop"
    ) as refusal:
        take_lease(store, "a")
    assert refusal.value.exit_code == 2


def test_the_lease_of_a_killed_process_of_this_machine_is_taken_at_once(store, process):
    leader = process(LEAD, store.uri)
    assert leader.stdout.readline() == "1\n"
    with pytest.raises(BadInput, match=f"process {leader.pid} on {HERE}"):
        take_lease(store, "a")
    leader.kill()
    leader.wait()
    assert not driver_at_work(store, "a")

    def never(seconds):
        raise AssertionError("it is known to be dead")

    assert take_lease(store, "a", sleep=never).number == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="start times of processes are read from /proc")
def test_a_later_process_of_the_same_number_is_not_taken_for_the_driver(store):
    take_lease(store, "a")
    number = store.blobs.list("logs")[-1]
    about = json.loads(store.blobs.get(number))
    assert about["pid"] == os.getpid()
    for pid, started in ((os.getpid(), "an earlier boot/17"), (os.getppid(), about["process_started"] + "0")):
        store.blobs.replace(number, json.dumps({**about, "pid": pid, "process_started": started}).encode())
        check_free(store, "a")


def test_a_process_of_somebody_else_counts_as_alive(store):
    store.save_heartbeat("a", {"host": HERE, "pid": 1, "updated_at": datetime.now(UTC).isoformat()})
    assert driver_at_work(store, "a")


@pytest.mark.parametrize(("host", "age_s", "expected"), [
    (HERE, 0, False),
    ("elsewhere", 0, True),
    ("elsewhere", STALE_S + 1, False),
])  # fmt: skip
def test_status_knows_a_killed_driver_at_once_on_its_machine_and_elsewhere_by_its_silence(store, host, age_s, expected):
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    store.save_heartbeat("a", {"host": host, "pid": _ended(), "updated_at": at.isoformat()})
    assert driver_at_work(store, "a") is expected


@pytest.mark.parametrize("clock", [-AN_HOUR, timedelta(0), AN_HOUR], ids=["an hour slow", "right", "an hour fast"])
def test_a_silent_driver_elsewhere_is_waited_for_by_our_own_clock_and_then_taken_over(store, clock):
    _elsewhere(store, clock=clock)
    ours, said = Clock(), []
    lease = take_lease(store, "a", say=said.append, sleep=ours.sleep, now_s=ours)
    assert lease.number == 4
    assert STALE_S <= ours.now - 1e6 <= STALE_S + 2
    assert len(said) == 1
    assert "a driver on elsewhere was at work on a" in said[0]
    assert [key for key in store.blobs.list("logs") if "lease" in key] == ["logs/a.lease-000004"]


@pytest.mark.parametrize("clock", [-AN_HOUR, timedelta(0), AN_HOUR], ids=["an hour slow", "right", "an hour fast"])
def test_a_driver_elsewhere_that_gives_a_sign_of_life_keeps_its_lease(store, clock):
    _elsewhere(store, clock=clock)

    def beats_late(slept_s):
        if slept_s > STALE_S - 5:
            _elsewhere(store, beats=6, clock=clock)

    ours = Clock(beats_late)
    with pytest.raises(BadInput, match="process 4711 on elsewhere, last heard of just now"):
        take_lease(store, "a", sleep=ours.sleep, now_s=ours)
    assert ours.now - 1e6 < STALE_S


def test_a_driver_elsewhere_that_stops_while_it_is_waited_for_hands_over_at_once(store):
    _elsewhere(store)
    ours = Clock(lambda slept_s: _elsewhere(store, beats=6, stopped=True))
    assert take_lease(store, "a", sleep=ours.sleep, now_s=ours).number == 4
    assert ours.now - 1e6 < 3


def test_of_two_that_come_at_once_exactly_one_gets_it(store):
    arrived = threading.Barrier(6)

    def come():
        arrived.wait()
        try:
            return take_lease(store, "a").number
        except BadInput as refusal:
            return str(refusal)

    with ThreadPoolExecutor(6) as threads:
        answers = [answer.result() for answer in [threads.submit(come) for _ in range(6)]]
    assert answers.count(1) == 1
    for answer in answers:
        assert answer == 1 or f"process {os.getpid()} on {HERE}" in answer


def test_one_that_comes_while_another_takes_the_lease_is_refused(store, monkeypatch):
    late, first = open_store(store.uri, create=True), []
    named = late.identity
    monkeypatch.setattr(late, "identity", lambda: first.append(take_lease(store, "a")) or named())
    with pytest.raises(BadInput, match=f"process {os.getpid()} on {HERE}"):
        take_lease(late, "a")
    first[0].beat({"done": 1})


def test_of_processes_that_come_at_once_exactly_one_gets_it(store, process):
    leaders = [process(LEAD, store.uri) for _ in range(3)]
    answers = sorted(leader.stdout.readline() for leader in leaders)
    assert answers == ["", "", "1\n"]


def test_a_driver_that_was_taken_over_stops_at_its_next_beat_and_writes_nothing(store):
    first = take_lease(store, "a")
    first.beat({"done": 1})
    _elsewhere(store, number=first.number + 1, beats=1)
    with pytest.raises(StoreReplaced, match="another driver has taken a over") as refusal:
        first.beat({"done": 2})
    assert refusal.value.exit_code == 3
    assert store.heartbeat("a")["host"] == "elsewhere"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"host": 1, "pid": "x"}', b"[" * 100_000])
@pytest.mark.parametrize("what", ["heartbeat.json", "lease-000003"])
def test_a_heartbeat_or_lease_of_any_shape_blocks_no_run(store, what, content):
    store.blobs.replace(f"logs/a.{what}", content)
    assert driver_at_work(store, "a") is False
    ours = Clock()
    lease = take_lease(store, "a", sleep=ours.sleep, now_s=ours)
    assert lease.number == (4 if what.startswith("lease") else 1)
    lease.beat({"done": 1})
    assert store.heartbeat("a")["done"] == 1
    assert open_store(store.uri).heartbeat("a")["lease"] == lease.number
