"""Names are looked up, never evaluated."""

from __future__ import annotations

import pytest

from orchestrator.errors import BadInput
from orchestrator.spec.registries import COMPRESSORS, FAMILIES, LAWS, SCHEDULES, SOURCES, Registry


@pytest.mark.parametrize(("registry", "name"), [(r, n) for r in (FAMILIES, SOURCES, COMPRESSORS) for n in r.builtin])
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


@pytest.mark.parametrize(("registry", "name"), [(r, n) for r in (FAMILIES, COMPRESSORS) for n in r.builtin])
def test_planning_halves_name_what_trains(registry: Registry, name: str) -> None:
    plans, trains = registry.load(name), registry.load_training(name)
    assert trains is not plans
    assert f"{trains.__module__}:{trains.__name__}" == plans.training


def test_a_half_that_trains_and_is_not_there_is_named() -> None:
    registry = Registry("model family", "scalaw.families", {})
    registry.add("whole", object)
    registry.add("half", type("Half", (), {"training": "no_such_module_anywhere:X"}))
    with pytest.raises(BadInput, match="model family 'whole' names no half that trains; give it training = "):
        registry.load_training("whole")
    with pytest.raises(BadInput, match="model family 'half' can't be imported from no_such_module_anywhere:X"):
        registry.load_training("half")


def test_messages_list_ours_in_their_order_and_then_the_others() -> None:
    registry = Registry("schedule", "scalaw.schedules", SCHEDULES.builtin)
    registry.add("aaa", object)
    assert registry.listed() == ["wsd", "wsm", "cosine", "step", "constant", "aaa"]
    assert registry.names() == ["aaa", "constant", "cosine", "step", "wsd", "wsm"]
