"""A plug-in is on the command line, in the store by its name alone, in a job, and beside an exported model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import scalaw
from orchestrator.cli.job import words
from orchestrator.errors import BadInput
from orchestrator.planning import make_plan
from orchestrator.spec import load_sweep, parse_sweep
from orchestrator.spec.plugins.admission import admit
from orchestrator.spec.plugins.code import read_plugin
from orchestrator.submission.order import JobOrder
from orchestrator.submission.package import pack, plugin_places
from tests.plugins.conftest import EXAMPLE, SETS

DOCS = Path(__file__).parents[2] / "docs/extending.md"
SMALL = ("--set", "grid.params=[1k]", "--set", "grid.data_fraction=[0.25]", "--set", "grid.epochs=[1, 2]")


def scalaw_run(*arguments):
    command = [sys.executable, "-m", "scalaw", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_example_runs_by_its_readme_and_its_model_leaves_the_store_with_its_code(tmp_path, helper):
    sweep, own, store = EXAMPLE / "sweep.yaml", EXAMPLE / "plugin.py", tmp_path / "store"
    without = scalaw_run("run", sweep, "--store", store)
    assert (without.returncode, without.stderr.count("\n")) == (2, 1)
    assert "unknown model family 'mlp'" in without.stderr
    assert not store.exists()
    ran = scalaw_run("run", sweep, "--plugin", own, "--store", store, "--no-dashboard", *SMALL, "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["rows"] == 2
    (document,) = scalaw.open_store(str(store)).sweeps().values()
    assert document["plugins"] == {"plugin.py": read_plugin(own).digest}
    assert "nn.Linear" not in json.dumps(document)
    (cell, _) = document["cells"]
    refused = scalaw_run("export", store, cell, "-o", tmp_path / "model")
    assert refused.returncode == 2
    exported = scalaw_run("export", store, cell, "-o", tmp_path / "model", "--plugin", own, "--json")
    found = json.loads(exported.stdout)
    assert found["val_loss"] == found["val_loss_of_row"]
    loaded = subprocess.run([sys.executable, tmp_path / "model/load.py"], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "torch.Size([1, 10])"


def test_a_job_carries_the_code_and_consents_to_it(tmp_path):
    codes = [read_plugin(EXAMPLE / "plugin.py"), read_plugin(EXAMPLE)]
    (tmp_path / "work").mkdir()
    package = pack(tmp_path / "work", tmp_path / "job.zip", "job-1", (), codes)
    places = plugin_places(codes)
    assert places == ["scalaw-plugins/0/plugin.py", "scalaw-plugins/1/plugin"]
    with zipfile.ZipFile(package.path) as archive:
        archive.extractall(tmp_path / "there")
    assert [read_plugin(tmp_path / "there" / place).digest for place in places] == [code.digest for code in codes]
    order = JobOrder(
        file="s.yaml", text="", overrides=[], store="s3://b", share=True, retry_failed=False, budget_fraction=None,
        proof=None, python="3.11", plugins=places,
    )  # fmt: skip
    said = words(JobOrder.from_text(order.to_text()), "s.yaml")
    assert said[said.index("--plugin") :][:4] == ["--plugin", places[0], "--plugin", places[1]]


def test_two_files_with_one_name_are_refused(plugin):
    with pytest.raises(BadInput, match=r"one\.py and two\.py both have a model family 'sets'; rename one"):
        admit([plugin(SETS, "one.py"), plugin(SETS.replace("0.2", "0.3"), "two.py")])


def test_an_edited_file_in_one_process_is_trained_as_edited(plugin):
    from orchestrator.spec.registries import FAMILIES
    from workers.worker import admit_to_work

    text = (EXAMPLE / "plugin.py").read_text()
    for code in (text, text.replace("GELU", "Tanh")):
        admit_to_work(admit([plugin(code)]))
        admit([plugin(code)])
        plan = make_plan(load_sweep(EXAMPLE / "sweep.yaml"))
        module = FAMILIES.load_training("mlp")().build(plan.cells[0].shape, {}, plan.context.manifest)
        kinds = {type(layer).__name__ for layer in module}
        assert ("Tanh" in kinds) == ("Tanh" in code)


def test_the_page_shows_what_the_example_is_and_code_that_runs(plugin):
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert blocks[0] == (EXAMPLE / "plugin.py").read_text()
    source = next(block for block in blocks if "class Clouds" in block)
    admit([EXAMPLE / "plugin.py", plugin(source, "clouds.py")])
    text = "name: c\ndata: {source: clouds, spread: 0.7}\nmodel: {family: mlp}\ngrid: {params: [1k]}\n"
    plan = make_plan(parse_sweep(text + "train: {learning_rate: 0.003}\n"))
    assert plan.cells[0].data_examples == 4096
    assert [check["broken"] for check in scalaw.check_plugin(plugin(source, "clouds.py"))["checks"]] == [[]]
