"""Sharing is exact (I3): whatever the grid and the recipe, a row of the shared tree is that of the cell trained alone.

Random sweeps are trained on the CPU by real workers, in gangs of one to four processes. Three and four matter by
themselves: two ranks add their gradients in one order only.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.spec.registries import FAMILIES, OPTIMIZERS
from orchestrator.store import open_store, query
from workers.engine import TorchEngine
from workers.messages import WorkOrder
from workers.rank import Rank

pytestmark = pytest.mark.slow

REPOSITORY = pathlib.Path(__file__).parents[3]
#: What must not depend on how a cell came about; times may.
SCORES = (
    "model", "train_loss", "val_loss", "test_loss", "bits_per_byte", "accuracy", "precision_macro", "recall_macro",
    "f1_macro", "model_bytes", "epsilon", "fidelity", "bits_per_param", "density", "rank_ratio",
)  # fmt: skip
SHARING = ["wsd", "wsm", "constant"]
WORLD_SIZES = [1, 2, 3, 4]
#: Of each family that trains: what it learns from, small sizes, and keys of its own.
CASES = {
    "transformer": {
        "data": {"source": "text", "paths": [argparse.__file__]},
        "params": [1_000, 2_000],
        "model": {"context": st.just(16), "dropout": st.sampled_from([0.1, 0.5, 0.0])},
        "train": {},
        "finetune": {"source": "text", "paths": [json.__file__, pathlib.__file__]},
        "student": 500,
    },
    "resnet": {
        "data": {"source": "digits"},
        "params": [700, 1_400],
        "model": {"block": st.sampled_from(["basic", "bottleneck"])},
        "train": {"shift_pixels": st.sampled_from([1, 2, 0])},
        "finetune": {"source": "fake", "image_size": 8, "channels": 1, "classes": 3, "examples": 40},
        "student": 300,
    },
}
#: Examples are small as they are; to make a failing one smaller would train for minutes.
EXAMPLES = settings(deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])


class Gangs:
    """Four processes, the first k of which train together; started when they are first needed."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.calls: list[Connection] = []
        self.size = 0
        #: Every point of every cell of the last run, but for what depends on the tree or the clock.
        self.curves: list[dict[str, Any]] = []

    def rows(self, plan, *, luck=0, cut=False):
        """Run a plan's tree on a gang of the plan's world size; return each cell's row by its id.

        Parameters
        ----------
        luck
            Seed of the order in which chains run, of which worker takes each, and of which states go to checkpoints:
            in a pool none of these can be foretold.
        cut
            Whether every chain that trains is kept at some step, and what counts is what another worker makes of it.
        """
        try:
            self._gather(plan.sweep.resources.world_size)
            with tempfile.TemporaryDirectory() as store:
                self._ask("begin", [(plan.context, store)] * self.size)
                rows = self._run(plan.tree, random.Random(luck), cut)
                self.curves = query(open_store(store), "select * exclude (stage_id, flops, seconds) from curves")
                return rows
        except BaseException:
            self.stop()  # the others may wait for one that failed
            raise

    def _run(self, tree, chance, cut):
        ends, found, ready = {None: None}, {}, list(tree.children[None])
        while ready:
            chain = tree.chain(ready.pop(chance.randrange(len(ready))))
            children = tree.children.get(chain[-1].id, [])
            order = WorkOrder(chain=chain, spill=bool(children) and chance.random() < 0.3)
            number, parent = chance.randrange(2), ends[chain[0].parent]
            trained = [stage for stage in chain if stage.steps > 1]
            if cut and trained:
                stage = chance.choice(trained)
                step = chance.randrange(stage.start_step + 1, stage.stop_step)
                self._ask("run", [(number, replace(order, spill=False), parent, (stage.id, step))] * self.size)
                order, number = replace(order, look_for_kept=True), 1 - number
                parent = None  # it is not needed any more
            row, state = self._ask("run", [(number, order, parent, None)] * self.size)[0]
            if row is not None:
                found[row["cell_id"]] = {name: row.get(name) for name in SCORES}
            ends[chain[-1].id] = state
            ready += children
        return found

    def stop(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for call in self.calls:
            call.close()
        self.process, self.calls, self.size = None, [], 0

    def _gather(self, size):
        if self.process is None:
            self._start()
        if size != self.size:
            (port,) = self._ask("meet", [(size,)])
            self._ask("join", [(Rank(index, size), port) for index in range(size)])
            self.size = size

    def _start(self):
        self.calls, theirs = zip(*(Pipe() for _ in range(max(WORLD_SIZES))), strict=True)
        numbers = [each.fileno() for each in theirs]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # more would be processes of their own
        self.process = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name("gang_rank.py"), *map(str, numbers)],
            env=environment,
            pass_fds=numbers,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a process group, to be ended as one
        )
        for each in theirs:
            each.close()

    def _ask(self, method, arguments):
        """Call a method of the first processes, with arguments for each; return their answers."""
        asked = self.calls[: len(arguments)]
        for call, each in zip(asked, arguments, strict=True):
            call.send((method, each))
        answers = {}
        while len(answers) < len(asked):
            for call in wait([call for call in asked if call not in answers]):
                well, answers[call] = call.recv()
                assert well, answers[call]
        return [answers[call] for call in asked]


