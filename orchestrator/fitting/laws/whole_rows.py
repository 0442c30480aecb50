"""The rows that compression has harmed least, from which laws of compression start."""

from __future__ import annotations

from typing import Final

import numpy as np

from orchestrator.fitting.law import Sample

#: Rows without which a model term, a data term and a floor can't be guessed.
FEWEST: Final = 6


def least_compressed(sample: Sample) -> Sample:
    """Return the rows of the largest ε (1 where there are uncompressed rows), or all where those are too few."""
    eps = sample.log_axes["eps"]
    whole = eps > eps.max() - 1e-9
    return sample.part(whole) if np.count_nonzero(whole) >= FEWEST else sample
