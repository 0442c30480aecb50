"""What a submitted job is to do, as data in its environment: no code, no secret, nothing from a command line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Final

#: Environment variable of the job that holds the order.
VARIABLE: Final = "SCALAW_JOB"
#: A variable that is longer does not fit into an environment (Linux: 128 KiB each).
MOST_BYTES: Final = 100_000
#: Beginning of the name of the folder in which the job puts the YAML, below its working folder.
SCRATCH: Final = "scalaw-sweep-"


@dataclass(frozen=True, kw_only=True)
class JobOrder:
    """A sweep to run on the cluster.

    Attributes
    ----------
    file, text, overrides
        The YAML's name, its text, and what is changed in it, ``KEY=VALUE`` each.
    store
        Where its rows go, as the cluster is to open it.
    share, retry_failed, budget_fraction, keep_weights
        As `run_sweep` takes them.
    proof
        Key of the mark that `submit` left in the store, which the cluster must see; ``None`` where it could not.
    python
        Version of the Python that submits, ``3.11``.
    plugins
        Where in what was sent the code lies that its person lets run.
    program, program_digest
        The ``program.toml`` of a trainer of one's own, below the working folder, and the digest of what was consented
        to.
    """

    file: str
    text: str
    overrides: list[str]
    store: str
    share: bool
    retry_failed: bool
    budget_fraction: float | None
    proof: str | None
    python: str
    keep_weights: list[str] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)
    program: str | None = None
    program_digest: str | None = None

    def to_text(self) -> str:
        """Return the order as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> JobOrder:
        """Return the order that `to_text` wrote down."""
        return cls(**json.loads(text))
