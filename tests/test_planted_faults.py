"""`make mutants` plants faults in the code as it is now, not as it once was."""

from __future__ import annotations

import importlib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_each_planted_fault_replaces_what_stands_once_in_its_file(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    faults = importlib.import_module("mutants").FAULTS
    assert len({fault.name for fault in faults}) == len(faults) == 40
    times = {fault.name: (ROOT / fault.file).read_text().count(fault.right) for fault in faults}
    assert times == dict.fromkeys(times, 1)
    assert all(fault.right != fault.wrong for fault in faults)
