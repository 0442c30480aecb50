"""A program shares as far as it passed the check, whatever it promises."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import gettempdir

import pytest
from rich.console import Console

from orchestrator.cli.main import main
from orchestrator.errors import BadInput
from orchestrator.execution.program_trial import Trial, check_program, tried
from orchestrator.planning import make_plan
from orchestrator.programs.manifest import Sharing
from orchestrator.programs.program import read_program
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from tests.programs.test_misbehaviour import until

LIARS = {
    "forgets momentum": ("none", "4 steps and 4 more are 8 at once"),
    "forgets its generator": ("none", "4 steps and 4 more are 8 at once"),
    "draws as it saves": ("none", "saving changes nothing"),
    "deaf": ("none", "after SIGTERM it saves, exits with 75 and goes on"),
    "link": ("none", "a state is a folder of plain files"),
    "ignores the rate": ("resume", "a second child of a state, with another end, is what it is alone"),
    "writes to its parent": ("resume", "a parent's state stays as it was"),
    "draws over the amount": ("resume", "the first epoch over D examples begins every longer one"),
    "ignores the amount": (None, "its data are the first examples of the stream, over and over"),
    "counts": (None, "it trains, scores and counts what it described"),
    "null": (None, "it trains, scores and counts what it described"),
}
#: Those that are tried at every change.
FEW = ("forgets momentum", "draws over the amount", "ignores the amount")


@pytest.fixture
def checked(linear, sweep_of):
    """What is left of the promises of a trainer that misbehaves."""
    manifest = linear / "program.toml"
    manifest.write_text(manifest.read_text().replace("grace_s = 5", "grace_s = 0.3"))
    return lambda **options: check_program(read_program(manifest), sweep=parse_sweep(sweep_of(**options)))


@pytest.mark.slow
def test_one_that_keeps_its_promises_shares_as_it_says(checked):
    verdict = checked()
    assert verdict.broken == []
    assert verdict.level is Sharing.EXACT
    assert len(verdict.promises) == 11


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bad", "level", "promise"),
    [pytest.param(bad, *found, marks=() if bad in FEW else pytest.mark.nightly) for bad, found in LIARS.items()],
    ids=list(LIARS),
)
def test_a_liar_is_found_out_and_lowered_to_what_is_true_of_it(checked, bad, level, promise):
    verdict = checked(bad=bad)
    assert promise in [each.name for each in verdict.broken], verdict
    assert verdict.level == level


@pytest.mark.slow
def test_what_was_found_is_known_to_the_store_and_not_tried_again_until_the_sources_change(
    linear, sweep_of, starts, tmp_path
):
    store, said = open_store(str(tmp_path / "store"), create=True), []
    program = read_program(linear / "program.toml")
    plan = make_plan(parse_sweep(sweep_of(bad="forgets momentum")), program=program)
    first = tried(plan, program, store, said.append)
    assert (first.level, first.known) == (Sharing.NONE, False)
    assert said[-1] == "warning: linear promises exact and is taken for none"
    assert any("the training loss of step 6 is" in sentence for sentence in said)
    first.record(store)
    before = len(starts())
    again = tried(plan, program, store, said.append)
    assert again == Trial(first.key, Sharing.NONE, first.verdict, known=True)
    assert len(starts()) == before
    assert store.check().to_json()["damaged"] == []
    (linear / "more.py").touch()
    changed = read_program(linear / "program.toml")
    assert tried(make_plan(plan.sweep, program=changed), changed, store, said.append).known is False
    assert len(starts()) > before


@pytest.mark.slow
def test_one_that_ignores_how_many_examples_there_are_is_not_swept_at_all(linear, sweep_of, tmp_path):
    program = read_program(linear / "program.toml")
    plan = make_plan(parse_sweep(sweep_of(bad="ignores the amount")), program=program)
    with pytest.raises(BadInput, match=r"linear can't be swept: .*so the number of examples would mean nothing"):
        tried(plan, program, open_store(str(tmp_path / "store"), create=True), lambda sentence: None)


@pytest.mark.slow
def test_cells_of_one_that_was_lowered_to_none_train_alone_and_from_the_start(lead, sweep_of, rows, linear, starts):
    program = read_program(linear / "program.toml").lowered(Sharing.NONE)
    text = sweep_of(bad="raises once", step_s=0.002)
    run = lead(text, program=program, overrides=["resources.checkpoint_interval_s=0.001"])
    assert run.plan.why_alone == "linear shares no training (sharing: none)"
    assert {row["sharing"] for row in rows(run).values()} == {"none"}
    assert {row["status"] for row in rows(run).values()} == {"ok"}
    assert len(starts()) == 5
    assert all(each.startswith("0-") for each in starts())
    assert not run.store.checkpoints.kept()


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "code"), [(None, 0), ("forgets momentum", 1)])
def test_the_verb_says_what_was_tried_and_exits_with_1_where_something_is_broken(
    linear, sweep_of, tmp_path, capsys, bad, code
):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(sweep_of(**({"bad": bad} if bad else {})))
    with pytest.raises(SystemExit) as end:
        main(["program", "check", str(linear / "program.toml"), "--sweep", str(sweep)])
    assert end.value.code == code
    said = capsys.readouterr()
    assert said.out.strip() == f"linear promises exact and keeps {'none' if bad else 'exact'}"
    assert "the same task again has the same losses: kept" in said.err


@pytest.mark.nightly
@pytest.mark.slow
def test_a_run_tries_the_program_first_and_its_rows_carry_the_level(linear, sweep_of, tmp_path, starts):
    from orchestrator.execution.run import run_sweep

    text, folders = Console(file=io.StringIO(), width=300), set(Path(gettempdir()).glob("scalaw-*"))
    program = read_program(linear / "program.toml")
    sweep, store = parse_sweep(sweep_of(bad="forgets momentum")), str(tmp_path / "store")
    result = run_sweep(sweep, store=store, program=program, dashboard=False, console=text)
    assert (result.rows, result.failed) == (4, 0)
    assert set(open_store(store).results()["sharing"].to_pylist()) == {"none"}
    assert "is taken for none" in text.file.getvalue()
    before = len(starts())
    until(lambda: not set(Path(gettempdir()).glob("scalaw-program-*")) - folders)
    run_sweep(sweep, store=store, program=program, dashboard=False, console=text)
    assert len(starts()) == before