@pytest.fixture(scope="module")
def gangs():
    gangs = Gangs()
    yield gangs
    gangs.stop()


def compressions(student):
    """Every way to make a model smaller; chains have beginnings in common with the others."""
    structured = {"method": "prune", "density": 0.5, "pattern": "structured", "recover": {"steps": 2}}
    pruned = {"method": "prune", "density": 0.4, "recover": {"steps": 2}}
    return [
        structured,
        {"method": "quantize", "bits": 3, "recover": {"steps": 2}},
        {"method": "distill", "student_params": student},
        {"method": "chain", "steps": [structured, {"method": "quantize", "bits": 4}]},
        pruned,
        {"method": "low_rank", "energy": 0.6, "recover": {"epochs": 0.5}},
        {"method": "chain", "steps": [pruned, {"method": "quantize", "bits": 4}]},
        {"method": "quantize", "bits": 2},
    ]


@st.composite
def children(draw, world_size, family):
    """What a sweep may have below its pretrained cells."""
    ways = compressions(CASES[family]["student"])
    grid = {"compression": draw(st.permutations(ways)) if draw(st.booleans()) else ways}
    grid["compression"] = grid["compression"][:3]
    if draw(st.sampled_from([True, False])):
        grid["finetune"] = {
            "data": CASES[family]["finetune"],
            "examples": [3 * world_size],
            "epochs": [1, 2],
            "batch_size": world_size,
            "freeze": draw(st.sampled_from(["nothing", "body"])),
            "head": draw(st.sampled_from(["auto", "new"])),
        }
    return grid


@st.composite
def sweeps(draw, world_size=1, family=None):
    """A small sweep: four to six lengths of a cell, times recipes, sizes or seeds.

    The first example takes the first of everything: it shares much, under every schedule and with every optimizer.
    """
    family = family or draw(st.sampled_from(sorted(CASES)))
    case, optimizers = CASES[family], sorted(OPTIMIZERS.builtin)
    times = draw(st.sampled_from(["recipes", "schedules", "sizes", "seeds", "nothing"]))
    batch = world_size * draw(st.integers(1, 3))
    full = draw(st.integers(3 * batch, 5 * batch))
    epochs = draw(st.sampled_from([[1, 2], [1, 3], [2, 3]]))
    fewest = math.ceil(batch / epochs[0])
    examples = draw(st.lists(st.integers(fewest, full - 1), min_size=1, max_size=2, unique=True))
    grid = {
        "params": case["params"] if times == "sizes" else case["params"][:1],
        "data_fraction": [n / full for n in [full, *examples]],
        "epochs": epochs,
        "seeds": 2 if times == "seeds" else 1,
    }
    if times == "recipes":
        longest = max(len(optimizers), len(SHARING))
        pairs = zip(islice(cycle(optimizers), longest), islice(cycle(SHARING), longest), strict=True)
        grid["recipes"] = [{"optimizer": optimizer, "schedule": schedule} for optimizer, schedule in pairs]
    elif times == "schedules":
        grid["recipes"] = [{}, {"schedule": draw(st.sampled_from(["cosine", "step", *SHARING]))}]
    recipe = {
        "optimizer": st.sampled_from(optimizers),
        "schedule": st.sampled_from(SHARING),
        "batch_size": st.just(batch),
        "warmup_steps": st.sampled_from([3, 0, 1, 2, 12]),
        "cooldown_fraction": st.just(0.3) | st.floats(0.05, 0.95),
        "learning_rate": st.just(0.02) | st.floats(0.001, 0.03),
        "weight_decay": st.sampled_from([0.01, 0.0]),
        "momentum": st.sampled_from([0.9, 0.0]),
        "gradient_clip": st.sampled_from([0.2, 1.0, None]),
        "eval_every": st.sampled_from([2, None]),
        **case["train"],
    }
    return {
        "name": "random",
        "seed": draw(st.integers(0, 2**31 - 1)),
        "data": {**case["data"], "max_examples": full, "eval_examples": 16},
        "model": {"family": family, **draw(st.fixed_dictionaries(case["model"]))},
        "grid": grid,
        "train": draw(st.fixed_dictionaries(recipe)),
        "resources": {"world_size": world_size},
        "inference": {"measure": False},
    }


lucks = st.integers(0, 1000)


