"""What tests of several packages start from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.spec import Sweep, parse_sweep

SIMULATED = """\
name: simulated
seed: 0
data: {source: simulated, examples: 1M}
model: {family: simulated, alpha: 0.3, beta: 0.25, gamma: 0.1, C: 20, floor: 0, noise: 0.01}
grid:
  params: [1k, 3k, 10k]
  data_fraction: [0.1, 0.3, 1.0]
  epochs: [1, 2, 4]
fit: {bootstrap: 200}
"""
TRANSFORMER = """\
name: small
seed: 1
data: {source: python-stdlib, max_examples: 512, eval_examples: 64}
model: {family: transformer}
grid:
  params: [2k]
  data_fraction: [0.5, 1.0]
  epochs: [1, 2, 3]
train: {batch_size: 16, warmup_steps: 5}
fit: {bootstrap: 50}
"""


@pytest.fixture
def simulated_yaml() -> str:
    """27 cells that train nothing."""
    return SIMULATED


@pytest.fixture
def transformer_yaml() -> str:
    """Six cells of a very small transformer."""
    return TRANSFORMER


@pytest.fixture
def sweep() -> Callable[..., Sweep]:
    """Parse a sweep; keyword ``overrides`` as on the command line."""

    def parse(text: str = SIMULATED, **keywords: list[str]) -> Sweep:
        return parse_sweep(text, **keywords)

    return parse
