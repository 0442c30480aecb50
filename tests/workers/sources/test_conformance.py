"""What every registered data source guarantees."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from orchestrator.errors import BadInput
from orchestrator.spec.registries import SOURCES
from workers.sources.source import Dataset

UNREAD = {"simulated", "program"}  #: of these nothing is loaded
LOADED = sorted(set(SOURCES.builtin) - UNREAD)
Options = dict[str, dict[str, Any]]


@pytest.fixture
def data(name: str, source_options: Options) -> Dataset:
    dataset: Dataset = SOURCES.load(name)().load(source_options[name], context=32)
    return dataset


def test_every_registered_source_is_tried(source_options: Options) -> None:
    assert {*source_options, *UNREAD} == set(SOURCES.builtin)


@pytest.mark.parametrize("name", LOADED)
def test_options_validate_and_keep_their_values(name: str, source_options: Options) -> None:
    options = SOURCES.load(name).Options.model_validate(source_options[name])
    assert options.model_dump() == source_options[name]


@pytest.mark.parametrize("name", LOADED)
def test_manifest_and_loaded_data_agree(name: str, data: Dataset, source_options: Options) -> None:
    manifest = SOURCES.load(name)().manifest(source_options[name], context=32)
    assert manifest == data.manifest
    assert manifest.task == SOURCES.load(name).name == name
    assert len(manifest.digest) == 64
    assert (len(data.train), len(data.val), len(data.test)) == (
        manifest.train_examples,
        manifest.val_examples,
        manifest.test_examples,
    )
    assert min(len(data.train), len(data.val), len(data.test)) > 0


@pytest.mark.parametrize("name", LOADED)
def test_batches_are_contiguous_and_of_the_stated_shape(name: str, data: Dataset) -> None:
    manifest = data.manifest
    for split in (data.train, data.val, data.test):
        indices = np.array([len(split) - 1, 0, 0], np.int64)
        x, y = split.batch(indices)
        assert x.shape == (3, *manifest.input_shape)
        assert x.flags.c_contiguous
        assert x.flags.writeable
        assert y.flags.c_contiguous
        assert y.dtype == np.int64
        assert 0 <= y.min() <= y.max() < manifest.classes
        np.testing.assert_array_equal(x[1], x[2])
        if manifest.tokens_per_example:
            assert x.dtype == np.int64
            np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
        else:
            assert x.dtype == np.float32
            assert y.shape == (3,)
            assert abs(x.mean()) < 2


@pytest.mark.parametrize("name", LOADED)
def test_a_batch_may_be_written_into_without_harm(name: str, data: Dataset) -> None:
    index = np.array([0], np.int64)
    x, y = data.train.batch(index)
    before = x.copy(), y.copy()
    x[:], y[:] = 0, 0
    again = data.train.batch(index)
    np.testing.assert_array_equal(again[0], before[0])
    np.testing.assert_array_equal(again[1], before[1])


@pytest.mark.parametrize("name", sorted(set(LOADED) - {"python-stdlib", "c-headers"}))
def test_no_example_stands_in_two_splits(name: str, data: Dataset) -> None:
    seen = []
    for split in (data.train, data.val, data.test):
        x, _ = split.batch(np.arange(len(split)))
        seen.append({example.tobytes() for example in x})
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_simulated_data_counts_its_examples_and_refuses_to_load() -> None:
    source = SOURCES.load("simulated")()
    manifest = source.manifest({"examples": 5_000}, context=64)
    assert (manifest.train_examples, manifest.tokens_per_example, manifest.task) == (5_000, None, "simulated")
    assert manifest.digest != source.manifest({"examples": 5_001}, context=64).digest
    with pytest.raises(BadInput, match=r"model\.family simulated"):
        source.load({"examples": 5_000}, context=64)


def test_manifests_import_no_torch(source_options: Options) -> None:
    code = (
        "import sys\n"
        "from orchestrator.spec.registries import SOURCES\n"
        f"for name, options in {source_options!r}.items(): SOURCES.load(name)().manifest(options, context=32)\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy', 'ray'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
