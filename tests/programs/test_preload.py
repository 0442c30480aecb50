"""A warm interpreter that forks a child a task changes nothing but how long a start takes."""

from __future__ import annotations

import os
import signal

import pytest

from orchestrator.programs.guardian import Guardian, carriers
from orchestrator.programs.preload import CannotPreload, Preloaded
from tests.programs.test_misbehaviour import until
from tests.programs.test_shared_is_alone import losses


@pytest.fixture
def warm(linear):
    """The trainer with its imports preloaded."""
    manifest = linear / "program.toml"
    manifest.write_text(manifest.read_text() + 'preload = ["json", "random", "numpy"]\n')


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def guardian(scratch):
    made = Guardian(scratch)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("bad", [None, "raises once", "killed once", "leaves once"])
def test_cells_of_forked_children_are_equal_to_those_of_processes_of_their_own(lead, sweep_of, rows, linear, bad):
    cold = lead(sweep_of(), "cold")
    manifest = linear / "program.toml"
    manifest.write_text(manifest.read_text() + 'preload = ["json", "random", "numpy"]\n')
    options = {"bad": bad, "step_s": 0.005} if bad else {}
    forked = lead(sweep_of(**options), "forked", overrides=["resources.checkpoint_interval_s=0.02"])
    assert losses(forked, rows) == losses(cold, rows)


@pytest.mark.slow
def test_what_a_forked_child_says_stands_in_the_row_of_its_failure(lead, sweep_of, rows, warm):
    found = rows(lead(sweep_of(bad="raises"), overrides=["grid.data_fraction=[1.0]", "grid.epochs=[1]"]))
    [row] = found.values()
    assert row["error"].endswith("linear ended with exit 1 after step 11: RuntimeError: eleven")
    assert "Traceback (most recent call last)" in row["error"]


def test_a_child_is_a_session_of_its_own_with_its_folder_words_and_variables(tmp_path, scratch, guardian):
    (tmp_path / "say.py").write_text(
        "import os, sys, json\n"
        "print(json.dumps([os.getsid(0) == os.getpid(), os.getcwd(), sys.argv, os.environ['MINE'], __name__,\n"
        "                  'HIDDEN' in os.environ, sys.stdin.read()]))\nsys.exit(7)\n"
    )
    warm = Preloaded(["json"], tmp_path, {"PATH": os.environ["PATH"], "HIDDEN": "1"}, scratch, guardian)
    child = warm.start(["say.py", "word"], scratch / "task.json", {"MINE": "yes"})
    assert child.wait(20) == 7
    assert child.log.text() == f'[true, "{tmp_path}", ["{tmp_path}/say.py", "word"], "yes", "__main__", false, ""]'
    warm.close()


def test_children_do_not_all_draw_what_the_first_one_draws(tmp_path, scratch, guardian):
    (tmp_path / "draw.py").write_text("import numpy\nprint(numpy.random.random())\n")
    warm = Preloaded(["numpy"], tmp_path, {"PATH": os.environ["PATH"]}, scratch, guardian)
    said = []
    for _ in range(2):
        child = warm.start(["draw.py"], scratch / "task.json", {"PATH": os.environ["PATH"]})
        assert child.wait(20) == 0
        said.append(child.log.text())
    assert said[0] != said[1]
    warm.close()


def test_a_module_that_is_not_there_is_said(tmp_path, scratch, guardian):
    with pytest.raises(CannotPreload, match="preload: ModuleNotFoundError: No module named 'no_such_module'"):
        Preloaded(["no_such_module"], tmp_path, {"PATH": os.environ["PATH"]}, scratch, guardian)


def test_where_the_warm_interpreter_is_killed_its_children_count_as_killed_and_are(tmp_path, scratch, guardian):
    (tmp_path / "sleep.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(100)\n")
    warm = Preloaded(["json"], tmp_path, {"PATH": os.environ["PATH"]}, scratch, guardian)
    child = warm.start(["sleep.py"], scratch / "task.json", {"PATH": os.environ["PATH"]})
    assert child.code() is None
    os.kill(warm._process.pid, signal.SIGKILL)
    assert child.wait(20) == -signal.SIGKILL
    child.kill()
    until(lambda: not carriers(f"{scratch}/"))
    with pytest.raises(CannotPreload, match="the warm interpreter is gone"):
        warm.start(["sleep.py"], scratch / "task.json", {})
