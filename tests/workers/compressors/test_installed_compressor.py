"""The compressor that CONTRIBUTING.md writes down, in an installed package: read from YAML, planned and trained."""

from __future__ import annotations

import json

import pytest

TEXT = """\
name: theirs
data: {source: digits, max_examples: 64, eval_examples: 8}
model: {family: resnet}
grid:
  params: [2k]
  compression:
    - {method: mantissa, digits: 4, recover: {steps: 3}}
    - {method: chain, steps: [{method: prune, density: 0.5}, {method: mantissa, digits: 1}]}
train: {optimizer: sgd, batch_size: 8, warmup_steps: 2}
inference: {measure: false}
"""


@pytest.fixture
def run(install, how_to_add):
    plan, train = how_to_add("A compressor")
    modules = {"mantissa": plan, "mantissa_train": train}
    return install(modules, {"scalaw.compressors": "mantissa = my_package.mantissa:Mantissa"})


def test_it_is_planned_with_its_label_its_level_and_what_it_remarks(run):
    found = json.loads(
        run(f"""
            import json, sys
            from orchestrator import make_plan
            from orchestrator.spec import parse_sweep

            sweep = parse_sweep({TEXT!r}, name="theirs.yaml")
            plan = make_plan(sweep)
            again = type(sweep).model_validate(sweep.canonical())
            print(json.dumps({{
                "cells": [[c.compressed.method, c.compressed.label, c.compressed.level] for c in plan.cells[1:]],
                "steps": [stage.steps for stage in plan.tree if stage.kind == "compress"],
                "warnings": plan.warnings,
                "again": [c.id for c in make_plan(again).cells] == [c.id for c in plan.cells],
                "equal": again == sweep,
            }}))
        """)
    )
    assert found["cells"] == [
        ["mantissa", "mantissa 4 + 3 steps", 4.0],
        ["chain", "prune 0.5, mantissa 1", None],
    ]
    assert found["steps"] == [3, 0, 0]
    assert found["warnings"] == [
        "grid.params 2,000: the nearest buildable model has N = 1,384",
        "theirs.yaml:8: grid.compression[1]: one digit leaves powers of two",
    ]
    assert (found["again"], found["equal"]) == (True, True)


WRONG = {
    "{method: mantisa, digits: 4}": "[0].method: can't be the text 'mantisa'; did you mean 'mantissa'?",
    "{method: mantissa}": "[0]: the key 'digits' is missing; add it",
    "{method: mantissa, digits: 4, digit: 4}": "[0].digit: unknown key; did you mean 'digits'?",
    "{method: mantissa, digits: 24}": "[0].digits: must be at most 23, not 24",
    "{method: mantissa, digits: 23}": "[0]: digits: 23 are all that a weight has; lower it",
    "{method: chain, steps: [{method: mantissa, digits: 4}, {method: prune, density: 0.5}]}": (
        "[0]: mantissa before prune would be undone or done twice; the order is: distill, prune structured, low_rank, "
        "prune, quantize (mantissa counts as quantize)"
    ),
}


def test_what_is_wrong_with_its_keys_is_told_at_its_line(run):
    head, _, tail = TEXT.partition("    - {method: mantissa")
    texts = [f"{head}    - {entry}\ntrain:{tail.partition('train:')[2]}" for entry in WRONG]
    found = run(f"""
        from orchestrator import make_plan
        from orchestrator.errors import BadInput
        from orchestrator.spec import parse_sweep
        for text in {texts!r}:
            try:
                make_plan(parse_sweep(text, name="theirs.yaml"))
            except BadInput as refusal:
                print(refusal)
    """)
    assert found.splitlines() == [f"theirs.yaml:7: grid.compression{told}" for told in WRONG.values()]


def test_editors_know_its_keys(run):
    found = run(f"""
        import jsonschema
        from orchestrator.spec import json_schema
        from orchestrator.spec.yaml.parser import parse_document

        validator = jsonschema.Draft202012Validator(json_schema())
        for right, wrong in (("digits: 4", "digits: 4"), ("digits: 4", "digit: 4"), ("mantissa", "mantisa")):
            print(validator.is_valid(parse_document({TEXT!r}.replace(right, wrong), "s").data))
    """)
    assert found.split() == ["True", "False", "False"]


def test_an_entry_without_options_is_named(install):
    run = install(
        {"mantissa": "class Mantissa: ..."}, {"scalaw.compressors": "mantissa = my_package.mantissa:Mantissa"}
    )
    found = run(f"""
        from orchestrator.errors import BadInput
        from orchestrator.spec import parse_sweep
        try:
            parse_sweep({TEXT!r}, name="theirs.yaml")
        except BadInput as refusal:
            print(refusal)
    """)
    assert found.splitlines()[0] == (
        "theirs.yaml:7: grid.compression[0].method: the compressor 'mantissa' has no Options that extend "
        "CompressionOptions; mend it"
    )


@pytest.mark.slow
def test_it_keeps_its_promises_is_trained_with_and_known_to_made_up_rows(run):
    found = json.loads(
        run(f"""
            import json
            from orchestrator import make_plan
            from orchestrator.spec import parse_sweep
            from my_package.mantissa import Mantissa, MantissaOptions
            from my_package.mantissa_train import Rounder
            from workers.compressors.conformance import broken_promises
            from workers.engine import TorchEngine
            from workers.simulated_engine import kept_share

            plan = make_plan(parse_sweep({TEXT!r}))
            engine, states, rows = TorchEngine(plan.context), {{}}, []
            for stage in plan.tree:
                parent = states.get(stage.parent)
                if stage.kind != "evaluate":
                    states[stage.id] = engine.train(stage, parent)
                elif stage.cell.compressed is not None:
                    weight = parent.model["fc.weight"]
                    rows.append({{
                        "loss": engine.measure(stage, parent)["val_loss"],
                        "digits": [fact["digits"] for fact in parent.facts if "digits" in fact],
                        "zeros": float((weight == 0).mean()),
                        "fractions": len({{float(abs(v)) for v in __import__("numpy").frexp(weight)[0].ravel()}}),
                        "kept": kept_share(stage.cell),
                    }})
            rows.append(broken_promises(Mantissa(), Rounder(), MantissaOptions(method="mantissa", digits=4)))
            print(json.dumps(rows))
        """)
    )
    recovered, chained, broken = found
    assert broken == []
    assert recovered["fractions"] <= 2**3 + 1
    assert chained["fractions"] == 2
    assert (recovered["digits"], chained["digits"]) == ([4], [1])
    assert recovered["zeros"] < 0.2 < 0.3 < chained["zeros"]
    assert (recovered["kept"], chained["kept"]) == (13 / 32, 0.5 * 10 / 32)
    assert all(row["loss"] > 0 for row in (recovered, chained))
