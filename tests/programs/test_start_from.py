"""What is written beside a trainer can be planned with as soon as the trainer follows the list."""

from __future__ import annotations

import pytest

from orchestrator.cli.main import main
from orchestrator.cli.program_starter import write_program
from orchestrator.errors import BadInput
from orchestrator.planning import make_plan
from orchestrator.programs.program import read_program
from orchestrator.spec import load_sweep


def test_manifest_and_sweep_for_a_script_plan_as_they_are(linear):
    (linear / "program.toml").unlink()
    manifest, sweep = write_program(linear / "train.py")
    plan = make_plan(
        load_sweep(sweep, overrides=["model.options={outside: /}", "grid.params=[4, 8]"]),
        program=read_program(manifest),
    )
    assert (plan.sweep.name, len(plan.cells)) == ("linear", 12)
    assert plan.to_json()["est_memory_bytes"] is None, "what a program takes of memory it alone knows"
    with pytest.raises(BadInput, match=r"program.toml is there already; move it away"):
        write_program(linear / "train.py")
    with pytest.raises(BadInput, match=r"nothing.py is no Python script"):
        write_program(linear / "nothing.py")


def test_the_verb_lists_what_to_change(linear, capsys):
    (linear / "program.toml").unlink()
    with pytest.raises(SystemExit) as end:
        main(["init", "--program", str(linear / "train.py")])
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"then: scalaw program check {linear}/program.toml --sweep {linear}/sweep.yaml"
    assert [line.split(".")[0].strip() for line in lines[1:-1]] == [str(k) for k in range(1, 10)]
