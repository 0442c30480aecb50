"""What people are told of a store: its versions, its damage, and what others wrote into it, as it stands."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from orchestrator.store.cell_row import cell_columns, failure_row

NASTY = "gloo [/pytorch/third_party/gloo/pair.cc:534] [bold]closed[/bold] :x: [/] \\[red"


@pytest.fixture
def trained(simulated, tmp_path):
    """A store with a row for each of the 27 cells of a sweep, and the sweep's file."""
    plan = make_plan(parse_sweep(simulated.read_text()))
    store = open_store(str(tmp_path / "trained"), create=True)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    for cell in plan.cells:
        n, d, e = cell.shape.params_non_embedding, cell.data_examples, cell.epochs
        loss = 20 * n**-0.3 * d**-0.25 * math.exp(-0.1 * math.log(e))
        store.commit_row(
            {**cell_columns(cell, plan.context), "val_loss": loss, "status": "ok", "started_at": at, "finished_at": at}
        )
    return store


def test_an_edited_sweep_says_what_it_adds_keeps_and_no_longer_counts(scalaw, simulated, trained):
    assert scalaw("run", simulated, "--store", trained.uri).code == 0
    again = scalaw("run", simulated, "--store", trained.uri)
    assert "version" not in again.err
    edited = scalaw("run", simulated, "--store", trained.uri, "--set", "grid.epochs=[1, 4]")
    assert edited.code == 0
    assert (
        "simulated is not what it was in this store: version 2 adds 0 cells, keeps 18 cells and no longer counts "
        "9 cells, 9 of them with a row: ask for those as simulated@1"
    ) in edited.err
    (newest,) = scalaw("status", trained.uri, "--json").document["sweeps"]
    assert (newest["sweep"], newest["version"], newest["cells"], newest["done"]) == ("simulated", 2, 18, 18)
    (older,) = scalaw("status", trained.uri, "--sweep", "simulated@1", "--json").document["sweeps"]
    assert (older["sweep"], older["version"], older["cells"], older["done"]) == ("simulated@1", 1, 27, 27)


def test_every_verb_that_takes_a_sweep_takes_its_version(scalaw, simulated, trained, tmp_path):
    for epochs in ("[1, 2, 4]", "[1, 4]"):
        assert scalaw("run", simulated, "--store", trained.uri, "--set", f"grid.epochs={epochs}").code == 0
    asked = ("--sweep", "simulated@1")
    count = scalaw("query", trained.uri, "select count(*) n from results", *asked, "--json")
    assert count.document == [{"n": 27}]
    fit = scalaw("fit", trained.uri, *asked, "--bootstrap", "0", "--json").document
    assert fit["fits"]["product"]["n_rows"] == 27
    for verb in (
        ("predict", trained.uri, "--n", "1M", "--d", "1M"),
        ("optimal", trained.uri, "--flops", "1e15"),
        ("plot", trained.uri, "-o", tmp_path / "a.png"),
        ("logs", trained.uri),
        ("stop", trained.uri),
    ):
        answer = scalaw(*verb, *asked)
        assert answer.code == 0, answer.err
    wrong = scalaw("predict", trained.uri, "--n", "1M", "--d", "1M", "--sweep", "simulated@3")
    assert wrong.code == 2
    assert "has no simulated@3; of this sweep it has simulated@1, simulated@2" in wrong.err


def test_what_others_wrote_is_printed_as_it_stands(scalaw, simulated, trained):
    plan = make_plan(parse_sweep(simulated.read_text()))
    cells = [cell.id for cell in plan.cells]
    for cell_id, cell, error in zip(cells, plan.cells, [NASTY, "", "\n\n"], strict=False):
        trained.blobs.delete(f"results/{cell_id}.parquet")
        trained.commit_row(
            failure_row(cell, plan.context, error=f"Traceback\n{error}" if error else "", attempt=0, worker=None)
        )
    trained.save_sweep("simulated", {"cells": cells})
    told = scalaw("status", trained.uri)
    assert told.code == 0
    assert NASTY.replace(" ", "") in told.out.replace(" ", "").replace("\n", "")
    assert "no reason was recorded" in told.out
    table = scalaw("query", trained.uri, f"select '{NASTY}' as \"[/x]\"")
    assert table.code == 0
    assert NASTY in table.out


