"""What planning must know of a data set without loading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DataManifest:
    """Sizes and identity of a data set.

    Parameters
    ----------
    task
        Name that rows carry as ``task`` (the source's name).
    digest
        SHA-256 (hex) of what the examples are made from, options included.
    train_examples, val_examples, test_examples
        Examples in each split; an example is a context window, a text or an image.
    tokens_per_example
        Context length of a language model; ``None`` where there are no tokens.
    input_shape
        Shape of one input: ``(context,)`` or ``(channels, height, width)``.
    classes
        Vocabulary size or number of labels.
    document_end
        The token after which attention begins anew; ``None``: it reaches over the whole window.
    notes
        Sentences for a person to read before anything is trained on it.
    batch
        What an example looks like where the three before don't say it: leaves ``{"dtype": "float32", "shape": [3, 8]}``
        in lists and mappings, as :func:`workers.sources.batch_like.batch_like` returns them.
    """

    task: str
    digest: str
    train_examples: int
    val_examples: int
    test_examples: int
    tokens_per_example: int | None = None
    input_shape: tuple[int, ...] = ()
    classes: int = 0
    document_end: int | None = None
    notes: tuple[str, ...] = ()
    batch: Any = field(default=None, hash=False)
