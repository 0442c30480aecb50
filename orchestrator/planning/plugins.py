"""Are the plug-ins of other packages that a sweep names there? Asked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.errors import BadInput
from orchestrator.spec import Sweep
from orchestrator.spec.plugins.admission import codes_of, digests
from orchestrator.spec.plugins.code import PluginCode
from orchestrator.spec.registries import COMPRESSORS, FAMILIES, LAWS, METRICS, OPTIMIZERS, SCHEDULES, SOURCES, Registry
from orchestrator.spec.sections.compression import chained

#: Kinds that come in two halves, one that plans and one that trains.
_HALVED = (FAMILIES, COMPRESSORS)


def check_plugins(sweep: Sweep) -> None:
    """Import each installed plug-in that a sweep names, the half that trains too; ours are known to be there.

    Raises
    ------
    BadInput
        With the line of the first that can't be imported.
    """
    for registry, name, path in _named(sweep):
        if name not in registry.installed or name in registry.builtin:
            continue
        try:
            registry.load(name)
            if registry in _HALVED:
                registry.load_training(name)
        except BadInput as refusal:
            raise BadInput(f"{sweep.at(*path)}: {refusal}") from refusal


def plugins_of(sweep: Sweep) -> tuple[PluginCode, ...]:
    """Return the code of people's own that a sweep's stages need; laws are needed by nobody who trains."""
    return codes_of([(registry, name) for registry, name, _ in _named(sweep) if registry is not LAWS])


def plugin_digests(named: Sequence[tuple[Registry, str]]) -> dict[str, Any]:
    """Return what names of people's own code add to an identity (I8); names of ours add nothing, so ids stay."""
    found = digests(named)
    return {"plugins": found} if found else {}


def _named(sweep: Sweep) -> Iterator[tuple[Registry, str, tuple[str | int, ...]]]:
    yield FAMILIES, sweep.model.family, ("model", "family")
    yield SOURCES, sweep.data.source, ("data", "source")
    if sweep.grid.finetune is not None:
        yield SOURCES, sweep.grid.finetune.data.source, ("grid", "finetune", "data", "source")
    for k, recipe in enumerate(sweep.recipes()):
        where = ("grid", "recipes", k) if sweep.grid.recipes else ("train",)
        yield OPTIMIZERS, recipe.optimizer, (*where, "optimizer")
        yield SCHEDULES, recipe.schedule, (*where, "schedule")
    for k, compression in enumerate(sweep.grid.compression):
        for step in chained(compression):
            yield COMPRESSORS, step.method, ("grid", "compression", k)
    for k, task in enumerate(sweep.evaluate):
        yield METRICS, task.kind, ("evaluate", k, "kind")
    for k, law in enumerate(sweep.fit.laws or ()):
        yield LAWS, law, ("fit", "laws", k)
