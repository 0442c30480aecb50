"""What is wrong with the machine is one sentence with exit code 3; a bug of ours keeps its traceback."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest

from orchestrator.analysis import answers
from orchestrator.cli.main import _run


@pytest.fixture
def fails(monkeypatch):
    """Let a verb meet an error of the system."""

    def with_error(error):
        def status(*arguments, **keywords):
            raise error

        monkeypatch.setattr(answers, "status", status)

    return with_error


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "/data/x: no space left on device; make room there"),
        (errno.EROFS, "/data/x: read-only file system; use a place that can be written"),
        (errno.EMFILE, "/data/x: too many open files; allow more open files (ulimit -n)"),
    ],
)
def test_a_full_or_read_only_disk_is_said_with_its_place(scalaw, fails, number, said):
    fails(OSError(number, os.strerror(number), "/data/x"))
    answer = scalaw("status", "anywhere")
    assert (answer.code, answer.err) == (3, f"scalaw: {said}\n")


def test_where_no_temporary_file_can_be_written_the_variable_is_named(scalaw, fails, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/1", "/nowhere"])
    fails(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/proc/1']"))
    answer = scalaw("status", "anywhere")
    assert answer.code == 3
    assert answer.err == (
        "scalaw: no folder for temporary files can be written: set TMPDIR to one that can, and has room\n"
    )


def test_another_error_of_the_system_is_a_bug_and_stays_one(fails):
    fails(FileNotFoundError(errno.ENOENT, "No such file or directory", "ours.py"))
    with pytest.raises(FileNotFoundError):
        _run(["status", "anywhere"])
