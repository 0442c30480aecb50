"""Scores of a trained model on a held-back split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from workers.training.batches import Feed, Pick
from workers.training.loop import cross_entropy
from workers.training.objective import Objective

#: Predictions scored at once; fixed, because another batch size changes the last bits of a loss.
SCORE_BATCH = 128


def score(
    module: torch.nn.Module, feed: Feed, indices: np.ndarray, batch: int = SCORE_BATCH
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean loss in nats per target, the predicted classes and the true ones.

    Parameters
    ----------
    feed
        The split on the module's device.
    indices
        Examples of it to score, int64.
    batch
        Predictions made at once; fewer where the device has no memory for so many.
    """
    predicted, true = [], []
    total = torch.zeros((), dtype=torch.float64, device=next(module.parameters()).device)
    for logits, y in _answers(module, feed, indices, batch):
        total += _summed_loss(logits, y)
        predicted.append(logits.argmax(-1).flatten())
        true.append(y.flatten())
    guesses, labels = torch.cat(predicted).cpu().numpy(), torch.cat(true).cpu().numpy()
    return total.item() / len(labels), guesses, labels


def mean_loss(module: torch.nn.Module, feed: Feed, indices: np.ndarray, batch: int = SCORE_BATCH) -> float:
    """Return the loss of `score` alone, which is cheaper."""
    total = torch.zeros((), dtype=torch.float64, device=next(module.parameters()).device)
    labels = 0
    for logits, y in _answers(module, feed, indices, batch):
        total += _summed_loss(logits, y)
        labels += y.numel()
    return total.item() / labels


@torch.inference_mode()
def own_scores(
    module: torch.nn.Module, feed: Feed, indices: np.ndarray, objective: Objective, batch: int = SCORE_BATCH
) -> dict[str, float]:
    """Return the means over examples of what a family scores by itself: ``loss``, where it has one, and its metrics.

    A batch counts as many times as it has examples, so the answer is that of the whole split where loss and metrics are
    means over examples.
    """
    module.eval()
    totals: dict[str, float] = {}
    for start in range(0, len(indices), batch):
        picked = indices[start : start + batch]
        (read,) = feed.batches([Pick(picked)])
        found: dict[str, Any] = {} if objective.metrics is None else dict(objective.metrics(module, read))
        if objective.loss is not None:
            found["loss"] = objective.loss(module, read)
        for name, value in found.items():
            totals[name] = totals.get(name, 0.0) + float(value) * len(picked)
        feed.beat()
    return {name: total / len(indices) for name, total in totals.items()}


@torch.inference_mode()
def _answers(
    module: torch.nn.Module, feed: Feed, indices: np.ndarray, batch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    module.eval()
    picks = (Pick(indices[start : start + batch]) for start in range(0, len(indices), batch))
    for x, y in feed.batches(picks):
        yield module(x), y
        feed.beat()


def _summed_loss(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return cross_entropy(logits, y, reduction="none").double().sum()


def class_scores(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return macro precision, recall and F1 over the labels that occur; an empty class counts as 0."""
    from sklearn.metrics import precision_recall_fscore_support  # a second to load, and text never asks

    precision, recall, f1, _ = precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)
    return {"precision_macro": float(precision), "recall_macro": float(recall), "f1_macro": float(f1)}
