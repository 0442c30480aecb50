"""Who is at work on a sweep: a lease that one driver has at a time, and the note of how far it is."""

from __future__ import annotations

import json
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import BadInput, StoreReplaced
from orchestrator.store.blobs import UnreadableBlob
from orchestrator.store.json_object import NoObject, read_object
from orchestrator.store.store import Store

#: Environment variable by which a submitted driver knows its job.
JOB_VARIABLE: Final = "SCALAW_JOB_ID"
#: That by which it knows the address that it was submitted to.
ADDRESS_VARIABLE: Final = "SCALAW_JOB_ADDRESS"
#: A driver that wrote no heartbeat for this long is taken to be gone.
STALE_S: Final = 45.0
#: Seconds between two looks at the heartbeat of a driver elsewhere.
LOOK_S: Final = 1.0


@dataclass
class Lease:
    """The right to lead a sweep in a store, until it is given back, or another driver has taken it for dead.

    Parameters
    ----------
    number
        Rises with each driver; the store decides which of two that come at once gets it.
    """

    store: Store
    sweep: str
    number: int
    _beats: int = field(default=0)

    def beat(self, counts: Mapping[str, Any]) -> None:
        """Write how far this driver is.

        Raises
        ------
        StoreReplaced
            If another driver has taken over in the meantime, as where this one was stopped for minutes.
        """
        if max(_numbers(self.store, self.sweep), default=0) > self.number:
            raise StoreReplaced(
                f"another driver has taken {self.sweep} over, as this one gave no sign of life for {STALE_S:g} s; "
                "every row is kept, and that one goes on"
            )
        self._beats += 1
        self._write(counts)

    def give_back(self) -> None:
        """Note that this driver has ended."""
        self._write({"stopped": True})

    def _write(self, counts: Mapping[str, Any]) -> None:
        job = os.environ.get(JOB_VARIABLE)
        submitted = {"job_id": job, "job_address": os.environ.get(ADDRESS_VARIABLE)} if job else {}
        self.store.save_heartbeat(
            self.sweep, {**counts, **_myself(), "lease": self.number, "beats": self._beats, **submitted}
        )


def check_free(
    store: Store,
    sweep: str,
    *,
    say: Callable[[str], None] = lambda sentence: None,
    sleep: Callable[[float], None] = time.sleep,
    now_s: Callable[[], float] = time.monotonic,
) -> None:
    """Return once it is sure that no driver is at work on a sweep; writes nothing.

    On this machine that is seen at once. A driver elsewhere is watched for as long as its heartbeat may be late: clocks
    of two machines are never compared.

    Raises
    ------
    BadInput
        If another driver is at work, with its host, process and age.
    """
    _free_after(store, sweep, say=say, sleep=sleep, now_s=now_s)


def take_lease(
    store: Store,
    sweep: str,
    *,
    say: Callable[[str], None] = lambda sentence: None,
    sleep: Callable[[float], None] = time.sleep,
    now_s: Callable[[], float] = time.monotonic,
) -> Lease:
    """Return the lease of a sweep, once it is sure that no other driver is at work on it, as in `check_free`.

    Raises
    ------
    BadInput
        If another driver is at work, with its host, process and age.
    """
    last = _free_after(store, sweep, say=say, sleep=sleep, now_s=now_s)
    store.insist_on(store.identity())  # from here on nothing is made anew where the store is gone
    mine = {**_myself(), "lease": last + 1, "taken_by": uuid.uuid4().hex}
    if not store.blobs.put_new(_key(sweep, last + 1), json.dumps(mine).encode()):
        other = _lease(store, sweep, last + 1) or {}
        if other != mine:  # else it was written, and the answer was lost on its way
            raise _refusal(store, sweep, other, "just now")
    for number in _numbers(store, sweep):
        if number <= last:
            store.blobs.delete(_key(sweep, number))
    lease = Lease(store, sweep, last + 1)
    lease.beat({})
    return lease


