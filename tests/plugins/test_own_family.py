"""A family of `sizes` and `build` in a file is counted, planned, shared and trained as one of ours."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

import scalaw
from orchestrator.errors import BadInput
from orchestrator.planning import make_plan
from orchestrator.spec import load_sweep, parse_sweep
from orchestrator.spec.plugins import questions
from orchestrator.spec.plugins.admission import admit
from orchestrator.spec.registries import FAMILIES
from tests.execution.local import LocalRun, new_store
from tests.plugins.conftest import EXAMPLE, SETS, SETS_SWEEP
from workers.conformance import broken_promises as training_promises
from workers.families.conformance import broken_promises

SWEEP = """\
name: own
data: {source: digits}
model: {family: mlp}
grid: {params: [1k, 3k], data_fraction: [0.25, 0.5], epochs: [1, 2]}
train: {learning_rate: 0.003, batch_size: 32, warmup_steps: 3}
inference: {measure: false}
"""


def test_a_family_of_twenty_lines_is_planned_by_what_is_counted_of_it():
    plan = make_plan(load_sweep(EXAMPLE / "sweep.yaml", plugins=[EXAMPLE / "plugin.py"]))
    counted = {width: 64 * width + width + width * width + width + 10 * width + 10 for width in range(4, 4096, 2)}
    for asked, built in zip((1_000, 3_000, 10_000, 30_000), plan.to_json()["params"], strict=True):
        assert built == min(counted.values(), key=lambda n: abs(n - asked))
    shape = plan.cells[0].shape
    (width,) = (value for _, value in shape.dims)
    assert shape.params_total == counted[width]
    assert shape.forward_flops == 2 * (64 * width + width * width + 10 * width)
    assert shape.train_flops == 3 * shape.forward_flops - 2 * 64 * width
    assert shape.head_flops == 2 * 10 * width
    # Inputs are the batch's; of each layer the sum before GELU and what comes after it, of the end log-probabilities
    # and the one number that cross-entropy keeps; and a hidden layer once more, as its gradient.
    family = FAMILIES.load("mlp")
    told = family.activation_bytes(shape, plan.context.manifest, half=False)
    assert told == pytest.approx(4 * (5 * width + 10), abs=8)


def test_its_counts_and_the_rest_are_what_every_family_promises():
    plan = make_plan(load_sweep(EXAMPLE / "sweep.yaml", plugins=[EXAMPLE / "plugin.py"]))
    planned, trained = FAMILIES.load("mlp"), FAMILIES.load_training("mlp")()

    class Both:
        def __getattr__(self, name):
            return getattr(planned if name in ("shape_for", "shape_on", "weights") else trained, name)

        @property
        def head(self):
            return planned.head

    assert broken_promises(Both(), {}, plan.context.manifest) == []


@pytest.mark.slow
def test_a_second_plan_asks_nobody_and_loads_no_torch(tmp_path, monkeypatch):
    monkeypatch.setenv(questions.VARIABLE, str(tmp_path))
    code = f"""
        import sys
        from orchestrator.planning import make_plan
        from orchestrator.spec import load_sweep
        from orchestrator.spec.plugins import questions
        plan = make_plan(load_sweep({str(EXAMPLE / "sweep.yaml")!r}, plugins=[{str(EXAMPLE / "plugin.py")!r}]))
        print(len(plan.cells), len(questions._HELPERS), "torch" in sys.modules)
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    said = [
        subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    ]
    assert said[1] == ["24", "0", "False"]
    assert said[0] == ["24", "1", "False"]


def test_the_code_is_part_of_each_cell_s_id_and_the_file_s_name_is_not(plugin):
    text = (EXAMPLE / "plugin.py").read_text()

    def ids(path):
        admit([path])
        return [cell.id for cell in make_plan(parse_sweep(SWEEP)).cells]

    first = ids(plugin(text))
    assert ids(plugin(text, "renamed.py")) == first
    assert not set(ids(plugin(text.replace("GELU", "ReLU")))) & set(first)


