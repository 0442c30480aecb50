"""Small real data in the layouts that the sources read."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three text files, two of them equal, and things that a search passes over."""
    root = tmp_path_factory.mktemp("text")
    words = np.random.default_rng(0).integers(0, 10_000, 40_000)
    text = " ".join(map(str, words))
    (root / "one.txt").write_text(text)
    (root / "copy.txt").write_text(text)
    (root / "below").mkdir()
    (root / "below" / "two.md").write_text(text[::-1])
    (root / "weights.bin").write_bytes(b"\xff" * 5_000)
    (root / ".git").mkdir()
    (root / ".git" / "three.txt").write_text("hidden")
    return root


@pytest.fixture(scope="session")
def cifar_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six batches of twenty images each in torchvision's layout."""
    root = tmp_path_factory.mktemp("cifar")
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for protocol, name in enumerate(["test_batch", *(f"data_batch_{i}" for i in range(1, 6))]):
        batch: dict[str, Any] = {
            "data": rng.integers(0, 256, (20, 3_072), np.uint8),
            "labels": rng.integers(0, 10, 20).tolist(),
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol=max(protocol, 1)))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    return root


@pytest.fixture
def image_root(tmp_path: Path) -> Path:
    """Two classes: 6 images each to train on, 5 each for validation, of several sizes and formats."""
    rng = np.random.default_rng(2)
    for split, count in (("train", 6), ("val", 5)):
        for kind in ("cat", "dog"):
            folder = tmp_path / split / kind / "inner"
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (20 + i, 30, 3), np.uint8)
                name = f"{i}.png" if i % 2 else f"{i}.JPEG"
                Image.fromarray(pixels).save((folder if i % 3 else folder.parent) / name)
            (folder / "notes.txt").write_text("no image")
    return tmp_path


@pytest.fixture(scope="session")
def token_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards to train on and one to validate on, as nanoGPT writes them: uint16 below 500."""
    root, rng = tmp_path_factory.mktemp("tokens"), np.random.default_rng(3)
    for name, tokens in (("train_000.bin", 5_000), ("train_001.bin", 3_333), ("val_000.bin", 2_000)):
        rng.integers(0, 500, tokens).astype("<u2").tofile(root / name)
    return root


@pytest.fixture
def source_options(
    text_folder: Path, cifar_root: Path, image_root: Path, token_folder: Path
) -> dict[str, dict[str, Any]]:
    """Options of every source that holds data."""
    return {
        "python-stdlib": {},
        "c-headers": {},
        "text": {"paths": [str(text_folder)]},
        "tokens": {
            "paths": (str(token_folder),),
            "val": (),
            "test": (),
            "vocabulary": 512,
            "dtype": "auto",
            "column": "auto",
            "end_of_text": 7,
            "document_mask": True,
        },
        "digits": {},
        "cifar10": {"root": str(cifar_root)},
        "imagefolder": {"root": str(image_root), "image_size": 16},
        "fake": {"examples": 30, "classes": 5, "image_size": 8, "channels": 3},
    }
