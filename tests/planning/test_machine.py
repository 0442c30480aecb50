"""Cores are counted in one place, on systems too that can't say which of them a process may use."""

from __future__ import annotations

import os

import pytest

from orchestrator.planning import make_plan
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
