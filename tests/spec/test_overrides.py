"""Values from the command line go through the same rules as the file's."""

from __future__ import annotations

import pytest

from orchestrator.errors import BadInput
from orchestrator.spec import parse_sweep

TEXT = "name: a\ngrid:\n  params: [1k, 2k]\ntrain: {batch_size: 8, gradient_clip: 1}\n"


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.batch_size=16", lambda s: s.train.batch_size == 16),
        ("grid.params=[3k, 4e3]", lambda s: s.grid.params == (3000, 4000)),
        ("grid.params=25k", lambda s: s.grid.params == (25_000,)),
        ("train.gradient_clip=null", lambda s: s.train.gradient_clip is None),
        ("fit.hold_out=none", lambda s: s.fit.hold_out == "none"),
        ("model.context=32", lambda s: s.model.options["context"] == 32),
        ("grid.finetune={data: digits, examples: 1k}", lambda s: s.grid.finetune.examples == (1000,)),
        ('description="a: b"', lambda s: s.description == "a: b"),
    ],
)
def test_override_sets_one_value(override: str, value: object) -> None:
    sweep = parse_sweep(TEXT, overrides=[override])
    assert callable(value)
    assert value(sweep)
    assert sweep.name == "a"


def test_later_override_wins() -> None:
    assert parse_sweep(TEXT, overrides=["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.batchsize=16", ["override 'train.batchsize=16': train.batchsize: ", "did you mean 'batch_size'?"]),
        ("train.batch_size=x", ["override 'train.batch_size=x': train.batch_size: ", "such as 25k"]),
        ("grid.params=[1k, 1000]", ["override 'grid.params=[1k, 1000]': grid.params[1]: ", "remove one"]),
        ("train.batch_size", ["KEY=VALUE"]),
        ("=3", ["KEY=VALUE"]),
        ("grid..params=3", ["KEY=VALUE"]),
        ("name.x=3", ["override 'name.x=3': name holds no mapping"]),
        ("grid.params=[1", ["override 'grid.params=[1'", "add the missing"]),
        ("seed=010", ["override 'seed=010'", "write 10"]),
    ],
)
def test_wrong_override_is_named(override: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as refused:
        parse_sweep(TEXT, name="s.yaml", overrides=[override])
    assert all(word in str(refused.value) for word in words)
    assert "s.yaml" not in str(refused.value)


def test_override_mends_what_the_file_has_wrong() -> None:
    assert parse_sweep("name: a\ngrid: {params: [x]}\n", overrides=["grid.params=1k"]).grid.params == (1000,)