def planned(text):
    sweep = parse_sweep(text)
    return lambda share: make_plan(sweep, share=share)


@pytest.mark.slow
def test_batches_of_any_structure_with_a_loss_of_their_own_share_and_resume_to_the_bit(plugin):
    admit([plugin(SETS)])
    assert training_promises(planned(SETS_SWEEP)) == []


def test_a_plug_in_that_looks_at_global_randomness_or_writes_down_too_little_is_found(plugin):
    careless = SETS.replace(
        "guess = (module(points)",
        "points = points + 0.01 * torch.from_numpy(np.random.normal(size=3)).float(); guess = (module(points)",
    )
    admit([plugin(careless)])
    small = SETS_SWEEP.replace("[30, 90]", "[30]").replace("epochs: [1, 2]", "epochs: [1]")
    (*_, last) = [sentence.partition(":")[0] for sentence in training_promises(planned(small))]
    assert last == "randomness is derived (I9)"


def test_rows_of_a_loss_of_their_own_say_what_is_not_known_of_them(plugin, tmp_path):
    admit([plugin(SETS)])
    store = new_store(tmp_path / "store")
    LocalRun(SETS_SWEEP, store, overrides=["grid.params=[30]", "grid.epochs=[1]"]).run()
    found = store.results().to_pylist()
    assert [row["status"] for row in found] == ["ok", "ok"]
    assert {row["accuracy"] for row in found} == {row.get("bits_per_byte") for row in found} == {None}
    assert all(set(json.loads(row["metrics"])) == {"far_off"} for row in found)
    assert all("not timed" in row["warnings"] for row in found)


def test_a_family_whose_weights_depend_on_the_machine_is_caught_where_it_trains(plugin):
    path = plugin("""
        import os
        from torch import nn
        import scalaw

        class Odd(scalaw.Family):
            name = "odd"
            def sizes(self): return [{"width": w} for w in (4, 8, 16)]
            def build(self, dims):
                width = dims["width"] + ("SCALAW_ODD" in os.environ)
                return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))
    """)
    admit([path])
    shape = make_plan(parse_sweep(SWEEP.replace("mlp", "odd").replace("[1k, 3k]", "[600]"))).cells[0].shape
    family = FAMILIES.load_training("odd")()
    manifest = scalaw.DataManifest(
        task="digits", digest="", train_examples=1, val_examples=1, test_examples=1, input_shape=(1, 8, 8), classes=10
    )
    assert sum(p.numel() for p in family.build(shape, {}, manifest).parameters()) == shape.params_total
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALAW_ODD", "1")
        with pytest.raises(
            RuntimeError, match=r"my_model\.py: build\(\{'width': 8\}\) has 685 parameters here and had"
        ):
            family.build(shape, {}, manifest)


