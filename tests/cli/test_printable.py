"""What others wrote reaches a terminal as text: no cursor moves, colours, bells or reversed lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestrator.printable import printable
from orchestrator.store import open_store

#: Title of the window, red, cursor up, bell, carriage return, right-to-left override, a C1 control, half a pair.
EVIL = "\x1b]0;you\x07\x1b[31mred\x1b[1A\r\u202eevil\x9b2J\ud800"
HARMLESS = "\\x1b]0;you\\x07\\x1b[31mred\\x1b[1A\\x0d\\u202eevil\\x9b2J\\ud800"
NAME = EVIL[:-1]  # no file is called half a pair


def clean(text):
    return all(c in "\n\t" or c.isprintable() or c == "\u00a0" for c in text)


def test_control_characters_are_escaped_and_letters_of_all_scripts_stay():
    assert printable(EVIL) == HARMLESS
    assert printable("α, 模型, 👩‍🔬 and\ttabs\n") == "α, 模型, 👩‍🔬 and\ttabs\n"


@pytest.fixture
def store(tmp_path):
    """One failed cell, one measured on a task of a strange name, and a log."""
    store = open_store(str(tmp_path / "store"), create=True)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    common = {"seed": 0, "started_at": at, "finished_at": at, "task": NAME}
    error = f"Traceback\n{NAME} [/pytorch/gloo.cc:81] lost [bold]peer"
    store.commit_row({**common, "cell_id": "a" * 64, "status": "failed", "error": error})
    store.commit_row({**common, "cell_id": "b" * 64, "status": "ok", "val_loss": 2.0})
    store.save_sweep("s", {"sweep": {}, "task": "t", "cells": ["a" * 64, "b" * 64]})
    store.save_run_log("s", f"began\n{NAME}\n")
    return store.uri


def test_a_failure_of_brackets_and_escapes_is_shown_as_it_is(scalaw, store):
    answer = scalaw("status", store)
    assert answer.code == 0
    assert clean(answer.out)
    assert "[/pytorch/gloo.cc:81] lost [bold]peer" in answer.out.replace("\n", " ")


def test_a_failure_without_words_has_a_line_all_the_same(scalaw, store):
    row = {"cell_id": "c" * 64, "status": "failed", "error": " \n", "task": "t"}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    opened = open_store(store)
    opened.commit_row({**row, "started_at": at, "finished_at": at})
    opened.save_sweep("s", {"sweep": {}, "task": "t", "cells": ["c" * 64]})
    assert "failed: no reason is known" in scalaw("status", store).out


def test_tables_logs_and_answers_are_escaped(scalaw, store):
    for arguments in (("query", store, "select task, error from results"), ("logs", store)):
        answer = scalaw(*arguments)
        assert answer.code == 0
        assert clean(answer.out)
        assert "\\x1b[31mred" in answer.out
    (record, _) = scalaw("query", store, "select task from results", "--json").document
    assert record["task"] == NAME
    assert "\x1b" not in json.dumps(record)


def test_refusals_and_warnings_are_escaped(scalaw, tmp_path, runs_csv, simulated):
    table = tmp_path / f"{NAME.replace('/', '')}.csv"
    table.write_bytes(runs_csv.read_bytes())
    simulated.write_text(simulated.read_text().replace("name: simulated", f"name: {json.dumps(NAME)}"))
    for arguments in (
        ("fit", tmp_path / f"{NAME}.csv"),
        ("fit", table, "--map", f"n=size,d=tok,loss=l,{NAME}=x"),
        ("fit", table, "--law", NAME),
        ("plan", simulated),
        ("query", tmp_path / NAME, "select 1"),
        ("query", NAME, NAME),
        ("predict", table, "--map", "n=size,d=tok,loss=l", "--n", NAME, "--d", "1"),
        ("no" + NAME,),
        ("plan", simulated, f"--{NAME}"),
        ("run", simulated, "--store", f"s3://{NAME}"),
    ):
        answer = scalaw(*arguments)
        assert answer.code == 2, arguments
        assert answer.out == ""
        assert clean(answer.err), arguments
