"""``scalaw gc`` at a terminal and without one: nothing goes unless somebody has said so."""

from __future__ import annotations

import io

import pytest

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from orchestrator.store.checkpoints import Progress

#: Larger than what Ray inlines.
STATE = b"x" * 1_200_000


@pytest.fixture
def store(tmp_path, simulated_yaml):
    """An unfinished sweep with one checkpoint that its cells need, and one that nobody needs."""
    plan = make_plan(parse_sweep(simulated_yaml))
    store = open_store(str(tmp_path / "store"), create=True)
    store.save_sweep("simulated", {"sweep": plan.sweep.canonical(), "cells": [cell.id for cell in plan.cells]})
    trunk = next(stage for stage in plan.tree if stage.kind == "trunk")
    store.checkpoints.save(trunk.id, Progress.DONE, trunk.stop_step, STATE)
    store.checkpoints.save("ab" * 32, Progress.DONE, 1, STATE)
    return store


@pytest.fixture
def terminal(monkeypatch):
    """Answer the questions of a verb as at a terminal."""

    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    def answers(text):
        monkeypatch.setattr("sys.stdin", Terminal(io.BytesIO(text.encode())))

    return answers


def test_without_a_terminal_it_lists_and_asks_for_a_flag(scalaw, store):
    answer = scalaw("gc", store.uri)
    assert answer.code == 2
    assert "checkpoints that nothing needs" in answer.out
    assert "1,200,000" in answer.out
    assert "scalaw: nothing was dropped: say --yes to drop this" in answer.err
    assert len(store.checkpoints.kept()) == 2


def test_a_dry_run_lists_and_is_content(scalaw, store):
    answer = scalaw("gc", store.uri, "--dry-run", "--json")
    assert answer.code == 0
    assert [(e["what"], e["sweep"], e["bytes"], e["dropped"]) for e in answer.document["found"]] == [
        ("checkpoints that nothing needs", None, 1_200_000, False),
        ("checkpoints of an unfinished sweep", "simulated", 1_200_000, False),
    ]
    assert len(store.checkpoints.kept()) == 2


def test_yes_drops_what_nothing_needs_and_with_a_name_what_an_unfinished_sweep_has(scalaw, store):
    assert scalaw("gc", store.uri, "--yes", "--json").document["dropped_bytes"] == 1_200_000
    assert "ab" * 32 not in store.checkpoints.kept()
    assert len(store.checkpoints.kept()) == 1
    answer = scalaw("gc", store.uri, "--yes", "--sweep", "simulated")
    assert answer.code == 0
    assert store.checkpoints.kept() == {}
    assert "nothing to drop" in scalaw("gc", store.uri).out


def test_at_a_terminal_each_kind_is_asked_for(scalaw, store, terminal):
    terminal("n\ny\n")
    answer = scalaw("gc", store.uri)
    assert answer.code == 0
    assert "drop checkpoints that nothing needs (1 files, 1,200,000 bytes)?" in answer.err
    assert "simulated is not finished: drop its checkpoints" in answer.err
    assert list(store.checkpoints.kept()) == ["ab" * 32]