HEAD = "import torch\nfrom torch import nn\nimport scalaw\n"
FAMILY = HEAD + "class Mine(scalaw.Family):\n    name = 'mlp'\n"
BUILD = """    def build(self, dims):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, dims['w']), nn.Linear(dims['w'], 10))
"""
SIZES = "    def sizes(self):\n        return [{'w': w} for w in range(2, 400, 2)]\n"
WRONG = {
    "no python": ("def (", r"my_model\.py:1: can't be imported \(SyntaxError: invalid syntax"),
    "no such module": ("import numppy", r"my_model\.py:1: can't be imported \(ModuleNotFoundError.*install it"),
    "nothing in it": ("x = 1", r"my_model\.py: there is no plug-in in it"),
    "no name": (HEAD + "class Mine(scalaw.Family):\n    pass", r"class Mine has no name .* give it name = 'mine'"),
    "no sizes": (FAMILY + BUILD, r"the family 'mlp' has no sizes\(\)"),
    "no build": (FAMILY + SIZES, r"the family 'mlp' has no build\(\)"),
    "sizes that don't grow": (
        FAMILY + BUILD + "    def sizes(self):\n        return [{'w': w} for w in (64, 32, 16)]\n",
        r"sizes\(\) doesn't grow: \{'w': 64\} has N = 4,810, and \{'w': 32\}",
    ),
    "no candidate": (FAMILY + BUILD + "    def sizes(self):\n        return []\n", "gives no candidate"),
    "candidates of floats": (
        FAMILY + BUILD + "    def sizes(self):\n        return [{'w': 1.5}]\n",
        r"gives \{'w': 1\.5\}: a candidate is a mapping",
    ),
    "a build that fails": (
        FAMILY + SIZES + "    def build(self, dims):\n        return nn.Linear(dims['width'], 1)\n",
        r"my_model\.py:9: the family 'mlp' can't be counted \(KeyError: 'width'\)",
    ),
    "a build of something else": (
        FAMILY + SIZES + "    def build(self, dims):\n        return torch.nn.Linear\n",
        r"returned type, not a torch\.nn\.Module",
    ),
    "answers that are no logits": (
        FAMILY + SIZES + "    def build(self, dims):\n        return nn.Linear(8, dims['w'])\n",
        r"answers inputs of shape \(2, 1, 8, 8\) with logits of shape .* give the family loss",
    ),
    "a name of ours": (FAMILY.replace("mlp", "resnet") + SIZES + BUILD, "there is a model family 'resnet' already"),
    "two of a name": (
        FAMILY + SIZES + BUILD + "class Other(Mine):\n    pass\n",
        "two classes are the model family 'mlp'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_plug_in_is_one_line_before_anything_is_spent(plugin, case):
    text, said = WRONG[case]
    with pytest.raises(BadInput, match=said) as refused:
        make_plan(load_sweep(plugin(SWEEP, "sweep.yaml"), plugins=[plugin(text)]))
    assert "\n" not in str(refused.value)


def test_options_are_judged_by_the_family_s_own_class_at_their_line(plugin):
    admit([plugin(SETS)])
    with pytest.raises(BadInput, match=r"s\.yaml:3: model\.dropout: expected a number, not the text 'much'"):
        parse_sweep(SETS_SWEEP.replace("dropout: 0.1", "dropout: much"), name="s.yaml")
    with pytest.raises(BadInput, match=r"s\.yaml:3: model\.drop: unknown key; did you mean 'dropout'"):
        parse_sweep(SETS_SWEEP.replace("dropout: 0.1", "drop: 0.1"), name="s.yaml")
    assert parse_sweep(SETS_SWEEP.replace(", dropout: 0.1", "")).model.options == {"dropout": 0.2}


def test_a_size_that_no_candidate_comes_near_is_refused_at_its_line(plugin):
    admit([EXAMPLE / "plugin.py"])
    with pytest.raises(BadInput, match=r"grid\.params: the smallest mlp that sizes\(\) gives has 330 parameters"):
        make_plan(parse_sweep(SWEEP.replace("1k", "50"), name="s.yaml"))


def test_a_learning_rate_has_to_be_written_as_nobody_knows_a_good_one():
    admit([EXAMPLE / "plugin.py"])
    with pytest.raises(BadInput, match=r"train\.learning_rate: auto has no rule"):
        make_plan(parse_sweep(SWEEP.replace("learning_rate: 0.003, ", "")))


@pytest.mark.slow
def test_a_helper_that_never_answers_or_ends_is_given_up(plugin, monkeypatch, helper):
    with pytest.raises(BadInput, match=r"ended the process that asked it for its sizes \(exit 3"):
        admit([plugin("import os\nos._exit(3)")])
    monkeypatch.setattr(questions, "PATIENCE_S", 4.0)
    with pytest.raises(BadInput, match="gave no answer within 4 s"):
        admit([plugin("while True:\n    pass\n")])


def test_torch_generators_are_left_alone_by_planning():
    before = torch.get_rng_state()
    make_plan(load_sweep(EXAMPLE / "sweep.yaml", plugins=[EXAMPLE / "plugin.py"]))
    assert torch.equal(torch.get_rng_state(), before)
