"""Names are looked up, never evaluated."""

from __future__ import annotations

import pytest

from orchestrator.errors import BadInput
from orchestrator.spec.registries import FAMILIES, LAWS, SOURCES, Registry


@pytest.mark.parametrize(("registry", "name"), [(r, n) for r in (FAMILIES, SOURCES) for n in r.builtin])
def test_plug_in_declares_its_yaml_keys(registry: Registry, name: str) -> None:
    options = registry.load(name).Options
    assert options.model_config["extra"] == "forbid"
    assert options.model_config["frozen"]


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match="unknown law 'chinchila'; did you mean 'chinchilla'"):
        LAWS.load("chinchila")
    assert "os:system" not in FAMILIES


def test_broken_plug_in_of_another_package_is_named() -> None:
    registry = Registry("model family", "scalaw.families", {})
    registry.__dict__["installed"] = {"theirs": "json:no_such_thing", "gone": "no_such_module_anywhere:X"}
    for name in ("theirs", "gone"):
        with pytest.raises(BadInput, match=f"model family '{name}' can't be imported"):
            registry.load(name)
