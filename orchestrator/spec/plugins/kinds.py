"""Which classes of a module are plug-ins, of which kind and name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from orchestrator.errors import BadInput
from orchestrator.spec.plugins.code import PluginCode
from orchestrator.spec.registries import (
    COMPRESSORS,
    FAMILIES,
    LAWS,
    METRICS,
    OPTIMIZERS,
    SCHEDULES,
    SOURCES,
    Registry,
)

#: A family of ``sizes`` and ``build``: described in another process, as it needs torch.
OWN_FAMILY: Final = "workers.families.own.family:Family"
#: What a plug-in's class derives from, as ``scalaw`` names it too, and where its name is put.
SEAMS: Final[dict[str, Registry]] = {
    OWN_FAMILY: FAMILIES,
    "orchestrator.planning.family:Family": FAMILIES,
    "workers.sources.source:Source": SOURCES,
    "workers.optimizers.own:Optimizer": OPTIMIZERS,
    "orchestrator.planning.schedules.schedule:Schedule": SCHEDULES,
    "orchestrator.planning.compressor:Compressor": COMPRESSORS,
    "orchestrator.fitting.law:Law": LAWS,
    "workers.tasks.metric:Metric": METRICS,
}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Found:
    """A plug-in's class in a module."""

    seam: str
    name: str
    entry: type[Any]

    @property
    def registry(self) -> Registry:
        """Where it is named."""
        return SEAMS[self.seam]


def plugins_in(module: ModuleType, code: PluginCode) -> list[Found]:
    """Return the plug-ins that a module defines, or imports from its own plug-in.

    Raises
    ------
    BadInput
        If there is none, one has no usable name, or two of a kind have the same.
    """
    found: list[Found] = []
    for thing in vars(module).values():
        if not isinstance(thing, type) or thing.__module__.split(".")[0] != code.package:
            continue
        seam = next((seam for base in thing.__mro__[1:] if (seam := seam_of(base)) in SEAMS), None)
        if seam is None or getattr(thing, "__abstractmethods__", None) or thing in [one.entry for one in found]:
            continue
        found.append(Found(seam, _name(thing, code), thing))
    if not found:
        raise BadInput(
            f"{code.name}: there is no plug-in in it: a class that derives from scalaw.Family, Source, Optimizer, "
            "Schedule, Compressor, Law or Metric"
        )
    for one in found:
        twins = [other for other in found if (other.registry, other.name) == (one.registry, one.name)]
        if len(twins) > 1:
            raise BadInput(f"{code.name}: two classes are the {one.registry.kind} {one.name!r}; rename one")
    return found


def seam_of(base: type[Any]) -> str:
    """Return how the table above names a class."""
    return f"{base.__module__}:{base.__qualname__}"


def _name(thing: type[Any], code: PluginCode) -> str:
    name = thing.__dict__.get("name", getattr(thing, "name", None))
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise BadInput(
            f"{code.name}: class {thing.__name__} has no name to call it by in a sweep: give it name = "
            f"{thing.__name__.lower()!r} (letters, digits, '.', '_' and '-')"
        )
    return name
