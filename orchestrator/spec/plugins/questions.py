"""What planning asks of a plug-in that needs torch: answered by another process, and remembered.

Planning imports no torch. A model family of a person's own has to be built before anyone knows its N and its FLOPs, so
a helper process (:mod:`workers.families.own.answers`) does that; its answers depend on the code, the question and the
versions of Python, torch and scalaw alone, and are kept in a folder of this user's. So the second plan of a sweep
starts no helper.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final

from orchestrator.errors import BadInput
from orchestrator.spec.plugins.code import PluginCode
from orchestrator.spec.remembered import Remembered, cache_folder

#: Raised when another way of counting gives another answer.
COUNTING: Final = 2
#: Names the folder of the answers; by default it is below the user's cache.
VARIABLE: Final = "SCALAW_PLUGIN_CACHE"
#: Longest that one answer is waited for: the import of torch, and of the plug-in, is in it.
PATIENCE_S: Final = 120.0
#: Largest answer that is remembered.
MOST_BYTES: Final = 10_000_000
HELPER: Final = "workers.families.own.answers"


def ask(code: PluginCode, question: Mapping[str, Any]) -> Any:
    """Return the helper's answer to a question about a plug-in, from the cache where it was asked before.

    Parameters
    ----------
    question
        JSON-able; ``ask`` names what is wanted.

    Raises
    ------
    BadInput
        If the plug-in can't do it, in one line; refusals are not remembered.
    """
    answers = _answers()
    key = answers.key([COUNTING, _versions(), code.digest, question])
    remembered = answers.recall(key)
    if isinstance(remembered, dict) and "answer" in remembered:
        return remembered["answer"]
    answer = _helper(code).answer(question)
    if "refused" in answer:
        raise BadInput(answer["refused"])
    answers.keep(key, answer)
    return answer["answer"]


class _Helper:
    """The process that has one plug-in imported."""

    def __init__(self, code: PluginCode) -> None:
        self.code = code
        self._aside: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        roots = {str(_root("workers")), str(_root("orchestrator"))}
        path = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", HELPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._aside,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )
        atexit.register(self.end)

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``{"answer": …}`` or ``{"refused": sentence}``."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        alarm = threading.Timer(PATIENCE_S, give_up)
        alarm.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it is dead: the empty answer says so
                process.stdin.write(json.dumps({"code": self.code.to_json(), "question": question}) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            _HELPERS.pop(self.code.digest, None)
            raise BadInput(f"{self.code.name}: {self._last_words(late=late.is_set())}")
        found: dict[str, Any] = json.loads(line)
        return found

    def _last_words(self, *, late: bool) -> str:
        if late:
            return f"gave no answer within {PATIENCE_S:.0f} s: does an import, sizes() or build() run for ever?"
        code = self._process.wait()
        self._aside.seek(0)
        said = self._aside.read().decode(errors="replace").strip().splitlines()
        return f"ended the process that asked it for its sizes (exit {code}: {said[-1][:300] if said else 'no word'})"

    def end(self) -> None:
        """Let it go."""
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._aside.close()


_HELPERS: dict[str, _Helper] = {}


def _helper(code: PluginCode) -> _Helper:
    if code.digest not in _HELPERS:
        _HELPERS[code.digest] = _Helper(code)
    return _HELPERS[code.digest]


def _root(package: str) -> Path:
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).resolve().parents[1]


@cache
def _versions() -> list[str]:
    found = [platform.python_version()]
    for package in ("scalaw", "torch"):
        try:
            found.append(version(package))
        except PackageNotFoundError:
            found.append("not installed")
    return found


def _answers() -> Remembered:
    named = os.environ.get(VARIABLE)
    return Remembered(Path(named) if named else cache_folder("plugins"), MOST_BYTES)
