"""Plug-ins that this process was given: their names are put beside ours, and it is remembered whose code they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.errors import BadInput
from orchestrator.spec.plugins.code import PluginCode, read_plugin
from orchestrator.spec.plugins.importing import import_plugin, import_target
from orchestrator.spec.plugins.kinds import OWN_FAMILY, SEAMS, plugins_in
from orchestrator.spec.plugins.questions import ask
from orchestrator.spec.registries import Registry

#: Whose code a name is, by registry group and name.
_CODE: dict[tuple[str, str], PluginCode] = {}


def admit(paths: Iterable[str | os.PathLike[str]]) -> list[PluginCode]:
    """Read plug-ins and put their names into the registries of this process, where planning looks them up.

    Whoever calls this consents to the code being run. A family of ``sizes`` and ``build`` is described by another
    process, so that its torch isn't imported here; everything else is.

    Raises
    ------
    BadInput
        If one can't be read or imported, holds no plug-in, or has a name of ours.
    """
    codes = [read_plugin(path) for path in paths]
    whose: dict[tuple[str, str], PluginCode] = {}
    for code in codes:
        described: list[dict[str, Any]] = ask(code, {"ask": "describe"})
        for facts in described:
            registry = SEAMS[facts["seam"]]
            other = whose.setdefault((registry.group, facts["name"]), code)
            if other != code:
                raise BadInput(
                    f"{other.name} and {code.name} both have a {registry.kind} {facts['name']!r}; rename one"
                )
        here = [facts for facts in described if facts["seam"] != OWN_FAMILY]
        classes = {(one.seam, one.name): one.entry for one in plugins_in(import_plugin(code), code)} if here else {}
        for facts in described:
            if facts["seam"] == OWN_FAMILY:
                entry = import_target("workers.families.own.plan:planned")(code, facts)
            else:
                entry = _entry(facts["seam"], classes[facts["seam"], facts["name"]])
            _put(SEAMS[facts["seam"]], facts["name"], entry, code)
    return codes


def admit_to_work(codes: Iterable[PluginCode]) -> None:
    """Import plug-ins in a process that trains; it was sent their code by one whose person consented."""
    for code in codes:
        for one in plugins_in(import_plugin(code), code):
            if one.seam == OWN_FAMILY:
                one.registry.add_training(
                    one.name, import_target("workers.families.own.train:trained")(one.entry, code)
                )
            else:
                _put(one.registry, one.name, _entry(one.seam, one.entry), code)


def code_of(registry: Registry, name: str) -> PluginCode | None:
    """Return the code that a name stands for, or ``None`` where it is ours or an installed package's."""
    return _CODE.get((registry.group, name)) if name in registry.added else None


def digests(named: Iterable[tuple[Registry, str]]) -> dict[str, str]:
    """Return the digests of the code behind names that a result depends on, by kind and name; ours have none."""
    found = {}
    for registry, name in named:
        code = code_of(registry, name)
        if code is not None:
            found[f"{registry.group}:{name}"] = code.digest
        elif name not in registry.builtin:
            digest = getattr(registry.load(name), "code_digest", None)
            if digest is not None:
                found[f"{registry.group}:{name}"] = digest
    return found


def codes_of(named: Sequence[tuple[Registry, str]]) -> tuple[PluginCode, ...]:
    """Return the code behind names, each once; of ours and of installed packages there is none."""
    found = [code for registry, name in named if (code := code_of(registry, name)) is not None]
    return tuple({code.digest: code for code in found}.values())


def _entry(seam: str, entry: type[Any]) -> Any:
    return entry().build if seam == "workers.optimizers.own:Optimizer" else entry


def _put(registry: Registry, name: str, entry: Any, code: PluginCode) -> None:
    registry.add(name, entry)
    registry.added_training.pop(name, None)  # of what the name stood for before
    _CODE[registry.group, name] = code
