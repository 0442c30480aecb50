"""An answer that can't be written is refused in one line, wherever the writing fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
SCALAW = (sys.executable, "-m", "scalaw")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("arguments", [("schema",), ("--version",), ("fit", "-h"), ("init", "DIR")])
def test_a_full_stdout_is_refused_in_one_line(tmp_path, arguments, buffered):
    words = [str(tmp_path) if word == "DIR" else word for word in arguments]
    command = [sys.executable, *([] if buffered else ["-u"]), "-m", "scalaw", *words]
    with FULL.open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "scalaw: the answer can't be written to stdout: No space left on device\n"


def test_a_closed_stdout_is_refused_in_one_line():
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *SCALAW, "schema"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "scalaw: the answer can't be written to stdout: it is closed\n"


def test_a_reader_that_goes_away_is_no_fault():
    line = f"{sys.executable} -m scalaw schema | head -n 1; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("{\n0\n", "")
