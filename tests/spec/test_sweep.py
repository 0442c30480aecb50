"""A sweep that loads has DESIGN's defaults, and one canonical form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.errors import BadInput
from orchestrator.spec import load_sweep, parse_sweep, starter_sweep

FULL = Path(__file__).with_name("full.yaml")


def test_left_out_keys_take_the_defaults() -> None:
    sweep = parse_sweep("name: a\ngrid: {params: 25k}\n")
    assert (sweep.seed, sweep.description) == (0, None)
    assert (sweep.data.source, sweep.data.max_examples, sweep.data.eval_examples) == ("python-stdlib", None, 1024)
    assert sweep.data.options == {}
    assert (sweep.model.family, sweep.model.options["context"]) == ("transformer", 64)
    assert (sweep.grid.params, sweep.grid.data_fraction, sweep.grid.epochs) == ((25_000,), (1.0,), (1,))
    assert (sweep.grid.finetune, sweep.grid.compression, sweep.grid.seeds) == (None, (), 1)
    assert (sweep.train.optimizer, sweep.train.learning_rate, sweep.train.schedule) == ("adamw", "auto", "wsd")
    assert (sweep.train.batch_size, sweep.train.warmup_steps, sweep.train.cooldown_fraction) == (64, 100, 0.2)
    assert (sweep.resources.workers, sweep.resources.world_size, sweep.resources.max_retries) == ("auto", 1, 1)
    assert (sweep.fit.laws, sweep.fit.hold_out) == (("product", "chinchilla", "data_constrained"), "largest")


def test_full_sweep_is_read_key_by_key() -> None:
    sweep = load_sweep(FULL)
    assert sweep.data.options == {"paths": ["notes/", "more.txt"]}
    assert sweep.grid.params == (25_000, 200_000)
    assert sweep.grid.finetune is not None
    assert (sweep.grid.finetune.data.source, sweep.grid.finetune.examples) == ("c-headers", (1000, 4000))
    methods = [c.method for c in sweep.grid.compression]
    assert methods == ["quantize", "prune", "prune", "low_rank", "low_rank", "distill", "chain"]
    assert sweep.grid.compression[2].density == 0.5  # type: ignore[union-attr]
    assert sweep.train.gradient_clip is None
    assert sweep.fit.hold_out == 0.2
    assert sweep.grid.cells == 2 * 2 * 2 * 3 * (1 + 2 * 2 * (1 + 7))


def test_simulated_family_takes_its_law_from_the_yaml() -> None:
    sweep = parse_sweep(
        "name: contract\ndata: {source: simulated, examples: 2M}\n"
        "model: {family: simulated, alpha: 0.3, C: 20, floor: 0}\ngrid: {params: [1k, 3k]}\n"
    )
    assert sweep.data.options == {"examples": 2_000_000}
    assert {k: sweep.model.options[k] for k in ("alpha", "C", "floor", "stage_s")} == {
        "alpha": 0.3, "C": 20.0, "floor": 0.0, "stage_s": 0.0,
    }  # fmt: skip


def test_starter_sweep_loads_as_it_is() -> None:
    sweep = parse_sweep(starter_sweep())
    assert (sweep.name, sweep.grid.cells) == ("my-sweep", 27)
    assert sweep.grid.params == (6_000, 25_000, 100_000)


@pytest.mark.parametrize("text", [starter_sweep(), FULL.read_text()], ids=["starter", "full"])
def test_canonical_form_is_a_sweep_equal_to_the_first(text: str) -> None:
    sweep = parse_sweep(text)
    again = parse_sweep(json.dumps(sweep.canonical()))
    assert again == sweep
    assert again.canonical() == sweep.canonical()


def test_notation_and_left_out_defaults_do_not_change_the_canonical_form() -> None:
    short = parse_sweep("name: a\ngrid: {params: [1k, 2000]}\n")
    long = parse_sweep("grid: {seeds: 1, epochs: [1], params: [1_000, 2e3]}\ntrain: {warmup_steps: 100}\nname: 'a'\n")
    assert json.dumps(short.canonical()) == json.dumps(long.canonical())


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_key_order_does_not_change_the_canonical_form(data: st.DataObject) -> None:
    canonical = load_sweep(FULL).canonical()

    def shuffled(value: object) -> object:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in data.draw(st.permutations(sorted(value)))}
        return [shuffled(v) for v in value] if isinstance(value, list) else value

    other = parse_sweep(json.dumps(shuffled(canonical))).canonical()
    assert json.dumps(other) == json.dumps(canonical)


def test_sweep_is_frozen() -> None:
    sweep = parse_sweep(starter_sweep())
    with pytest.raises(ValidationError):
        sweep.seed = 3  # type: ignore[misc]


@settings(max_examples=100, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["name", "grid", "params", "data", "source", "model", "family", "compression", "method",
                         "finetune", "train", "fit", "laws", "epochs"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_any_structure_is_a_sweep_or_refused(value: object) -> None:
    message = ""
    try:
        sweep = parse_sweep(json.dumps(value), name="s")
    except BadInput as error:
        message = str(error)
        sweep = None
    assert (sweep is None) == bool(message)
    assert all(line.startswith(("s:", "…")) for line in message.splitlines())


def test_importing_the_package_loads_no_pydantic() -> None:
    code = "import sys, orchestrator.spec as s; sys.exit(bool({'pydantic', 'yaml', 'torch', 'ray'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_reading_a_sweep_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from orchestrator.spec import parse_sweep, json_schema, starter_sweep; json_schema();"
        "parse_sweep(starter_sweep()); sys.exit(bool({'torch', 'ray', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
