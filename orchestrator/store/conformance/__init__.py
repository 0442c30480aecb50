"""What every kind of store promises, tried on roots of it; it runs on kinds of other packages, too.

>>> from obstore.store import MemoryStore
>>> from orchestrator.store.conformance import broken_promises
>>> from orchestrator.store.object_blobs import ObjectBlobs
>>> roots = {}
>>> broken_promises(lambda name: ObjectBlobs(roots.setdefault(name, MemoryStore()), name))
[]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from orchestrator.planning.promises import first_cases
from orchestrator.store.blobs import Blobs
from orchestrator.store.conformance.of_blobs import BLOB_PROMISES
from orchestrator.store.conformance.of_stores import STORE_PROMISES

__all__ = ["BLOB_PROMISES", "STORE_PROMISES", "broken_promises"]


def broken_promises(open_root: Callable[[str], Blobs]) -> list[str]:
    """Return a sentence for each promise that is broken: of :class:`~orchestrator.store.blobs.Blobs`, and of stores.

    Only the first case of each is told.

    Parameters
    ----------
    open_root
        Opens the root of a name, which is empty when it is opened first. Each call returns a handle of its own, as
        another process would have it; wrapped in ``FaultyBlobs`` and ``PatientBlobs`` they are tried under faults.
    """
    found: list[str] = []
    for number, (name, blobs_promise) in enumerate(BLOB_PROMISES.items()):
        root = open_root(f"blobs-{number}")
        found += [f"{name}: {case}" for case in blobs_promise(root)]
    for number, (name, store_promise) in enumerate(STORE_PROMISES.items()):
        found += [f"{name}: {case}" for case in store_promise(partial(open_root, f"store-{number}"))]
    return first_cases(found)
