"""The data of ``family: program``: the program reads them, and describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import BadOption
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from workers.sources.source import Dataset

_WHY = (
    "program is what a trainer of your own reads; it goes with model: {family: program} and `program` DIR/program.toml"
)


class ProgramDataOptions(Options):
    """No keys beside ``source: program``."""


class ProgramData:
    """Examples that only the program knows."""

    name = "program"
    Options = ProgramDataOptions

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Refuse: the program describes its data itself.

        Raises
        ------
        BadOption
            Always.
        """
        raise BadOption("data", "source", _WHY)

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Refuse likewise.

        Raises
        ------
        BadOption
            Always.
        """
        raise BadOption("data", "source", _WHY)
