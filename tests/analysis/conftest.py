"""Small inputs on which the product once failed; what is right of each stands in the test that reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"


@pytest.fixture
def case():
    """Return the path of a file of a case."""

    def path(name: str) -> str:
        return str(CASES / name)

    return path
