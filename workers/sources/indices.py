"""How examples of a split are named."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Places in a split, (examples,).
Indices = npt.NDArray[np.int64]
