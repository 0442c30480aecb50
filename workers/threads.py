"""How many threads a result belongs to: the order in which a sum is added up is part of it (I3)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController


class ThreadCount:
    """Sets the threads of all that is loaded by the time it is made: BLAS, OpenMP, and torch's own MKL."""

    def __init__(self) -> None:
        self._controller = ThreadpoolController()

    @contextmanager
    def __call__(self, threads: int) -> Iterator[None]:
        """Give the calling thread so many, and afterwards what it had.

        OpenMP counts them by calling thread, and an actor with a second queue runs its tasks in threads of a pool.
        Torch's MKL is out of threadpoolctl's sight and has a number of its own as soon as anybody in the process has
        called ``torch.set_num_threads``.
        """
        torch = sys.modules.get("torch")  # a simulated worker does without it
        before = torch.get_num_threads() if torch else 0
        with self._controller.limit(limits=threads):
            if torch:
                torch.set_num_threads(threads)
            try:
                yield
            finally:
                if torch:
                    torch.set_num_threads(before)
