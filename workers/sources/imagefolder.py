"""Images of one's own, in one folder for each class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from pydantic import Field

from orchestrator.errors import BadOption
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.bounds import Pixels
from orchestrator.spec.options import Options
from workers.sources.hashed_split import SPLIT_RULE, halves
from workers.sources.image_listing import ListedImage, class_folders, list_images
from workers.sources.indices import Indices
from workers.sources.lazy_split import FolderSplit
from workers.sources.source import Dataset
from workers.sources.staging import on_this_node

#: ImageNet's, of values between 0 and 1.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Listed: TypeAlias = dict[str, list[ListedImage]]
Positions: TypeAlias = dict[str, tuple[str, Indices]]


class ImageFolderOptions(Options):
    """YAML keys beside ``source: imagefolder``."""

    root: str = Field(
        description="folder, here or in a bucket, with train/CLASS/…, val/CLASS/… and, if there, test/CLASS/…"
    )
    image_size: Pixels = Field(224, description="side in pixels after resizing and cropping the centre")


class ImageFolder:
    """Colour images read by torchvision's ImageFolder; without ``test/`` half of ``val/`` is the test split."""

    name = "imagefolder"
    Options = ImageFolderOptions

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity from names, sizes and parts of the files; no image is decoded.

        Raises
        ------
        BadInput
            If a split or class has no folder or no image.
        """
        chosen = ImageFolderOptions.model_validate(options)
        return _manifest(chosen, *_survey(on_this_node(chosen.root, key="root")))

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Return splits that decode when asked: shorter side to 256/224 of ``image_size``, then the centre.

        Raises
        ------
        BadInput
            As :meth:`manifest`; a damaged image when it is decoded.
        """
        from torchvision import datasets, transforms

        chosen = ImageFolderOptions.model_validate(options)
        root = on_this_node(chosen.root, key="root")
        listed, positions = _survey(root)
        size = chosen.image_size
        prepare = transforms.Compose(
            [
                transforms.Resize(size * 256 // 224),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )
        folders = {name: datasets.ImageFolder(str(root / name), transform=prepare, loader=_decode) for name in listed}
        splits = {name: FolderSplit(folders[folder], where) for name, (folder, where) in positions.items()}
        return Dataset(
            manifest=_manifest(chosen, listed, positions), train=splits["train"], val=splits["val"], test=splits["test"]
        )


def _survey(root: Path) -> tuple[Listed, Positions]:
    """List every image, and say for each split which folder it is read from and at which positions."""
    if not root.is_dir():
        raise BadOption("data", "root", f"{root} doesn't exist: give a folder that holds train/ and val/")
    classes = class_folders(root / "train")
    names = ("train", "val", "test") if (root / "test").is_dir() else ("train", "val")
    listed = {name: list_images(root / name, classes) for name in names}
    positions = {name: (name, np.arange(len(images), dtype=np.int64)) for name, images in listed.items()}
    if "test" not in listed:
        if len(listed["val"]) < 2:
            raise BadOption(
                "data", "root", f"{root / 'val'} holds one image, too few to halve: add images or a folder test/"
            )
        val, test = halves([image.name for image in listed["val"]])
        positions |= {"val": ("val", val), "test": ("val", test)}
    return listed, positions


def _manifest(options: ImageFolderOptions, listed: Listed, positions: Positions) -> DataManifest:
    identity = {
        "images": {name: sorted(image.fingerprint() for image in images) for name, images in listed.items()},
        "image_size": options.image_size,
        "normalised": [MEAN, STD],
        "split_rule": SPLIT_RULE,
    }
    return DataManifest(
        task="imagefolder",
        digest=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        train_examples=len(positions["train"][1]),
        val_examples=len(positions["val"][1]),
        test_examples=len(positions["test"][1]),
        tokens_per_example=None,
        input_shape=(3, options.image_size, options.image_size),
        classes=max(image.label for image in listed["train"]) + 1,
    )


def _decode(path: str) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadOption("data", "root", f"{path} is no readable image ({error}): mend or remove it") from error
