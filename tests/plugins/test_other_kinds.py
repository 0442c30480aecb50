"""An optimizer, a schedule, a compressor and a law in a file are named by a sweep as ours are."""

from __future__ import annotations

import pyarrow as pa
import pytest

import scalaw
from orchestrator.errors import BadInput
from orchestrator.fitting import fit
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.spec.plugins.admission import admit, admit_to_work
from orchestrator.spec.plugins.code import read_plugin
from tests.execution.local import LocalRun, new_store

OWN = """
import numpy as np
import torch
from pydantic import Field

import scalaw
from orchestrator.fitting.laws.chinchilla import Chinchilla
from orchestrator.spec.compression_options import CompressionOptions
from workers.compressors.layers import weight_of
from workers.compressors.session import NothingHeld
from workers.optimizers.groups import torch_groups


class Adamax(scalaw.Optimizer):
    name = "adamax"

    def build(self, groups, recipe):
        return torch.optim.Adamax(torch_groups(groups, recipe.weight_decay), lr=recipe.learning_rate)


class Root(scalaw.Schedule):
    name = "1-sqrt"
    shares, ending, uses = True, "cooldown", ("cooldown_fraction",)

    def rate(self, keys, step, total_steps):
        fork = self.fork_step(keys, total_steps)
        return 1.0 if step < fork else 1 - ((step - fork) / (total_steps - fork)) ** 0.5

    def fork_step(self, keys, total_steps):
        return total_steps - max(1, round(keys.cooldown_fraction * total_steps))

    def snapshot_steps(self, keys, total_steps):
        return ()


class SignOptions(CompressionOptions):
    share: float = Field(0.5, description="how far to go")

    @property
    def level(self):
        return self.share

    @property
    def changes(self):
        return "bits"


class Sign:
    @staticmethod
    def session(module, options, parts, steps, fresh):
        return Signing(module, options, parts)

    @staticmethod
    def restructure(module, facts):
        return module


class Signing(NothingHeld):
    loss = None

    def __init__(self, module, options, parts):
        self.module, self.options, self.names = module, options, list(parts.weights)
        self.after_step(0)

    def after_step(self, step):
        with torch.no_grad():
            for name in self.names:
                weight = weight_of(self.module, name)
                weight.lerp_(weight.sign() * weight.abs().mean(), self.options.share)

    def finish(self):
        return {"share": self.options.share}


class Signs(scalaw.Compressor):
    name, Options, training = "signs", SignOptions, Sign

    @staticmethod
    def check(options, shape, family):
        return []

    @staticmethod
    def kept_share(options, before, after):
        return 1.0


class Twin(Chinchilla, scalaw.Law):
    name = "twin"
"""
SWEEP = """\
name: own
data: {source: digits, max_examples: 128, eval_examples: 32}
model: {family: resnet}
grid: {params: [2k], data_fraction: [0.5, 1.0], compression: [{method: signs, share: 0.9}]}
train: {optimizer: adamax, schedule: 1-sqrt, learning_rate: 0.01, weight_decay: 0.01, gradient_clip: 1.0,
        batch_size: 16, warmup_steps: 2}
inference: {measure: false}
fit: {laws: [twin], bootstrap: 0}
"""


def test_each_of_them_is_planned_trained_and_fitted_by_its_name(plugin, tmp_path):
    admit([plugin(OWN)])
    store = new_store(tmp_path / "store")
    run = LocalRun(SWEEP, store).run()
    rows = store.results().to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * 4, [row["error"] for row in rows]
    assert {(row["optimizer"], row["schedule"]) for row in rows} == {("adamax", "1-sqrt")}
    assert sorted(row["compression_method"] or "" for row in rows) == ["", "", "signs", "signs"]
    assert len(run.plan.context.plugins) == 1
    table = pa.table({"n": [1e5, 1e6, 1e7] * 3, "d": [1e6] * 3 + [1e7] * 3 + [1e8] * 3})
    loss = [1.7 + 400 / n**0.34 + 900 / d**0.36 for n, d in zip(*(c.to_pylist() for c in table.columns), strict=True)]
    report = fit(table.append_column("loss", pa.array(loss)), laws=["twin"], bootstrap=0)
    assert report.fits["twin"].params["alpha"].value == pytest.approx(0.34, abs=1e-3)


def test_what_a_result_depends_on_is_in_its_id_and_a_law_is_not(plugin):
    def ids(text):
        admit([plugin(text)])
        return [cell.id for cell in make_plan(parse_sweep(SWEEP)).cells]

    first = ids(OWN)
    assert ids(OWN) == first
    assert not set(ids(OWN.replace("** 0.5", "** 0.7"))) & set(first)
    plain = (
        SWEEP.replace("adamax", "sgd")
        .replace("1-sqrt", "wsd")
        .replace(", compression: [{method: signs, share: 0.9}]", "")
    )
    before = [cell.id for cell in make_plan(parse_sweep(plain)).cells]
    assert [cell.id for cell in make_plan(parse_sweep(plain.replace("[twin]", "[product]"))).cells] == before
    assert make_plan(parse_sweep(plain)).context.plugins == ()


def test_a_folder_is_a_package_of_its_own(tmp_path):
    folder = tmp_path / "mine"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts/width.py").write_text("WIDTHS = [4, 8, 16, 32]\n")
    (folder / "model.py").write_text(
        "import scalaw\nfrom torch import nn\nfrom .parts.width import WIDTHS\n"
        "class Mine(scalaw.Family):\n    name = 'mine'\n"
        "    def sizes(self): return [{'w': w} for w in WIDTHS]\n"
        "    def build(self, dims):\n"
        "        return nn.Sequential(nn.Flatten(), nn.Linear(64, dims['w']), nn.Linear(dims['w'], 10))\n"
    )
    (folder / "plugin.py").write_text("from .model import Mine\n")
    (code,) = admit([folder])
    assert [path for path, _ in code.files] == ["model.py", "parts/width.py", "plugin.py"]
    text = SWEEP.partition("train:")[0].replace("resnet", "mine").replace("[2k]", "[600]").partition(", compression")[0]
    plan = make_plan(parse_sweep(text + "}\ntrain: {learning_rate: 0.01}\n"))
    assert dict(plan.cells[0].shape.dims) == {"w": 8}
    assert plan.context.plugins == (code,)
    assert type(code).from_json(code.to_json()) == code
    admit_to_work([code])
    (folder / "parts/width.py").write_text("WIDTHS = [4, 8, 16]\n")
    assert read_plugin(folder).digest != code.digest


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing.py", "doesn't exist: a plug-in is a Python file, or a folder with plugin.py"),
        ("notes.txt", r"is no Python file \(\.py\)"),
        ("empty", "holds no plugin.py"),
        ("large.py", "more than a plug-in"),
        ("latin.py", "is no UTF-8 text"),
    ],
)
def test_what_is_no_plug_in_is_refused_before_it_is_run(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "large.py").write_text("#" * 1_000_001)
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'")
    with pytest.raises(BadInput, match=said):
        scalaw.check_plugin(tmp_path / name)