def old_leases(store: Store) -> list[str]:
    """Return the keys of leases that a later one of the same sweep has taken the place of; the last one must stay."""
    newest: dict[str, tuple[int, str]] = {}
    old = []
    for key in store.blobs.list("logs"):
        match = re.fullmatch(r"logs/(.+)\.lease-(\d+)", key)
        if match is not None:
            older, newer = sorted([newest.get(match[1], (-1, "")), (int(match[2]), key)])
            newest[match[1]] = newer
            old += [older[1]] if older[1] else []
    return old


def driver_at_work(store: Store, sweep: str) -> bool:
    """Return whether a driver has written a heartbeat lately and has not stopped, or been killed on this machine."""
    heartbeat = store.heartbeat(sweep)
    if heartbeat is None or heartbeat.get("stopped"):
        return False
    return _age_s(heartbeat) < STALE_S and _lives_here(heartbeat) is not False


def _free_after(
    store: Store,
    sweep: str,
    *,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
    now_s: Callable[[], float],
) -> int:
    """Return the number of the last lease, whose holder is gone; whoever takes the next number leads."""
    last = max(_numbers(store, sweep), default=0)
    held = _lease(store, sweep, last)
    if held is not None:
        _wait_until_free(store, sweep, held, last, say=say, sleep=sleep, now_s=now_s)
    return last


def _wait_until_free(
    store: Store,
    sweep: str,
    held: Mapping[str, Any],
    number: int,
    *,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
    now_s: Callable[[], float],
) -> None:
    def sign() -> tuple[Any, Any]:
        heartbeat = store.heartbeat(sweep) or {}
        return heartbeat.get("beats"), heartbeat.get("stopped")

    heartbeat = store.heartbeat(sweep) or {}
    if heartbeat.get("stopped") and heartbeat.get("lease") == number:
        return
    lives = _lives_here(held)
    if lives is False:
        return
    if lives:
        raise _refusal(store, sweep, held, _ago(heartbeat or held))
    say(f"a driver on {held.get('host')} was at work on {sweep}: waiting to see whether it still is (≤ {STALE_S:g} s)")
    begun, first = now_s(), sign()
    while now_s() - begun < STALE_S:
        sleep(LOOK_S)
        beats, stopped = sign()
        if stopped:
            return
        if (beats, stopped) != first:
            raise _refusal(store, sweep, held, "just now")


def _refusal(store: Store, sweep: str, held: Mapping[str, Any], ago: str) -> BadInput:
    return BadInput(
        f"another driver is at work on {sweep} in {store.uri}: process {held.get('pid')} on {held.get('host')}, last "
        f"heard of {ago}; wait for it, or stop it with 'scalaw stop {store.uri}'"
    )


def _ago(about: Mapping[str, Any]) -> str:
    return f"{max(0.0, _age_s(about)):.0f} s ago"


def _age_s(about: Mapping[str, Any]) -> float:
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(about["updated_at"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return float("inf")


def _myself() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": _started(os.getpid()),
        "updated_at": datetime.now(UTC).isoformat(),
    }


def _lives_here(about: Mapping[str, Any]) -> bool | None:
    """Return whether a process of this machine that wrote something still runs; ``None`` where it ran elsewhere."""
    pid = about.get("pid")
    if about.get("host") != socket.gethostname() or not isinstance(pid, int):
        return None
    if pid == os.getpid():
        return about.get("process_started") == _started(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    started = about.get("process_started")
    return started is None or started == _started(pid)


def _started(pid: int) -> str | None:
    """Return what tells a process from a later one of the same number: this boot, and its start in ticks."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
    return f"{boot}/{ticks}"


def _key(sweep: str, number: int) -> str:
    return f"logs/{sweep}.lease-{number:06d}"


def _numbers(store: Store, sweep: str) -> list[int]:
    pattern = re.compile(rf"logs/{re.escape(sweep)}\.lease-(\d+)")
    return [int(match[1]) for key in store.blobs.list("logs") if (match := pattern.fullmatch(key))]


def _lease(store: Store, sweep: str, number: int) -> dict[str, Any] | None:
    """Return who took a lease, or ``None`` where there is none, or it can't be read."""
    try:
        about = read_object(store.blobs.get(_key(sweep, number)))
    except (FileNotFoundError, UnreadableBlob, NoObject):
        return None
    return about if isinstance(about.get("host"), str) and isinstance(about.get("pid"), int) else None
