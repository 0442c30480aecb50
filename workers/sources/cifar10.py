"""CIFAR-10 (Krizhevsky 2009), from the files that torchvision downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import BadOption
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from workers.sources.cifar_batches import TEST_FILES, TRAIN_FILES, read_batches
from workers.sources.hashed_split import SPLIT_RULE, held_back
from workers.sources.source import Dataset
from workers.sources.splits import ArraySplit

#: Of each channel's raw values over the training images.
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)


class Cifar10Options(Options):
    """YAML keys beside ``source: cifar10``."""

    root: str


class Cifar10:
    """Colour images of 32 x 32 pixels in ten classes; a tenth of the training images is held back for validation."""

    name = "cifar10"
    Options = Cifar10Options

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity; raises as :meth:`load`."""
        return Cifar10.load(options, context=context).manifest

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Return the images, resident as bytes (180 MB).

        Raises
        ------
        BadInput
            If ``root`` doesn't hold CIFAR-10 or a file is damaged.
        """
        root = Cifar10Options.model_validate(options).root
        images, labels = read_batches(root, TRAIN_FILES)
        test_images, test_labels = read_batches(root, TEST_FILES)
        if len(labels) < 10 or not len(test_labels):
            raise BadOption("data", "root", f"{root} holds too few images of CIFAR-10: download it again")
        train, val = held_back(len(labels), len(labels) // 10, purpose="cifar10 split")
        digest = hashlib.sha256(f"cifar10 {MEAN} {STD} {SPLIT_RULE}".encode())
        for array in (images, labels, test_images, test_labels):
            digest.update(array.tobytes())
        manifest = DataManifest(
            task="cifar10",
            digest=digest.hexdigest(),
            train_examples=len(train),
            val_examples=len(val),
            test_examples=len(test_labels),
            tokens_per_example=None,
            input_shape=(3, 32, 32),
            classes=10,
        )
        return Dataset(
            manifest=manifest,
            train=ArraySplit(images[train], labels[train], mean=MEAN, std=STD),
            val=ArraySplit(images[val], labels[val], mean=MEAN, std=STD),
            test=ArraySplit(test_images, test_labels, mean=MEAN, std=STD),
        )
