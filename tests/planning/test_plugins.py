"""A plug-in of another package that can't be imported is found by ``plan`` and before ``run`` starts anything."""

from __future__ import annotations

import json

import pytest

TEXT = """
name: theirs
data: {source: digits}
model: {family: resnet}
grid:
  params: [1k, 2k]
  seeds: 1
train: {batch_size: 8}
fit: {bootstrap: 0}
"""
FAMILY = """
from workers.families.resnet.plan import ResNet

class Theirs(ResNet):
    name = "theirs"
    training = "my_package.lost:Trained"
"""
COMPRESSOR = """
from workers.compressors.quantize.plan import Quantize, QuantizeOptions

class Theirs(Quantize):
    name = "theirs"
    training = "my_package.broken:Trained"
"""
BROKEN = "raise ValueError('built for another\\nversion')"
CASES = {
    "optimizer": (
        {"broken": BROKEN}, {"scalaw.optimizers": "theirs = my_package.broken:build"},
        ("train: {batch_size: 8}", "train: {batch_size: 8, optimizer: theirs, learning_rate: 1}"),
        8, "train.optimizer", "ValueError: built for another version",
    ),
    "optimizer without its function": (
        {"broken": ""}, {"scalaw.optimizers": "theirs = my_package.broken:build"},
        ("train: {batch_size: 8}", "train: {batch_size: 8, optimizer: theirs, learning_rate: 1}"),
        8, "train.optimizer", "AttributeError: ",
    ),
    "the half of a family that trains": (
        {"plan": FAMILY}, {"scalaw.families": "theirs = my_package.plan:Theirs"},
        ("{family: resnet}", "{family: theirs}"),
        4, "model.family", "No module named 'my_package.lost'",
    ),
    "the half of a compressor that trains": (
        {"plan": COMPRESSOR, "broken": BROKEN}, {"scalaw.compressors": "theirs = my_package.plan:Theirs"},
        ("  seeds: 1", "  compression: [{method: theirs, bits: 4}]"),
        7, "grid.compression[0]", "ValueError: built for another version",
    ),
    "law": (
        {"broken": "def ("}, {"scalaw.laws": "theirs = my_package.broken:Law"},
        ("fit: {bootstrap: 0}", "fit: {bootstrap: 0, laws: [product, theirs]}"),
        9, "fit.laws[1]", "SyntaxError: ",
    ),
    "schedule": (
        {"broken": BROKEN}, {"scalaw.schedules": "theirs = my_package.broken:Schedule"},
        ("train: {batch_size: 8}", "train: {batch_size: 8, schedule: theirs}"),
        8, "train.schedule", "ValueError: built for another version",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_is_found_with_its_line_before_anything_starts(case, install, tmp_path):
    modules, entry_points, change, line, key, why = CASES[case]
    path = tmp_path / "theirs.yaml"
    path.write_text(TEXT.replace(*change))
    said = install(modules, entry_points)(f"""
        import contextlib, io, json, sys
        from orchestrator.cli.main import main

        answers = []
        for verb in (["plan"], ["run", "--store", {str(tmp_path / "store")!r}]):
            with contextlib.redirect_stderr(io.StringIO()) as err:
                try:
                    main([*verb, {str(path)!r}])
                except SystemExit as end:
                    answers.append([end.code, err.getvalue()])
        print(json.dumps([*answers, "ray" in sys.modules]))
    """)
    *answers, ray = json.loads(said)
    for code, error in answers:
        assert code == 2
        assert error.startswith(f"scalaw: {path}:{line}: {key}: the ")
        assert "'theirs' can't be imported from my_package." in error
        assert why in error
        assert error.count("\n") == 1
    assert not ray
    assert not (tmp_path / "store").exists()
