"""CIFAR-10's Python batches, in the layout that torchvision downloads, read without torch and without trust.

The files are pickles, and a pickle may run anything: ours are read by an unpickler that knows numpy arrays only.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import BadOption
from workers.sources.staging import on_this_node

FOLDER = "cifar-10-batches-py"
TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_FILES = ("test_batch",)

_ARRAY = np.empty(0, np.uint8)
_REBUILD: Any = _ARRAY.__reduce__()[0]
_FROM_BUFFER: Any = _ARRAY.__reduce_ex__(5)[0]
_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _REBUILD,
    ("numpy._core.multiarray", "_reconstruct"): _REBUILD,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ADMITTED[module, name]


def read_batches(root: str, files: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the images uint8 (N, 3, 32, 32) and labels int64 (N,) of some batch files, one after the other.

    Raises
    ------
    BadInput
        If a file is missing, is no such batch or asks for anything but arrays.
    """
    images, labels, folder = [], [], on_this_node(root, key="root") / FOLDER
    for name in files:
        path = folder / name
        if not path.is_file():
            raise BadOption(
                "data",
                "root",
                f"{path} doesn't exist: get CIFAR-10 once with "
                f"python -c \"import torchvision; torchvision.datasets.CIFAR10('{root}', download=True)\"",
            )
        try:
            with path.open("rb") as file:
                batch = _ArraysOnly(file, encoding="latin1").load()
            images.append(np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32))
            labels.append(np.asarray(batch["labels"], np.int64))
        except (pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
            raise BadOption("data", "root", f"{path} is no CIFAR-10 batch ({error}): download it again") from error
        if len(images[-1]) != len(labels[-1]) or not ((labels[-1] >= 0) & (labels[-1] < 10)).all():
            raise BadOption(
                "data", "root", f"{path} is no CIFAR-10 batch (labels don't fit its images): download it again"
            )
    return np.concatenate(images), np.concatenate(labels)
