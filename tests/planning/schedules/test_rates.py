"""Learning-rate schedules by value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import BadInput
from orchestrator.planning.recipe import Recipe
from orchestrator.spec import parse_sweep

TRAIN = parse_sweep("name: a\ngrid: {params: [1k]}").train
RULES = {"adamw": {"learning_rate": 0.5, "weight_decay": 0.1, "gradient_clip": 1.0}}
RECIPE = Recipe.resolve(TRAIN, RULES)


def factors(total=100, **changes):
    recipe = replace(RECIPE, warmup_steps=10, cooldown_fraction=0.2, **changes)
    return [recipe.rate_factor(step, total) for step in range(total)]


def test_auto_takes_the_family_default_and_what_is_written_stays():
    assert (RECIPE.learning_rate, RECIPE.weight_decay, RECIPE.gradient_clip) == (0.5, 0.1, 1.0)
    written = parse_sweep("name: a\ngrid: {params: [1k]}\ntrain: {learning_rate: 0.25, gradient_clip: null}").train
    recipe = Recipe.resolve(written, {"adamw": {"weight_decay": 0.0}})
    assert (recipe.learning_rate, recipe.gradient_clip) == (0.25, None)


def test_auto_without_a_rule_for_the_optimizer_is_refused():
    train = parse_sweep("name: a\ngrid: {params: [1k]}\ntrain: {optimizer: sgd}").train
    with pytest.raises(BadInput, match=r"train\.learning_rate"):
        Recipe.resolve(train, RULES)


def test_warmup_stable_decay_rises_holds_and_falls_linearly():
    rates = factors()
    assert rates[:10] == pytest.approx([0.1 * (k + 1) for k in range(10)])
    assert set(rates[10:80]) == {1.0}
    assert rates[80:] == pytest.approx([(100 - k) / 21 for k in range(80, 100)])


def test_a_shared_trunk_stays_at_the_peak():
    assert replace(RECIPE, warmup_steps=0).rate_factor(10**6, None) == 1.0


def test_cosine_ends_at_a_tenth():
    rates = factors(schedule="cosine")
    assert rates[50] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=0.001)


def test_step_falls_at_its_milestones():
    rates = factors(schedule="step", milestones=(0.5, 0.75), decay_factor=0.1)
    assert (rates[49], rates[50], rates[75]) == pytest.approx((1.0, 0.1, 0.01))


def test_constant_never_falls():
    assert set(factors(schedule="constant")[10:]) == {1.0}
