"""The C and C++ headers that ship with torch: other text than Python's, also without a download."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orchestrator.errors import BadInput
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from workers.sources.byte_corpus import byte_dataset, byte_manifest
from workers.sources.source import Dataset

SUFFIXES = (".h", ".hpp", ".cuh")


class CHeadersOptions(Options):
    """No keys beside ``source: c-headers``."""


class CHeaders:
    """The headers under torch's ``include`` folder, split by the hash of their content."""

    name = "c-headers"
    Options = CHeadersOptions

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity; they differ between versions of torch and say so by the digest.

        Raises
        ------
        BadInput
            If torch isn't installed or came without headers.
        """
        return byte_manifest("c-headers", _files(), context=context)

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Return the headers' windows, resident; raises as :meth:`manifest`."""
        return byte_dataset("c-headers", _files(), context=context)


def _files() -> Iterator[bytes]:
    """Yield the content of each header; torch is found, not imported."""
    found = find_spec("torch")
    if found is None or not found.submodule_search_locations:
        raise BadInput("data source c-headers: torch isn't installed here, and its headers are the data: install it")
    root = Path(found.submodule_search_locations[0], "include")
    any_there = False
    for folder, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            if name.endswith(SUFFIXES):
                any_there = True
                yield Path(folder, name).read_bytes()
    if not any_there:
        raise BadInput(f"data source c-headers: no header under {root}: this build of torch comes without them")
