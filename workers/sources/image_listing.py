"""The images below a folder of class folders, listed without torch in the order of torchvision's ImageFolder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import BadOption

#: As in torchvision.datasets.folder.
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
HASHED_BYTES = 65_536


@dataclass(frozen=True)
class ListedImage:
    """An image file: its path, its class's position and its name below the folder of the split."""

    path: Path
    label: int
    name: str

    def fingerprint(self) -> str:
        """Return name, size and the hash of the first and last 64 KiB."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            content = hashlib.sha256(file.read(HASHED_BYTES))
            file.seek(max(HASHED_BYTES, size - HASHED_BYTES))
            content.update(file.read(HASHED_BYTES))
        return f"{self.name}\0{size}\0{content.hexdigest()}"


def class_folders(folder: Path) -> list[str]:
    """Return the sorted class names of a split.

    Raises
    ------
    BadInput
        If the folder is missing or holds no folders.
    """
    if not folder.is_dir():
        raise BadOption("data", "root", f"{folder} doesn't exist: it must hold one folder of images for each class")
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not classes:
        raise BadOption(
            "data", "root", f"{folder} holds no class folders: put each class's images into a folder of its name"
        )
    return classes


def list_images(folder: Path, classes: Sequence[str]) -> list[ListedImage]:
    """Return the images of a split, class by class and by path.

    Raises
    ------
    BadInput
        If the folder's classes differ from ``classes`` or one of them holds no image.
    """
    here = class_folders(folder)
    if here != list(classes):
        odd = sorted({*here} ^ {*classes})[0]
        raise BadOption("data", "root", f"class {odd!r} stands in one split only (compared {folder} with train)")
    images: list[ListedImage] = []
    for label, name in enumerate(classes):
        before = len(images)
        for where, _, files in sorted(os.walk(folder / name, followlinks=True)):
            for file in sorted(files):
                if file.lower().endswith(SUFFIXES):
                    path = Path(where, file)
                    images.append(ListedImage(path, label, path.relative_to(folder).as_posix()))
        if len(images) == before:
            raise BadOption("data", "root", f"{folder / name} holds no image ({', '.join(SUFFIXES)})")
    return images
