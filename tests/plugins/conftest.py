"""Plug-ins in files, and registries that are as they were after each test."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec.plugins import admission, questions
from orchestrator.spec.plugins.code import PluginCode
from orchestrator.spec.plugins.kinds import SEAMS
from orchestrator.spec.plugins.questions import VARIABLE
from workers.families.own.answers import answer

EXAMPLE = Path(__file__).parents[2] / "examples/plugin"
#: A model with dropout, a loss of its own and batches of mappings, and the data that it reads.
SETS = '''
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import scalaw


class SetOptions(scalaw.Options):
    dropout: float = 0.2


class Sets(scalaw.Family):
    """Learns the mean of the points of a set, from as many of them as are there."""

    name = "sets"
    Options = SetOptions

    def sizes(self):
        return [{"width": width} for width in range(2, 200, 2)]

    def build(self, dims):
        return nn.Sequential(
            nn.Linear(3, dims["width"]), nn.ReLU(), nn.Dropout(self.options["dropout"]),
            nn.BatchNorm1d(5), nn.Linear(dims["width"], 1),
        )

    def loss(self, module, batch):
        points, there = batch["set"]["points"], batch["set"]["there"]
        guess = (module(points)[..., 0] * there).sum(1) / there.sum(1)
        return F.mse_loss(guess, batch["mean"])

    def metrics(self, module, batch):
        return {"far_off": (self.loss(module, batch) > 1).float()}

    def collate(self, examples):
        points = torch.stack([torch.from_numpy(points) for points, _, _ in examples])
        there = torch.stack([torch.from_numpy(there) for _, there, _ in examples])
        return {"set": {"points": points, "there": there}, "mean": torch.tensor([mean for *_, mean in examples])}


class Clouds(scalaw.Source):
    """Points around a mean."""

    name = "clouds"

    class Options(scalaw.Options):
        spread: float = 0.5

    @staticmethod
    def manifest(options, *, context):
        return scalaw.DataManifest(
            task="clouds", digest=f"clouds 1 {options['spread']}",
            train_examples=128, val_examples=32, test_examples=32,
            batch=scalaw.batch_like({
                "set": {"points": np.zeros((5, 3), np.float32), "there": np.zeros(5, np.float32)}, "mean": 0.0,
            }),
        )

    @staticmethod
    def load(options, *, context):
        def examples(seed, count):
            rng = np.random.default_rng(seed)
            found = []
            for _ in range(count):
                mean = rng.normal()
                points = rng.normal(mean, options["spread"], (5, 3)).astype(np.float32)
                there = (np.arange(5) < rng.integers(1, 6)).astype(np.float32)
                found.append((points, there, np.float32(mean)))
            return found

        manifest = Clouds.manifest(options, context=context)
        return scalaw.Dataset(manifest=manifest, train=examples(0, 128), val=examples(1, 32), test=examples(2, 32))
'''
SETS_SWEEP = """\
name: sets
data: {source: clouds, spread: 0.7}
model: {family: sets, dropout: 0.1}
grid: {params: [30, 90], data_fraction: [0.5, 1.0], epochs: [1, 2]}
train: {learning_rate: 0.01, batch_size: 16, warmup_steps: 3}
"""


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which answers of the helper process are kept."""
    return tmp_path_factory.mktemp("answers")


class Here:
    """What the helper process does, in this one, which has torch already."""

    def __init__(self, code: PluginCode) -> None:
        self.code = code

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        return json.loads(json.dumps(answer(self.code, question)))


@pytest.fixture(autouse=True)
def own_registries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, answers: Path) -> Iterator[None]:
    """Forget what a test has added to the registries, and keep answers apart from the user's.

    Questions are answered in this process, but for tests that are marked to want the helper.
    """
    monkeypatch.setenv(VARIABLE, str(answers))
    if "helper" not in request.fixturenames:
        monkeypatch.setattr(questions, "_helper", Here)
    yield
    admission._CODE.clear()
    for registry in SEAMS.values():
        registry.added.clear()
        registry.added_training.clear()


@pytest.fixture
def helper() -> None:
    """Answer questions in a process of its own, as a person's are."""


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., str]:
    """Return what writes a plug-in and gives its path."""

    def write(text: str, name: str = "my_model.py") -> str:
        (tmp_path / name).write_text(textwrap.dedent(text))
        return str(tmp_path / name)

    return write
