"""A loaded data set with what a worker reads of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from orchestrator.planning.context import TRAIN_SCORE_EXAMPLES, TaskData
from orchestrator.planning.recipe import Recipe
from orchestrator.spec.registries import SOURCES
from workers.device import give_memory_back
from workers.rank import Rank
from workers.sources.example_split import batched
from workers.sources.order import EpochOrder, Order
from workers.sources.source import Dataset
from workers.training.batches import Batch, Feed, Pick
from workers.training.objective import Objective
from workers.training.score import SCORE_BATCH, class_scores, mean_loss, own_scores, score

Found = TypeVar("Found")
#: Logits that are made at once in scoring where there are more tokens than bytes: 256 MB.
MOST_LOGITS = 2**26
BYTES = 256


class LoadedData:
    """One data set on a worker's device.

    Parameters
    ----------
    data
        What planning knows of it.
    device
        Where batches are wanted.
    eval_examples
        Most examples of a held-back split that are scored.
    objective
        What the family has of its own in place of logits and cross-entropy.

    Raises
    ------
    RuntimeError
        If the data differs from what was planned.
    """

    def __init__(
        self, data: TaskData, device: torch.device, eval_examples: int, objective: Objective | None = None
    ) -> None:
        self.manifest, self.eval_examples = data.manifest, eval_examples
        self.objective = objective or Objective()
        tokens = self.manifest.tokens_per_example
        loaded: Dataset = SOURCES.load(data.source)().load(data.options, context=tokens or 64)
        if loaded.manifest.digest != self.manifest.digest:
            raise RuntimeError(
                f"the data of {data.source} on this node differs from what was planned "
                f"(digest {loaded.manifest.digest[:12]}, planned {self.manifest.digest[:12]})"
            )
        self.feeds = {
            name: Feed(batched(split, self.objective.collate), device) for name, split in loaded.splits.items()
        }
        self._ordered = loaded.ordered or Order
        self._token_bytes = loaded.token_bytes
        self._orders: dict[int, EpochOrder] = {}

    def order(self, seed: int) -> EpochOrder:
        """Return the data order of a seed."""
        if seed not in self._orders:
            self._orders[seed] = self._ordered(self.manifest.train_examples, seed)
        return self._orders[seed]

    def sample(self, recipe: Recipe, rank: Rank) -> Batch:
        """Return a rank's share of a batch, of no meaning."""
        share = rank.share(recipe.batch_size)
        return self.some(share.stop - share.start)

    def some(self, examples: int) -> Batch:
        """Return so many examples, of no meaning."""
        return next(iter(self.feeds["train"].batches([Pick(np.zeros(examples, np.int64))])))

    def val_scores(self, module: torch.nn.Module) -> dict[str, float]:
        """Return loss, accuracy and, of text, bits per byte on the validation split."""
        if self.objective.loss is not None:
            held_back = self._first(self.manifest.val_examples)
            return _fitting(lambda batch: self._own("val", module, held_back, batch), self._score_batch)[0]
        return _fitting(lambda batch: self._val_scores(module, batch)[0], self._score_batch)[0]

    def _val_scores(self, module: torch.nn.Module, batch: int) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
        held_back = self._first(self.manifest.val_examples)
        loss, predicted, true = score(module, self.feeds["val"], held_back, batch)
        found = {"val_loss": loss, "accuracy": float((predicted == true).mean()), **self._bits(loss, true)}
        if self.objective.metrics is not None:
            found |= own_scores(module, self.feeds["val"], held_back, self.objective, batch)
        return found, predicted, true

    def _bits(self, loss: float, true: np.ndarray) -> dict[str, float]:
        """Return a loss in bits per byte of the text that was predicted, where the bytes behind tokens are known."""
        if self._token_bytes is None:
            return {}
        if isinstance(self._token_bytes, float):
            return {"bits_per_byte": loss / math.log(2) / self._token_bytes}
        text_bytes = int(self._token_bytes[true].sum(dtype=np.int64))
        return {"bits_per_byte": loss / math.log(2) * len(true) / text_bytes} if text_bytes else {}

    def scores(self, module: torch.nn.Module, seed: int, examples: int) -> tuple[dict[str, float], list[str]]:
        """Return losses on all splits, accuracy and, for labels, macro scores; and what is to be said of them.

        Parameters
        ----------
        seed, examples
            Say which training examples the model has seen, of which a sample is scored.
        """
        found, batch = _fitting(lambda batch: self._scores(module, seed, examples, batch), self._score_batch)
        if batch == self._score_batch:
            return found, []
        return found, [f"scored {batch} examples at a time, as the device had no memory for {self._score_batch}"]

    @property
    def _score_batch(self) -> int:
        """Examples that are scored at once: the usual number, or fewer where the logits would be large.

        It depends on the data alone, since another number changes the last bits of a loss.
        """
        tokens, classes = self.manifest.tokens_per_example, self.manifest.classes
        if tokens is None or classes <= BYTES:
            return SCORE_BATCH
        return max(1, min(SCORE_BATCH, MOST_LOGITS // (tokens * classes)))

    def _scores(self, module: torch.nn.Module, seed: int, examples: int, batch: int) -> dict[str, float]:
        sample = self.order(seed).indices(examples, 0, min(examples, TRAIN_SCORE_EXAMPLES))
        if self.objective.loss is not None:
            losses = {
                f"{name}_loss": self._own(name, module, indices, batch)[f"{name}_loss"]
                for name, indices in (("train", sample), ("test", self._first(self.manifest.test_examples)))
            }
            return losses | self._own("val", module, self._first(self.manifest.val_examples), batch)
        train_loss = mean_loss(module, self.feeds["train"], sample, batch)
        val, predicted, true = self._val_scores(module, batch)
        test_loss = mean_loss(module, self.feeds["test"], self._first(self.manifest.test_examples), batch)
        labels = {} if self.manifest.tokens_per_example else class_scores(predicted, true)
        return {"train_loss": train_loss, **val, "test_loss": test_loss, **labels}

    def _own(self, name: str, module: torch.nn.Module, indices: np.ndarray, batch: int) -> dict[str, float]:
        """Return the loss and the scores of a family that has a loss of its own."""
        found = own_scores(module, self.feeds[name], indices, self.objective, batch)
        return {f"{name}_loss": found.pop("loss"), **found}

    def _first(self, there: int) -> np.ndarray:
        return np.arange(min(there, self.eval_examples))


def _fitting(run: Callable[[int], Found], batch: int) -> tuple[Found, int]:
    """Return what a score is with as many examples at a time as the device has memory for, and how many those are.

    Each score begins with the batch that the data asks for, so what was scored before changes no bit of it.
    """
    while True:
        try:
            return run(batch), batch
        except torch.OutOfMemoryError as error:
            if batch == 1:
                raise
            give_memory_back(error)
        batch //= 2
