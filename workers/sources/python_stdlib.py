"""The source files of Python's own standard library: text that is everywhere, without a download."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from workers.sources.byte_corpus import byte_dataset, byte_manifest
from workers.sources.source import Dataset

#: Folders left out: what was installed beside the library, its tests, and IDLE.
SKIPPED = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "idlelib", "__pycache__"})


class PythonStdlibOptions(Options):
    """No keys beside ``source: python-stdlib``."""


class PythonStdlib:
    """The library's .py files, split by the hash of their content; 11.3 MB with Python 3.11."""

    name = "python-stdlib"
    Options = PythonStdlibOptions

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity; they differ between versions of Python and say so by the digest."""
        return byte_manifest("python-stdlib", _files(), context=context)

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Return the library's windows, resident."""
        return byte_dataset("python-stdlib", _files(), context=context)


def _files() -> Iterator[bytes]:
    """Yield the content of each file; ``_sysconfigdata…`` describes the machine and is left out."""
    for folder, below, names in os.walk(sysconfig.get_path("stdlib")):
        below[:] = [name for name in below if name not in SKIPPED]
        for name in names:
            if name.endswith(".py") and not name.startswith("_sysconfigdata"):
                yield Path(folder, name).read_bytes()
