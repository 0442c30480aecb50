"""Every refusal names its line, its key and the likely fix."""

# ruff: noqa: E501 (one case a line)

from __future__ import annotations

import pytest

from orchestrator.errors import BadInput
from orchestrator.spec import parse_sweep

_BOMB = "\n".join(
    ["a: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
)


def _grid(text: str) -> str:
    return f"name: a\ngrid:\n  params: [1k]\n  {text}\n"


def _compression(text: str) -> str:
    return f"name: a\ngrid:\n  params: [1k]\n  compression:\n    - {text}\n"


def _with(text: str) -> str:
    return f"name: a\ngrid: {{params: 1k}}\n{text}\n"


#: what, text, line, key, hint
CASES = [
    # the text
    ("empty", "", 1, "", "scalaw init"),
    ("only a comment", "# nothing\n", 1, "", "scalaw init"),
    ("a word", "hello", 1, "", "name: NAME"),
    ("a list", "- a\n", 1, "", "not a list"),
    ("NUL", "name: a\nx: \0\n", 2, "", "UTF-8"),
    ("control character", "name: a\nx: \x07\n", 2, "", "remove it"),
    ("lone surrogate", "name: a\nx: \ud800\n", 2, "", "remove it"),
    ("tab indentation", "name: a\ngrid:\n\tparams: 1k\n", 3, "", "indent with spaces"),
    ("second document", "name: a\n---\nname: b\n", 2, "", "one sweep in a file"),
    ("unclosed list", "name: a\ngrid: {params: [1, 2}\n", 2, "grid.params", "']'"),
    ("unclosed quote", 'name: "a\n', 2, "", "quote"),
    ("value left out", "name: a\ngrid: {params: [1, , 2]}\n", 2, "grid.params", "add the value"),
    ("colon in plain text", "name: a\ndescription: b: c\n", 2, "", "quote the text"),
    ("lost colon", "name: a\ngrid\n", 3, "", "key: value"),
    ("duplicate key", "name: a\nseed: 1\nseed: 2\n", 3, "seed", "first on line 2"),
    ("duplicate nested key", "name: a\ngrid:\n  params: 1\n  params: 2\n", 4, "grid.params", "keep one"),
    ("tag", "name: !!python/object:os.system a\n", 1, "name", "remove it"),
    ("plain tag", "name: a\nseed: !!int 3\n", 2, "seed", "remove it"),
    ("merge key", "a: &a {b: 1}\nc:\n  <<: *a\n", 3, "c", "write the keys out"),
    ("alias of nothing", "name: *a\n", 1, "name", "write the value out"),
    ("alias in itself", "name: a\ngrid: &g {params: [*g]}\n", 2, "grid.params[0]", "write the value out"),
    ("alias as a key", "a: &a b\n*a : 1\n", 2, "", "write the key out"),
    ("alias bomb", _BOMB, 4, "k3[1]", "aliases expanded"),
    ("number as a key", "name: a\n1: 2\n", 2, "", "put it in quotes"),
    ("list as a key", "name: a\n? [a]\n: b\n", 2, "", "keys are words"),
    ("5,000 lists deep", "name: a\ngrid: " + "[" * 5000, 2, "grid", "32 levels"),
    ("33 lists deep", "name: a\ngrid:\n  params:\n    " + "- " * 33, 4, "grid.params", "32 levels"),
    ("NaN", _with("seed: .nan"), 3, "seed", "finite"),
    ("infinity", _with("train: {learning_rate: -.inf}"), 3, "train.learning_rate", "finite"),
    ("1e400", _with("train: {learning_rate: 1e400}"), 3, "train.learning_rate", "too large"),
    ("leading zero", _grid("seeds: 010"), 4, "grid.seeds", "write 10"),
    # the sweep
    ("no name", "grid: {params: 1k}\n", 1, "", "'name' is missing"),
    ("no grid", "name: a\n", 1, "", "'grid' is missing"),
    ("no params", "name: a\ngrid:\n  epochs: 1\n", 2, "grid", "'params' is missing"),
    ("path as name", "name: ../a\ngrid: {params: 1k}\n", 1, "name", "letters, digits"),
    ("number as name", "name: 7\ngrid: {params: 1k}\n", 1, "name", "quotes"),
    ("long name", f"name: {'a' * 65}\ngrid: {{params: 1k}}\n", 1, "name", "at most 64"),
    ("misspelt section", _with("trian: {}"), 3, "trian", "did you mean 'train'?"),
    ("key of a section at the top", _with("batch_size: 8"), 3, "batch_size", "under `train:`"),
    ("strange key", _with("? \"a\\nb\"\n: 1"), 3, "'a\\nb'", "known keys: name"),
    ("section without a mapping", _with("train: fast"), 3, "train", "key: value"),
    ("negative seed", _with("seed: -1"), 3, "seed", "at least 0"),
    ("seed beyond 31 bits", _with("seed: 2147483648"), 3, "seed", "less than 2147483648"),
    # slips of a few zeros
    ("workers", _with("resources: {workers: 9e18}"), 3, "resources.workers", "at most 100,000: 9e+18 is more actors than"),
    ("cores", _with("resources: {cpus_per_worker: 1000}"), 3, "resources.cpus_per_worker", "at most 512: 1,000 is more threads"),
    ("epochs", _grid("epochs: [1, 9e18]"), 4, "grid.epochs[1]", "at most 100,000: 9e+18 is more passes"),
    ("context", _with("model: {family: transformer, context: 1e15}"), 3, "model.context", "at most 10,000,000: 1e+15 is longer"),
    ("batch", _with("train: {batch_size: 1e12}"), 3, "train.batch_size", "at most 16,777,216"),
    ("memory", _with("resources: {state_memory_bytes: 1e18}"), 3, "resources.state_memory_bytes", "more memory than any node"),
    ("patience", _with("resources: {store_patience_s: 1e300}"), 3, "resources.store_patience_s", "longer than three years"),
    ("price", _with("resources: {price_per_gpu_hour: 1e308}"), 3, "resources.price_per_gpu_hour", "at most 1e+09"),
    ("channels", _with("data: {source: fake, channels: 9}"), 3, "data.channels", "at most 4"),
    # plug-ins
    ("unknown family", _with("model: {family: transfomer}"), 3, "model.family", "did you mean 'transformer'?"),
    ("unknown source", _with("data: {source: cifar}"), 3, "data.source", "did you mean 'cifar10'?"),
    ("Hugging Face", _with("data: {source: 'hf:wikitext'}"), 3, "data.source", "source: text"),
    ("family's key", _with("model:\n  family: transformer\n  contxt: 8"), 5, "model.contxt", "did you mean 'context'?"),
    ("family's value", _with("model: {context: 0}"), 3, "model.context", "at least 1"),
    ("our key beside a plug-in's", _with("data: {max_exmples: 8}"), 3, "data.max_exmples", "'max_examples'?"),
    ("source without its key", _with("data: {source: text}"), 3, "data", "'paths' is missing"),
    ("source's choice", _with("model: {family: resnet, block: basc}"), 3, "model.block", "did you mean 'basic'?"),
    ("simulated family alone", _with("model: {family: simulated}"), 3, "model.family", "source: simulated"),
    ("simulated source alone", _with("data: {source: simulated}"), 3, "data.source", "family: simulated"),
    # the grid
    ("empty axis", "name: a\ngrid:\n  params: []\n", 3, "grid.params", "at least one value"),
    ("axis of nothing", "name: a\ngrid:\n  params:\n", 3, "grid.params", "at least one value"),
    ("wrong unit", "name: a\ngrid:\n  params:\n    - 1k\n    - 2kb\n", 5, "grid.params[1]", "such as 25k"),
    ("the same point in other words", "name: a\ngrid:\n  params: [1k, 2k, 1_000]\n", 3, "grid.params[2]", "remove one"),
    ("half a parameter", "name: a\ngrid: {params: 0.5}\n", 2, "grid.params", "whole number"),
    ("true as a count", _grid("epochs: [true]"), 4, "grid.epochs[0]", "not true"),
    ("fraction above 1", _grid("data_fraction: [0.5, 1.5]"), 4, "grid.data_fraction[1]", "at most 1"),
    ("zero epochs", _grid("epochs: 0"), 4, "grid.epochs", "at least 1"),
    ("too many cells", _grid("seeds: 1M\n  epochs: [1, 2]"), 2, "grid", "shorten an axis"),
    ("fine-tuning on the unknown", _grid("finetune: {data: c-header, examples: 1}"), 4, "data", "did you mean 'c-headers'?"),
    ("fine-tuning on nothing", _grid("finetune: {data: digits, examples: 0}"), 4, "grid.finetune.examples", "at least 1"),
    ("fine-tuning source's key", _grid("finetune: {data: {source: text, path: [a], paths: [b]}, examples: 1}"), 4, "finetune.data.path", "did you mean 'paths'?"),
    ("fine-tuning on simulated data", _grid("finetune: {data: simulated, examples: 1}"), 4, "grid.finetune.data", "holds no examples"),
    # compression
    ("unknown method", _compression("{method: quantise, bits: 8}"), 5, "grid.compression[0].method", "did you mean 'quantize'?"),
    ("no method", _compression("{bits: 8}"), 5, "grid.compression[0]", "'method' is missing"),
    ("five bits", _compression("{method: quantize, bits: 5}"), 5, "grid.compression[0].bits", "2, 3, 4, 8"),
    ("another method's key", _compression("{method: quantize, bits: 4, density: 0.5}"), 5, "[0].density", "known keys: method, bits"),
    ("density of 1", _compression("{method: prune, density: 1}"), 5, "[0].density", "less than 1"),
    ("no density", _compression("{method: prune}"), 5, "grid.compression[0]", "density: 0.5"),
    ("4:2", _compression("{method: prune, pattern: '4:2'}"), 5, "[0].pattern", "as in 2:4"),
    ("unknown pattern", _compression("{method: prune, density: 0.5, pattern: unstructurd}"), 5, "[0].pattern", "'unstructured'?"),
    ("density against the pattern", _compression("{method: prune, density: 0.3, pattern: '2:4'}"), 5, "[0]", "leave density out"),
    ("rank and energy", _compression("{method: low_rank, rank_ratio: 0.5, energy: 0.9}"), 5, "[0]", "not both"),
    ("student above its teachers", _compression("{method: distill, student_params: 2k}"), 5, "[0].student_params", "at most 1,000"),
    ("student in a chain", _compression("{method: chain, steps: [{method: distill, student_params: 2k}, {method: quantize, bits: 8}]}"), 5, "[0].steps[0].student_params", "at most 1,000"),
    ("quantised before pruned", _compression("{method: chain, steps: [{method: quantize, bits: 8}, {method: prune, density: 0.5}]}"), 5, "[0]", "the order is: distill, prune structured, low_rank, prune, quantize"),
    ("gradual without recovery", _compression("{method: prune, density: 0.5, gradual: true}"), 5, "[0]", "gradual needs recover"),
    ("a chain recovered twice", _compression("{method: chain, recover: {steps: 1}, steps: [{method: prune, density: 0.5}, {method: quantize, bits: 8, recover: {steps: 1}}]}"), 5, "[0]", "keep one of the two"),
    ("8 bits of activations for 4", _compression("{method: quantize, bits: 4, activations: int8}"), 5, "[0]", "needs bits: 8"),
    ("chain of one", _compression("{method: chain, steps: [{method: quantize, bits: 8}]}"), 5, "[0].steps", "at least two"),
    ("chain in a chain", _compression("{method: chain, steps: [{method: quantize, bits: 8}, {method: chain}]}"), 5, "[0].steps[1].method", "one of: quantize"),
    ("two recoveries", _compression("{method: quantize, bits: 4, recover: {steps: 1, epochs: 1}}"), 5, "[0].recover", "not both"),
    ("the same compression twice", _compression("{method: quantize, bits: 4}\n    - {bits: 4.0, method: quantize}"), 6, "grid.compression[1]", "remove one"),
    # train, resources, fit
    ("unknown optimizer", _with("train: {optimizer: adam}"), 3, "train.optimizer", "did you mean 'adamw'?"),
    ("one wrong recipe", "name: s\ngrid:\n  params: [1k]\n  recipes: [{schedule: wds}]\n", 4, "grid.recipes[0].schedule", "did you mean 'wsm'?"),
    ("a recipe's own points", "name: s\ngrid:\n  params: [1k]\n  recipes: [{eval_every: 5}]\n", 4, "grid.recipes[0].eval_every", "write it under train"),
    ("almost auto", _with("train: {learning_rate: atuo}"), 3, "train.learning_rate", "did you mean 'auto'?"),
    ("rate of zero", _with("train: {learning_rate: 0}"), 3, "train.learning_rate", "greater than 0"),
    ("falling milestones", _with("train: {milestones: [0.7, 0.5]}"), 3, "train.milestones", "sort them"),
    ("YAML 1.1's off", _with("train: {schedule: off}"), 3, "train.schedule", "one of: wsd"),
    ("no workers", _with("resources: {workers: 0}"), 3, "resources.workers", "at least 1"),
    ("text as a timeout", _with("resources: {stage_timeout_s: 5m}"), 3, "resources.stage_timeout_s", "such as 25k"),
    ("a law we don't have", _with("fit: {laws: [hoffmann]}"), 3, "fit.laws[0]", "known: additive, broken, chinchilla"),
    ("almost largest", _with("fit: {hold_out: larges}"), 3, "fit.hold_out", "did you mean 'largest'?"),
    ("all held out", _with("fit: {hold_out: 1}"), 3, "fit.hold_out", "less than 1"),
    ("too many replicas", _with("fit: {bootstrap: 1M}"), 3, "fit.bootstrap", "at most 100,000"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "key", "hint"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_refusal_names_line_key_and_fix(text: str, line: int, key: str, hint: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_sweep(text, name="sweep.yaml")
    message = str(refused.value)
    assert message.startswith(f"sweep.yaml:{line}: ")
    assert len(message.splitlines()) == 1
    assert not key or f"{key}: " in message
    assert hint in message
    assert "pydantic" not in message
    assert refused.value.exit_code == 2


def test_all_errors_are_listed_in_the_order_of_the_file() -> None:
    text = "name: a\nseed: -1\nmodel: {context: 0}\ngrid: {params: x}\ntrain: {betch_size: 1}\nfit: {target: los}\n"
    with pytest.raises(BadInput) as refused:
        parse_sweep(text, name="s.yaml")
    assert [line.split(": ")[:2] for line in str(refused.value).splitlines()] == [
        ["s.yaml:2", "seed"],
        ["s.yaml:3", "model.context"],
        ["s.yaml:4", "grid.params"],
        ["s.yaml:5", "train.betch_size"],
        ["s.yaml:6", "fit.target"],
    ]


def test_more_than_ten_errors_are_counted() -> None:
    text = _with("\n".join(f"key{i}: 1" for i in range(17)))
    with pytest.raises(BadInput) as refused:
        parse_sweep(text)
    lines = str(refused.value).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "… and 7 more"


def test_value_inside_an_alias_is_placed_at_the_alias() -> None:
    text = "name: a\ngrid:\n  params: &bad [0]\n  epochs: *bad\n"
    with pytest.raises(BadInput) as refused:
        parse_sweep(text, name="s.yaml")
    assert str(refused.value).splitlines() == [
        "s.yaml:3: grid.params[0]: must be at least 1, not 0",
        "s.yaml:4: grid.epochs[0]: must be at least 1, not 0",
    ]
