"""The seam behind which a compressor stands: the half that plans.

It imports no torch, not even by way of another module. The half that compresses
(:mod:`workers.compressors.session`) is named by it and imported by workers alone.
"""

from __future__ import annotations

from typing import Any, Protocol

from orchestrator.planning.family import Family, ModelShape
from orchestrator.spec.compression_options import CompressionOptions


class Compressor(Protocol):
    """A way to make a trained model smaller.

    Guarantees: answers are deterministic and take milliseconds; what ``check`` has not refused can be done to every
    model of that shape.
    """

    @property
    def Options(self) -> type[CompressionOptions]:  # noqa: N802 (a class)
        """Class of the YAML keys beside ``method:``; its values are what cell ids are made of."""

    @property
    def training(self) -> str:
        """``module:class`` of the half that compresses."""

    def check(self, options: Any, shape: ModelShape, family: Family) -> list[str]:
        """Refuse what can't be done to a model of this shape; return sentences on what will be other than asked.

        Parameters
        ----------
        options
            An instance of ``Options``.
        shape
            Of the model that goes in.
        family
            Names its weights and units.

        Raises
        ------
        BadInput
            With the likely fix.
        """

    def kept_share(self, options: Any, before: ModelShape, after: ModelShape) -> float:
        """Return about which share of the bytes will be left, for rows that are made up.

        Parameters
        ----------
        options
            An instance of ``Options``.
        before, after
            The models that go in and come out; other ones only where a student is trained.
        """
