"""The suites that ours pass find what is broken in a plug-in, and pass what is not."""

from __future__ import annotations

import subprocess
import sys

import pytest

import scalaw
from tests.plugins.conftest import EXAMPLE, SETS
from tests.plugins.test_other_kinds import OWN

FAMILY = """
import torch
from torch import nn

import scalaw


class Mine(scalaw.Family):
    name = "mine"

    def sizes(self):
        return [{"w": w} for w in range(2, 400, 2)]

    def build(self, dims):
        torch.manual_seed(torch.seed())
        return nn.Sequential(nn.Flatten(), nn.Linear(64, dims["w"]), nn.Linear(dims["w"], self.data.classes))
"""
SOURCE = """
import numpy as np

import scalaw


class Mine(scalaw.Source):
    name = "mine"

    class Options(scalaw.Options):
        pass

    def manifest(self, options, *, context):
        return scalaw.DataManifest(task="mine", digest="1", train_examples=32, val_examples=8, test_examples=8,
                                   input_shape=(4,), classes=2)

    def load(self, options, *, context):
        def split(count):
            return [(np.random.normal(size=4).astype(np.float32), np.int64(k % 3)) for k in range(count)]

        manifest = self.manifest(options, context=context)
        return scalaw.Dataset(manifest=manifest, train=split(32), val=split(8), test=split(7))
"""


def broken(path, **keywords):
    return {
        sentence.partition(":")[0]
        for check in scalaw.check_plugin(path, **keywords)["checks"]
        for sentence in check["broken"]
    }


@pytest.mark.nightly
@pytest.mark.slow
def test_the_example_and_batches_of_any_structure_pass(plugin):
    assert broken(EXAMPLE / "plugin.py") == set()
    assert broken(plugin(SETS)) == set()


@pytest.mark.nightly
@pytest.mark.slow
def test_optimizer_schedule_compressor_and_law_pass_theirs(plugin):
    found = scalaw.check_plugin(plugin(OWN))
    assert [check for check in found["checks"] if check["broken"]] == []
    assert {check["subject"].rpartition(" ")[2] for check in found["checks"]} == {"adamax", "1-sqrt", "signs", "twin"}


def test_first_weights_that_no_seed_decides_are_found(plugin):
    assert {"torch's seed alone decides the first weights", "determinism"} <= broken(plugin(FAMILY))


def test_data_that_are_others_each_time_or_than_stated_are_found(plugin):
    assert broken(plugin(SOURCE)) == {
        "splits have the sizes that the manifest states",
        "targets are below classes",
        "data loaded again are equal",
    }


def test_slopes_that_are_no_derivatives_are_found(plugin):
    text = """
        from orchestrator.fitting.laws.chinchilla import Chinchilla
        import scalaw

        class Wrong(Chinchilla, scalaw.Law):
            name = "wrong"

            def slopes(self, coords, log_axes):
                return 1.01 * super().slopes(coords, log_axes)
    """
    assert "slopes are the derivatives of log_loss" in broken(plugin(text))


def test_a_loss_that_raises_is_told_with_its_line(plugin):
    raises = SETS.replace("guess = (module(points)", "raise ValueError('no')\n        guess = (module(points)")
    assert any(sentence.startswith("my_model.py") for sentence in broken(plugin(raises)))


@pytest.mark.slow
def test_pytest_runs_the_suites_as_tests(plugin, tmp_path, answers):
    command = [sys.executable, "-m", "pytest", "-q", "--scalaw"]
    right = SOURCE.replace("k % 3", "k % 2").replace("split(7)", "split(8)")
    right = right.replace("np.random.normal", "np.random.default_rng(count).normal")

    def run(path):
        return subprocess.run([*command, path], cwd=tmp_path, capture_output=True, text=True, check=False)

    good, bad, missing = run(plugin(right, "good.py")), run(plugin(SOURCE, "bad.py")), run("none.py")
    assert (good.returncode, "1 passed" in good.stdout) == (0, True), good.stdout
    assert bad.returncode == 1
    assert "splits have the sizes that the manifest states" in bad.stdout
    assert (missing.returncode, "none.py doesn't exist" in missing.stderr) == (4, True)


def test_a_kind_of_task_of_one_s_own_is_tried(plugin):
    text = """
        import scalaw

        class Vowels(scalaw.Metric):
            name = "vowels"

            def wrong(self, item):
                return None if isinstance(item.get("text"), str) else "it has no 'text'"

            def score(self, model, items):
                asked = [(item["text"].encode(), vowel.encode()) for item in items for vowel in "aeiou"]
                logs = model.log_likelihoods(asked)
                return {"vowels": sum(logs) / len(logs)}

            def made_of(self, texts):
                return [{"text": text.decode(errors="ignore")} for text in texts]
    """
    assert broken(plugin(text)) == set()
    careless = text.replace('isinstance(item.get("text"), str)', "True")
    assert broken(plugin(careless, "careless.py")) == {"a question without anything in it is wrong"}
