"""What an example looks like, for counting models on data that are neither tokens nor images with labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def batch_like(example: object) -> object:
    """Return types and shapes of one example, as ``DataManifest.batch`` takes them.

    Parameters
    ----------
    example
        Numbers, arrays or tensors, in tuples, lists and dictionaries, without an axis of examples.
    """
    if isinstance(example, Mapping):
        return {key: batch_like(part) for key, part in example.items()}
    if isinstance(example, tuple | list):
        return [batch_like(part) for part in example]
    if hasattr(example, "dtype"):
        kind, shape = str(example.dtype).removeprefix("torch."), getattr(example, "shape", ())
    else:
        array = np.asarray(example)
        kind, shape = {"i": "int64", "f": "float32", "b": "bool"}[array.dtype.kind], array.shape
    return {"dtype": kind, "shape": [int(n) for n in shape]}
