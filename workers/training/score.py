"""Scores of a trained model on a held-back split."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import precision_recall_fscore_support

from workers.training.feed import Feed, Pick
from workers.training.loop import cross_entropy

#: Predictions scored at once; fixed, because another batch size changes the last bits of a loss.
SCORE_BATCH = 128


def score(module: torch.nn.Module, feed: Feed, indices: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean loss in nats per target, the predicted classes and the true ones.

    Parameters
    ----------
    feed
        The split on the module's device.
    indices
        Examples of it to score, int64.
    """
    module.eval()
    total = torch.zeros((), dtype=torch.float64, device=next(module.parameters()).device)
    predicted, true = [], []
    picks = (Pick(indices[start : start + SCORE_BATCH]) for start in range(0, len(indices), SCORE_BATCH))
    with torch.inference_mode():
        for x, y in feed.batches(picks):
            logits = module(x)
            total += cross_entropy(logits, y, reduction="none").double().sum()
            predicted.append(logits.argmax(-1).flatten())
            true.append(y.flatten())
    guesses, labels = torch.cat(predicted).cpu().numpy(), torch.cat(true).cpu().numpy()
    return total.item() / len(labels), guesses, labels


def class_scores(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return macro precision, recall and F1 over the labels that occur; an empty class counts as 0."""
    precision, recall, f1, _ = precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)
    return {"precision_macro": float(precision), "recall_macro": float(recall), "f1_macro": float(f1)}
