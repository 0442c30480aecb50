"""torchvision's FakeData: noise in the shape of images, for trying out and timing image models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.bounds import Channels, Classes, Examples, Pixels
from orchestrator.spec.options import Options
from workers.sources.lazy_split import FolderSplit
from workers.sources.source import Dataset


class FakeOptions(Options):
    """YAML keys beside ``source: fake``."""

    examples: Examples = Field(1_000, description="images to train on; a tenth more for each held-back split")
    classes: Classes = 10
    image_size: Pixels = 16
    channels: Channels = 3


class FakeImages:
    """Random images with random labels: there is nothing to learn but the training set by heart."""

    name = "fake"
    Options = FakeOptions

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity."""
        chosen = FakeOptions.model_validate(options)
        identity = {"fake": chosen.model_dump(), "version": 1}
        return DataManifest(
            task="fake",
            digest=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
            train_examples=chosen.examples,
            val_examples=_held(chosen),
            test_examples=_held(chosen),
            tokens_per_example=None,
            input_shape=(chosen.channels, chosen.image_size, chosen.image_size),
            classes=chosen.classes,
        )

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Return splits that draw each image when it is asked for, always the same at the same position."""
        from torchvision import datasets, transforms

        chosen = FakeOptions.model_validate(options)
        manifest, held = FakeImages.manifest(options, context=context), _held(chosen)
        half = (0.5,) * chosen.channels
        images = datasets.FakeData(
            size=chosen.examples + 2 * held,
            image_size=manifest.input_shape,
            num_classes=chosen.classes,
            transform=transforms.Compose([transforms.ToTensor(), transforms.Normalize(half, half)]),
        )
        train, val, test = np.split(np.arange(len(images)), [chosen.examples, chosen.examples + held])
        return Dataset(
            manifest=manifest,
            train=FolderSplit(images, train),
            val=FolderSplit(images, val),
            test=FolderSplit(images, test),
        )


def _held(options: FakeOptions) -> int:
    return max(1, options.examples // 10)
