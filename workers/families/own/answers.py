"""The process that planning asks about a family of a person's own: one question a line in, one answer a line out."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import BadInput
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.plugins.code import PluginCode
from orchestrator.spec.plugins.importing import blamed, import_plugin, import_target
from orchestrator.spec.plugins.kinds import OWN_FAMILY, Found, plugins_in
from orchestrator.spec.validation_errors import complaints_of
from workers.families.own.counting import Candidates, shape_facts
from workers.families.own.describing import family_facts
from workers.families.own.family import Family


def main() -> None:
    """Answer until nobody asks any more."""
    # What a plug-in prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(answer(PluginCode.from_json(asked["code"]), asked["question"])) + "\n")


def answer(code: PluginCode, question: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"answer": …}``, or ``{"refused": one line}``."""
    try:
        if question["ask"] == "describe":
            return {"answer": [_described(one) for one in plugins_in(import_plugin(code), code)]}
        family = _family(code, question)
        if question["ask"] == "options":
            return {"answer": _options(family, question["given"])}
        return {"answer": _shape(family(question["options"], _manifest(question["data"])), question)}
    except BadInput as refusal:
        said = str(refusal)
        return {"refused": said if said.startswith(code.name) else f"{code.name}: {said}"}
    except Exception as error:  # a person's sizes() or build() may raise anything
        doing = f"the family {question.get('family')!r} can't be counted"
        return {"refused": blamed(code, error, doing)}


def _family(code: PluginCode, question: dict[str, Any]) -> type[Family]:
    if "target" in question:
        entry: type[Family] = import_target(question["target"])
        return entry
    found = {one.name: one.entry for one in plugins_in(import_plugin(code), code) if one.seam == OWN_FAMILY}
    return found[question["family"]]


def _described(one: Found) -> dict[str, Any]:
    facts: dict[str, Any] = {"seam": one.seam, "name": one.name}
    return facts if one.seam != OWN_FAMILY else {**facts, **family_facts(one.entry)}


def _options(family: type[Family], given: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"options": family.Options.model_validate(given).model_dump(mode="json")}
    except ValidationError as error:
        return {"complaints": [[list(c.location), c.sentence] for c in complaints_of(error)]}


def _manifest(facts: dict[str, Any]) -> DataManifest:
    return DataManifest(
        **{**facts, "input_shape": tuple(facts["input_shape"])},
        digest="",
        train_examples=0,
        val_examples=0,
        test_examples=0,
    )


def _shape(family: Family, question: dict[str, Any]) -> dict[str, Any]:
    if "dims" in question:
        return {"shape": shape_facts(family, question["dims"])}
    asked = question["params"]
    candidates = Candidates(family)
    place = candidates.nearest(asked)
    counted = candidates.count(place)
    if not asked / 2 < counted < asked * 2:
        return {"unbuildable": {"side": "smallest" if counted > asked else "largest", "params": counted}}
    return {"shape": shape_facts(family, candidates.dims[place])}


if __name__ == "__main__":
    main()
