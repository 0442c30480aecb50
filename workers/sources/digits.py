"""The 1,797 handwritten digits that come with scikit-learn."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import BadOption
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from workers.sources.hashed_split import SPLIT_RULE, held_back
from workers.sources.source import Dataset
from workers.sources.splits import ArraySplit

TRAIN_EXAMPLES = 1_280
#: Of the raw values 0 … 16, over the whole set.
MEAN, STD = (4.88,), (6.02,)


class DigitsOptions(Options):
    """No keys beside ``source: digits``."""


class Digits:
    """Grey images of 8 x 8 pixels in ten classes (UCI optical recognition of handwritten digits, test part)."""

    name = "digits"
    Options = DigitsOptions

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity."""
        return Digits.load(options, context=context).manifest

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Return the digits, resident.

        Raises
        ------
        BadInput
            If the installed scikit-learn has no digits.
        """
        images, labels = _read()
        train, held = held_back(len(labels), len(labels) - TRAIN_EXAMPLES, purpose="digits split")
        kept, half = held_back(len(held), len(held) // 2, purpose="digits halves")
        splits = {
            name: ArraySplit(images[positions], labels[positions], mean=MEAN, std=STD)
            for name, positions in (("train", train), ("val", held[kept]), ("test", held[half]))
        }
        rule = f"digits {TRAIN_EXAMPLES} {MEAN} {STD} {SPLIT_RULE}".encode()
        manifest = DataManifest(
            task="digits",
            digest=hashlib.sha256(images.tobytes() + labels.tobytes() + rule).hexdigest(),
            train_examples=len(splits["train"]),
            val_examples=len(splits["val"]),
            test_examples=len(splits["test"]),
            tokens_per_example=None,
            input_shape=(1, 8, 8),
            classes=10,
        )
        return Dataset(manifest=manifest, train=splits["train"], val=splits["val"], test=splits["test"])


def _read() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the images (1797, 1, 8, 8) and labels (1797,) that ``sklearn.datasets.load_digits`` returns.

    The file is read as it lies in the package: importing ``sklearn.datasets`` would cost every plan two seconds and
    every worker the memory of scipy.
    """
    package = importlib.util.find_spec("sklearn")
    places = list(package.submodule_search_locations or ()) if package else []
    files = [file for place in places if (file := Path(place, "datasets", "data", "digits.csv.gz")).is_file()]
    if not files:
        raise BadOption(
            "data", "source", "digits come with scikit-learn, which isn't installed as usual: pip install it"
        )
    with gzip.open(files[0], "rt") as text:
        table = np.loadtxt(text, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
