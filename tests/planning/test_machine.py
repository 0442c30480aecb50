"""Cores are counted in one place, on systems too that can't say which of them a process may use."""

from __future__ import annotations

import os

import pytest

from orchestrator.planning import machine, make_plan
from orchestrator.planning.machine import usable_cores
from orchestrator.spec import parse_sweep


def test_where_a_process_can_be_asked_its_own_cores_count():
    assert usable_cores() == len(os.sched_getaffinity(0))


def test_a_sweep_is_planned_where_a_process_cannot_be_asked(monkeypatch, simulated_yaml):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert usable_cores() == 12
    assert make_plan(parse_sweep(simulated_yaml)).gangs == 12


@pytest.mark.parametrize("count", [None, 0])
def test_there_is_at_least_one(monkeypatch, count):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores() == 1


def test_free_memory_is_less_than_there_is_and_a_container_has_its_own(monkeypatch, tmp_path):
    here = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < machine.free_memory_bytes() < here
    for name, number in (("most", 50_000_000), ("used", 20_000_000)):
        (tmp_path / name).write_text(f"{number}\n")
    monkeypatch.setattr(machine, "_CGROUPS", ((str(tmp_path / "most"), str(tmp_path / "used")),))
    assert machine.free_memory_bytes() == 30_000_000
    (tmp_path / "most").write_text("max\n")
    assert machine.free_memory_bytes() > 30_000_000


def test_a_process_knows_the_most_that_it_took():
    before = machine.peak_memory_bytes()
    block = bytearray(200_000_000)
    block[::4096] = b"x" * len(block[::4096])
    assert machine.peak_memory_bytes() - before < 1_000_000_000
    assert machine.peak_memory_bytes() >= 200_000_000
