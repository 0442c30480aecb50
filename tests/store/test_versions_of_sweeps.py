"""Every version of a sweep is kept and can be asked for; a damaged one is named, hides nothing and blocks no run."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import BadInput
from orchestrator.store import open_store, query
from orchestrator.store.documents import encode_document
from orchestrator.store.sweeps import SweepChange

DAMAGE = {
    "empty": b"",
    "blank": b"\0" * 200,
    "cut": encode_document({"cells": ["1"]})[:-20],
    "no object": b"[1]",
    "no text": b"\xff\xfe",
    "nested": b'{"cells": ' + b"[" * 100_000,
    "no cells": encode_document({"sweep": {}}),
    "cells that are none": encode_document({"cells": [1]}),
    "a sweep that is none": encode_document({"cells": [], "sweep": 5}),
    "a fit that is none": encode_document({"cells": [], "sweep": {"fit": [1]}}),
    "settings of a fit that are none": encode_document({"cells": [], "sweep": {"fit": {"laws": 3}}}),
    "tasks that are none": encode_document({"cells": [], "tasks": [{}]}),
    "recipes that are none": encode_document({"cells": [], "recipes": 1}),
    "no checksum": json.dumps({"cells": []}, indent=1).encode(),
    "another checksum": encode_document({"cells": ["1"]}).replace(b'"1"', b'"2"'),
}


def _cells(*numbers):
    return {"cells": [f"{number:064x}" for number in numbers], "task": "text"}


def test_an_edited_sweep_is_a_new_version_and_the_older_ones_can_be_asked_for(store, row):
    for number in range(5):
        store.commit_row(row(number))
    assert store.save_sweep("a", _cells(0, 1, 2)).version == 1
    assert store.save_sweep("a", _cells(2, 3)).version == 2
    assert store.save_sweep("a", _cells(4)).version == 3
    again = open_store(store.uri)
    assert again.results("a")["val_loss"].to_pylist() == [5.0]
    assert again.results("a@1")["val_loss"].to_pylist() == [1.0, 2.0, 3.0]
    assert again.results("a@2")["val_loss"].to_pylist() == [3.0, 4.0]
    assert again.sweep("a@3") == again.sweep("a") == _cells(4)
    assert again.version("a") == 3
    assert query(again, "select count(*) n from results", sweep="a@1") == [{"n": 3}]
    assert again.sweeps() == {"a": _cells(4)}
    assert again.sweeps(every_version=True) == {"a@1": _cells(0, 1, 2), "a@2": _cells(2, 3), "a@3": _cells(4)}


def test_what_a_new_version_changes_is_said(store):
    assert store.save_sweep("a", _cells(0, 1)) == SweepChange(1, None, frozenset(_cells(0, 1)["cells"]))
    one = {number: frozenset(_cells(number)["cells"]) for number in range(3)}
    assert store.save_sweep("a", _cells(1, 2)) == SweepChange(2, 1, one[2], one[1], one[0])


def test_the_same_document_makes_no_new_version(store):
    store.save_sweep("a", _cells(1))
    store.save_sweep("a", _cells(2))
    assert store.save_sweep("a", _cells(2)) == SweepChange(2)
    assert store.blobs.list("sweeps") == ["sweeps/a/1.json", "sweeps/a/2.json"]
    assert store.save_sweep("a", _cells(1)).version == 3


def test_what_was_chosen_of_a_sweep_is_noted_in_its_version(store):
    store.save_sweep("a", _cells(1, 2))
    chosen = {**_cells(1, 2), "selection": {"reached": "budget"}}
    assert store.save_sweep("a", chosen) == SweepChange(1)
    assert store.sweep("a") == chosen
    assert store.save_sweep("a", _cells(1, 2)) == SweepChange(1)
    assert store.sweep("a") == _cells(1, 2)


def test_the_record_of_an_older_scalaw_is_version_1(store, row):
    store.identity()
    store.commit_row(row(1))
    store.blobs.replace("sweeps/a.json", json.dumps(_cells(1)).encode())
    assert store.sweeps() == {"a": _cells(1)}
    assert store.save_sweep("a", _cells(1)) == SweepChange(1)
    change = store.save_sweep("a", _cells(2))
    assert (change.version, change.before) == (2, 1)
    assert store.results("a").num_rows == 0
    assert store.results("a@1").num_rows == 1
    assert store.blobs.list("sweeps") == ["sweeps/a.json", "sweeps/a/2.json"]


def test_tenth_comes_after_ninth(store):
    for number in range(12):
        store.save_sweep("a", _cells(number))
    assert store.sweep("a") == _cells(11)
    assert store.save_sweep("a", _cells(0)).version == 13


def test_names_with_dots_keep_apart(store):
    for name in ("a", "a.json", "a.b", "b"):
        store.save_sweep(name, _cells(len(name)))
    assert store.sweeps() == {name: _cells(len(name)) for name in ("a", "a.json", "a.b", "b")}


def test_the_only_sweep_is_called_by_its_name_where_its_newest_version_is_meant(store):
    store.save_sweep("a", _cells(1))
    store.save_sweep("a", _cells(2))
    assert store.only_sweep(None) == "a"
    assert store.only_sweep("a@2") == "a"
    assert store.only_sweep("a@1") == "a@1"


@pytest.mark.parametrize(("asked", "says"), [
    ("a@3", "has no a@3; of this sweep it has a@1, a@2"),
    ("a@0", "has no a@0; of this sweep it has a@1, a@2"),
    ("b@1", "has no sweep 'b'; it has a"),
    ("a@", "write NAME, or NAME@2"),
    ("a@x", "write NAME, or NAME@2"),
    ("a@1@1", "write NAME, or NAME@2"),
])  # fmt: skip
def test_a_version_that_is_not_there_is_refused_with_those_that_are(store, asked, says):
    store.save_sweep("a", _cells(1))
    store.save_sweep("a", _cells(2))
    for ask in (store.sweep, store.results, store.only_sweep):
        with pytest.raises(BadInput, match=says):
            ask(asked)


def test_the_heartbeat_of_a_sweep_is_that_of_all_its_versions(store):
    store.save_heartbeat("a", {"done": 1})
    assert store.heartbeat("a@1") == {"done": 1}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_version_is_named_hides_nothing_and_is_written_anew(store, row, content, caplog):
    store.commit_row(row(1))
    store.save_sweep("b", _cells(1))
    store.save_sweep("a", _cells(0))
    store.blobs.replace("sweeps/a/2.json", content)
    reader = open_store(store.uri)
    assert reader.sweeps() == {"b": _cells(1)}
    assert reader.damaged == ["sweeps/a/2.json"]
    assert len(caplog.records) == 1
    assert "sweeps/a/2.json is damaged" in caplog.text
    assert reader.results("b").num_rows == 1
    assert reader.sweep("a@1") == _cells(0)
    with pytest.raises(BadInput, match=r"sweeps/a/2\.json") as refusal:
        reader.results("a")
    assert "\n" not in str(refusal.value)
    change = store.save_sweep("a", _cells(1, 2))
    assert (change.version, change.before) == (2, 1)
    after = open_store(store.uri)
    assert after.sweeps() == {"a": _cells(1, 2), "b": _cells(1)}
    assert after.damaged == []
    assert after.blobs.get("damaged/sweeps-a-2.json") == content


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"cells": 1}'])
def test_a_damaged_record_of_an_older_scalaw_likewise(store, content):
    store.identity()
    store.blobs.replace("sweeps/a.json", content)
    assert store.sweeps() == {}
    assert store.damaged == ["sweeps/a.json"]
    assert store.save_sweep("a", _cells(1)).version == 1
    assert store.sweep("a") == _cells(1)


def test_a_record_that_links_to_nothing_likewise(store):
    store.save_sweep("a", _cells(1))
    (store.blobs.root / "sweeps/a/2.json").symlink_to("/nowhere")
    assert store.sweeps() == {}
    assert store.damaged == ["sweeps/a/2.json"]
    assert store.save_sweep("a", _cells(1)).version == 1
    assert open_store(store.uri).sweeps() == {"a": _cells(1)}
