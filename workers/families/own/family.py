"""The base of a model family of one's own.

It imports no torch, so that a file which also holds what planning needs stays quick to load where it can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options as YamlOptions

if TYPE_CHECKING:  # planning describes families without torch
    import torch


class NoOptions(YamlOptions):
    """No keys beside ``family:``."""


class Family:
    """A model family: candidates that grow, and how one of them is built.

    Guarantees that a subclass gives: ``sizes`` and ``build`` follow from ``self.options`` and ``self.data`` alone;
    each candidate has more parameters than the one before; the first weights follow from torch's global generator.
    ``scalaw plugin check`` tries these and more.

    Attributes
    ----------
    name
        By which a sweep calls it: ``model: {family: NAME}``.
    Options
        Class of its keys beside ``family:``.
    defaults
        What ``auto`` means in ``train:``, by optimizer. It names no learning rate: an untuned one changes exponents.
    head
        Name of the output layer; found by itself where it is a linear layer as wide as there are classes.
    embeddings
        Beginnings of names of parameters that don't count as N; by default those of ``nn.Embedding`` and, where the
        data are tokens, of the output layer.
    options, data
        Of the sweep: the values of ``Options``, and what the data are like (``classes``, ``input_shape``,
        ``tokens_per_example``).
    """

    name: ClassVar[str]
    Options: ClassVar[type[YamlOptions]] = NoOptions
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "adamw": {"weight_decay": 0.0, "gradient_clip": 1.0},
        "sgd": {"weight_decay": 0.0, "gradient_clip": 1.0},
    }
    head: ClassVar[str] = ""
    embeddings: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, options: Mapping[str, Any], data: DataManifest) -> None:
        self.options = options
        self.data = replace(data, digest="", train_examples=0, val_examples=0, test_examples=0)

    def sizes(self) -> Iterable[Mapping[str, int | str]]:
        """Return candidate dimensions, growing; there may be any number of them, the larger ones aren't built."""
        raise NotImplementedError

    def build(self, dims: dict[str, Any]) -> torch.nn.Module:
        """Return the freshly initialised module of a candidate.

        Unless `loss` is given, it maps a batch of inputs to logits whose last axis are the classes.
        """
        raise NotImplementedError

    def loss(self, module: torch.nn.Module, batch: Any) -> torch.Tensor:
        """Return what is minimised of a batch, a mean over its examples; optional.

        Parameters
        ----------
        batch
            What the source gives, on the module's device: tensors, nested in tuples, lists and dictionaries.
        """
        raise NotImplementedError

    def metrics(self, module: torch.nn.Module, batch: Any) -> Mapping[str, torch.Tensor | float]:
        """Return more scores of a batch, each a mean over its examples; optional. ``accuracy`` has a column."""
        raise NotImplementedError

    def parameter_groups(self, module: torch.nn.Module) -> Sequence[tuple[float, bool, list[torch.nn.Parameter]]]:
        """Return (learning-rate multiplier, takes weight decay, parameters), each parameter once; optional.

        By default all learn at the same rate, and matrices decay but for embeddings.
        """
        raise NotImplementedError

    def blocks(self, module: torch.nn.Module) -> Iterable[torch.nn.Module]:
        """Return the repeated parts, in whose matrices and the output layer's compressions are done; optional.

        By default compressions are done in all linear layers and convolutions but the first convolution.
        """
        raise NotImplementedError

    def collate(self, examples: list[Any]) -> Any:
        """Return a batch of single examples, where the source gives those; optional, by default they are stacked."""
        raise NotImplementedError

    @classmethod
    def gives(cls, method: str) -> bool:
        """Return whether an optional method is given."""
        return getattr(cls, method) is not getattr(Family, method)
