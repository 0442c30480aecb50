"""Scores of a trained model on a held-back split."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import precision_recall_fscore_support

from workers.sources.source import Split
from workers.training.loop import cross_entropy

#: Predictions scored at once; fixed, because another batch size changes the last bits of a loss.
SCORE_BATCH = 128


def score(module: torch.nn.Module, data: Split, indices: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean loss in nats per target, the predicted classes and the true ones.

    Parameters
    ----------
    indices
        Examples of ``data`` to score, int64.
    """
    module.eval()
    device = next(module.parameters()).device
    total, predicted, true = 0.0, [], []
    with torch.inference_mode():
        for start in range(0, len(indices), SCORE_BATCH):
            x, y = data.batch(indices[start : start + SCORE_BATCH])
            logits = module(torch.from_numpy(x).to(device))
            total += cross_entropy(logits, torch.from_numpy(y).to(device), reduction="none").double().sum().item()
            predicted.append(logits.argmax(-1).cpu().numpy().ravel())
            true.append(y.ravel())
    guesses, labels = np.concatenate(predicted), np.concatenate(true)
    return total / len(labels), guesses, labels


def class_scores(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return macro precision, recall and F1 over the labels that occur; an empty class counts as 0."""
    precision, recall, f1, _ = precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)
    return {"precision_macro": float(precision), "recall_macro": float(recall), "f1_macro": float(f1)}
