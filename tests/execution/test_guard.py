"""The process that leads a driver from outside: what it says and does however the driver ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

#: A command that notes each of its drivers and then ends as its arguments say, one after the other.
COMMAND = """\
import os, signal, subprocess, sys, time
from pathlib import Path
from orchestrator.execution import guard

guard.begin()
if guard.wanted():
    sys.exit(guard.lead())
notes = Path(sys.argv[1])
before = notes.read_text().splitlines() if notes.exists() else []
notes.write_text("\\n".join([*before, str(os.getpid())]))
exec(sys.argv[2 + len(before)])
"""
ENDED_BY_RAY = "os._exit(1)"


@pytest.fixture
def command(tmp_path):
    """Start a command whose drivers end in some ways; get it, and the file in which they note themselves."""
    script, notes = tmp_path / "command.py", tmp_path / "notes"
    script.write_text(COMMAND)

    def start(*ways: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, script, notes, *ways], stderr=subprocess.PIPE, text=True)

    return start, notes


def ended(process):
    _, said = process.communicate(timeout=30)
    return process.returncode, said


def begun(left, *, ours=True):
    return f"guard.tell(left={left}, ours={ours}); "


def drivers(notes: Path) -> list[int]:
    return [int(line) for line in notes.read_text().split()] if notes.exists() else []


def until(come):
    late = time.monotonic() + 30
    while not (found := come()):
        assert time.monotonic() < late
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_the_driver_s_own_word_is_the_exit_code_whatever_happens_after_it(command, code):
    start, notes = command
    assert ended(start(begun(4) + f"guard.tell(end={code}); os._exit(1)")) == (code, "")
    assert len(drivers(notes)) == 1


def test_a_driver_that_ray_has_ended_is_started_anew_as_long_as_cells_were_measured_in_between(command):
    start, notes = command
    code, said = ended(start(begun(4) + ENDED_BY_RAY, begun(3) + ENDED_BY_RAY, begun(2) + "guard.tell(end=0)"))
    assert code == 0
    assert said == "scalaw: Ray on this machine has ended, and the driver with it: starting Ray anew\n" * 2
    assert len(drivers(notes)) == 3


def test_a_second_end_without_a_cell_in_between_is_the_last(command):
    start, notes = command
    code, said = ended(start(begun(4) + ENDED_BY_RAY, begun(4) + ENDED_BY_RAY))
    assert code == 3
    assert said.endswith("Ray has gone away and ended the driver; what is finished is kept: run the same command "
                         "again to go on\n")  # fmt: skip
    assert len(drivers(notes)) == 2


def test_a_cluster_of_others_is_not_started_anew(command):
    start, notes = command
    code, said = ended(start(begun(4, ours=False) + "guard.leave('the head is gone')"))
    assert (code, said) == (
        3,
        "scalaw: the head is gone; what is finished is kept: run the same command again to go on\n",
    )
    assert len(drivers(notes)) == 1


def test_a_driver_that_is_killed_or_ends_before_it_has_begun_is_not_tried_again(command):
    start, notes = command
    code, said = ended(start(begun(4) + "os.kill(os.getpid(), signal.SIGKILL)"))
    assert (code, "ended by SIGKILL" in said, said.count("\n")) == (3, True, 1)
    notes.unlink()
    code, said = ended(start(ENDED_BY_RAY))
    assert (code, "before it had begun (exit 1)" in said, said.count("\n")) == (3, True, 1)
    assert len(drivers(notes)) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_once_and_a_stop_that_ray_cuts_off_is_still_a_stop(command, number):
    start, notes = command
    stop = f"signal.signal({int(number)}, lambda *_: (guard.tell(stopping=True), os._exit(1))); "
    process = start(stop + begun(4) + "notes.with_suffix('.up').touch(); time.sleep(60)")
    until(notes.with_suffix(".up").exists)
    process.send_signal(number)
    assert ended(process) == (130, "scalaw: interrupted; run the same command again to go on\n")
    assert len(drivers(notes)) == 1


def gone(pid):
    """Return whether a process has ended; one that nobody has waited for yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("whom", ["the one outside", "the driver"])
def test_whichever_of_the_two_is_killed_the_other_ends_with_all_that_was_started(command, whom):
    start, notes = command
    child = "child = subprocess.Popen(['sleep', '60'], process_group=0); guard.owns(child.pid); "
    process = start(begun(4) + child + "notes.with_suffix('.up').write_text(str(child.pid)); time.sleep(60)")
    started = int(until(lambda: notes.with_suffix(".up").exists() and notes.with_suffix(".up").read_text()))
    (driver,) = drivers(notes)
    os.kill(process.pid if whom == "the one outside" else driver, signal.SIGKILL)
    code, _ = ended(process)
    assert code == (-signal.SIGKILL if whom == "the one outside" else 3)
    until(lambda: gone(driver) and gone(started))


def test_a_program_that_calls_the_library_is_led_by_nobody():
    said = subprocess.run(
        [sys.executable, "-c", "from orchestrator.execution import guard; guard.leave('x'); print(guard.wanted())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "False\n"