def test_a_folder_that_merely_has_results_is_no_store_and_is_left_alone(scalaw, simulated, tmp_path):
    mine = tmp_path / "project"
    for name in ("results/a.parquet", "results/table.parquet", "logs/today.log", "fits/b.parquet", "thesis.tex"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_bytes(b"not yours")
    before = sorted(mine.rglob("*"))
    for verb in (("query", mine, "select 1"), ("status", mine), ("fit", mine), ("store", "check", mine)):
        assert scalaw(*verb).code == 2
    (mine / "thesis.tex").unlink()
    assert scalaw("run", simulated, "--store", mine).code == 2
    assert scalaw("query", mine, "select 1").code == 2
    assert sorted(mine.rglob("*")) == [path for path in before if path.name != "thesis.tex"]


def test_a_folder_of_sweep_files_beside_other_things_is_no_store(scalaw, tmp_path):
    for name in ("sweeps/a.yaml", "sweeps/a.json", "results/a.parquet", "README.md"):
        (tmp_path / "repository" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repository" / name).write_text("{}")
    assert scalaw("query", tmp_path / "repository", "select 1").code == 2
    assert (tmp_path / "repository/results/a.parquet").exists()


def test_a_store_of_an_older_scalaw_is_known_by_its_sweeps_and_named_by_the_next_run(scalaw, simulated, trained):
    assert scalaw("run", simulated, "--store", trained.uri).code == 0
    root = trained.blobs.root
    (root / "store.json").unlink()
    (root / "sweeps/simulated/1.json").rename(root / "sweeps/simulated.json")
    (root / "sweeps/simulated").rmdir()
    assert scalaw("query", trained.uri, "select count(*) n from results", "--json").document == [{"n": 27}]
    assert not (root / "store.json").exists()
    assert scalaw("run", simulated, "--store", trained.uri).code == 0
    assert (root / "store.json").exists()
    assert [path.name for path in (root / "sweeps").rglob("*")] == ["simulated.json"]


def test_check_names_what_is_damaged_and_changes_nothing(scalaw, simulated, trained):
    assert scalaw("run", simulated, "--store", trained.uri).code == 0
    sound = scalaw("store", "check", trained.uri, "--json")
    assert sound.code == 0
    assert sound.document["parts"] == 27
    assert sound.document["damaged"] == sound.document["unsealed"] == []
    root = trained.blobs.root
    part = sorted((root / "results").iterdir())[3]
    fit = next((root / "fits").iterdir())
    broken = [part, fit, root / "sweeps/simulated/1.json", root / "store.json"]
    for path in broken:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 16
        path.write_bytes(bytes(data))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    answer = scalaw("store", "check", trained.uri, "--json")
    assert answer.code == 1
    assert [entry["key"] for entry in answer.document["damaged"]] == sorted(
        str(path.relative_to(root)) for path in broken
    )
    assert answer.document["parts"] == 26
    told = scalaw("store", "check", trained.uri)
    assert told.code == 1
    assert told.out.count("damaged: ") == 4
    assert "its checksum differs" in told.out
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_check_says_what_has_no_checksum(scalaw, simulated, trained):
    assert scalaw("run", simulated, "--store", trained.uri).code == 0
    trained.blobs.replace("sweeps/older.json", b'{"cells": []}')
    answer = scalaw("store", "check", trained.uri, "--json")
    assert answer.code == 0
    assert answer.document["unsealed"] == ["sweeps/older.json"]
    assert "1 of them have no checksum" in scalaw("store", "check", trained.uri).out