def small(family, *, world_size=1, **train):
    """Return a sweep of four cells."""
    recipe = {
        "batch_size": 2 * world_size,
        "warmup_steps": 2,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "eval_every": 3,
    }
    return {
        "name": "small",
        "data": {**CASES[family]["data"], "max_examples": 8 * world_size, "eval_examples": 16},
        "model": {"family": family, **({"context": 16, "dropout": 0.1} if family == "transformer" else {})},
        "grid": {"params": CASES[family]["params"][:1], "data_fraction": [0.5, 1.0], "epochs": [1, 2]},
        "train": {**recipe, **train},
        "resources": {"world_size": world_size},
    }


def assert_exact(gangs, document, luck=0, *, cut=False):
    """Fail unless every row and curve of the shared tree has the bits of those of its cell trained alone."""
    sweep = parse_sweep(json.dumps(document))
    shared, alone = make_plan(sweep), make_plan(sweep, share=False)
    rows = gangs.rows(shared, luck=luck, cut=cut)
    assert rows.keys() == {cell.id for cell in shared.cells}
    curves = gangs.curves
    assert rows == gangs.rows(alone, luck=luck + 1)
    assert {point["cell_id"] for point in curves} == {cell.id for cell in shared.cells}
    assert curves == gangs.curves


def test_every_family_that_trains_is_tried():
    trained = {name for name in FAMILIES.builtin if not FAMILIES.load(name).simulated}
    assert trained - {"program"} == CASES.keys(), "tests/programs tries what programs promise"


def test_the_small_sweep_shares_training():
    sweep = parse_sweep(json.dumps(small("transformer")))
    assert make_plan(sweep).flops_planned < make_plan(sweep, share=False).flops_planned


@settings(EXAMPLES, max_examples=6)
@given(document=sweeps(), luck=lucks)
def test_rows_of_a_shared_tree_are_those_of_cells_trained_alone(gangs, document, luck):
    assert_exact(gangs, document, luck)


@pytest.mark.parametrize(
    ("world_size", "family"),
    [
        (2, "transformer"),
        (3, "resnet"),
        pytest.param(3, "transformer", marks=pytest.mark.nightly),
        pytest.param(4, "resnet", marks=pytest.mark.nightly),
    ],
)
@settings(EXAMPLES, max_examples=2)
@given(data=st.data(), luck=lucks)
def test_rows_of_a_gang_are_those_of_a_gang_that_trains_each_cell_alone(gangs, world_size, family, data, luck):
    assert_exact(gangs, data.draw(sweeps(world_size, family)), luck)


@pytest.mark.parametrize(
    ("world_size", "family"),
    [(1, "transformer"), (1, "resnet"), pytest.param(3, "resnet", marks=pytest.mark.nightly)],
)
@settings(EXAMPLES, max_examples=2)
@given(data=st.data(), luck=lucks, schedule=st.sampled_from(["wsm", "wsd", "constant"]), cut=st.booleans())
def test_children_of_a_shared_tree_are_those_of_parents_trained_for_each(
    gangs, world_size, family, data, luck, schedule, cut
):
    document = small(family, world_size=world_size, schedule=schedule)
    document["grid"] |= {"epochs": [1], **data.draw(children(world_size, family))}
    document["inference"] = {"measure": False}
    assert_exact(gangs, document, luck, cut=cut)


@settings(EXAMPLES, max_examples=4)
@given(document=sweeps(), luck=lucks)
def test_stages_taken_up_from_a_checkpoint_by_another_worker_end_in_the_same_rows(gangs, document, luck):
    assert_exact(gangs, document, luck, cut=True)


def test_stages_of_a_gang_taken_up_from_the_checkpoint_of_rank_0_end_in_the_same_rows(gangs):
    assert_exact(gangs, small("resnet", world_size=3, optimizer="sgd"), cut=True)


@pytest.mark.parametrize("family", CASES)
def test_rows_in_bf16_are_those_of_cells_trained_alone(gangs, family):
    assert_exact(gangs, small(family, precision="bf16"))


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
def test_rows_of_compiled_models_are_those_of_cells_trained_alone(gangs):
    assert_exact(gangs, small("transformer", compile=True))


def test_a_worker_compiles_every_size_however_many_it_compiled_before(monkeypatch):
    compiled = []

    def counted(graph, inputs):
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counted))
    torch._dynamo.reset()
    document = small("transformer", compile=True)
    sizes = [1_000, 2_000, 3_000, 5_000, 8_000, 12_000, 16_000, 20_000, 30_000, 40_000]
    document["grid"] = {"params": sizes, "epochs": [1]}
    plan = make_plan(parse_sweep(json.dumps(document)))
    engine = TorchEngine(plan.context)
    for root in plan.tree.children[None]:
        engine.train(root, None)
    assert len(compiled) == len(sizes)
