"""Batches of runs, each chosen by what it tells about the targets for what it costs beside those before it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.check import QUALITIES
from orchestrator.fitting.selection.costs import Costs
from orchestrator.fitting.selection.posterior import Belief, Rows, belief_in, first_belief
from orchestrator.fitting.selection.prior_plan import COST_POWER, PriorPlan

#: Laws that choose: those whose solution is a matter of milliseconds; all of them are fitted to what was chosen.
LAWS_ASKED: Final = ("product", "product_floor", "chinchilla", "data_constrained", "kaplan", "additive")
#: What plans before any loss is known.
PLANNED_BY: Final = ("kaplan_floor",)
#: A run costs at least this share of the budget: measuring is never free.
LEAST_SHARE: Final = 1e-3
#: Standard deviations of a normal either side of the middle that hold 90 %.
NINETY: Final = 1.6449


@dataclass(frozen=True, slots=True)
class Choice:
    """A run that was chosen, and why.

    Parameters
    ----------
    point
        Its index.
    gain
        Share of the targets' mean variance that it is expected to take off, over the laws.
    cost
        What it costs beside those chosen before it.
    laws
        Laws that said so; none at the beginning.
    """

    point: int
    gain: float
    cost: float
    laws: tuple[str, ...]


@dataclass
class Selector:
    """Chooses runs until the budget is spent or the targets are known.

    Parameters
    ----------
    columns
        Axes of all points, candidates and targets, shape (points,).
    candidates, targets
        Indices of points; one may be both.
    costs
        Of the candidates, in their order.
    budget
        What all chosen runs may cost.
    batch
        Runs chosen at a time.
    interval
        Width of the 90 % interval of the targets' log loss below which nothing more is chosen; None: never.
    target
        What is measured, for `belief_in`.
    laws
        Registry names; those that the measured runs can't carry yet are passed over.
    seed
        Decides between candidates that are worth the same within one per cent.
    """

    columns: Mapping[str, FloatArray]
    candidates: Rows
    targets: Rows
    costs: Costs
    budget: float
    batch: int = 6
    interval: float | None = None
    target: str = "loss"
    laws: Sequence[str] = LAWS_ASKED
    seed: int = 0
    width: float | None = None
    _chosen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        relevant = np.union1d(self.candidates, self.targets)
        self._plan = PriorPlan.of(self.columns, relevant) if self.target not in QUALITIES else None
        self._random = np.random.default_rng(self.seed)
        self._place = {int(point): k for k, point in enumerate(self.candidates)}

    def take(self, point: int) -> None:
        """Pay for a run that is there already."""
        self._chosen.add(point)
        if self._plan is not None:
            self._plan.learn(point)
        self.costs.pay(self._place[point])

    def next_batch(self, losses: Mapping[int, float], lost: Collection[int] = ()) -> list[Choice]:
        """Return the runs to make next, best first; none where the budget is spent or the targets are known.

        Parameters
        ----------
        losses
            What was measured so far, by point.
        lost
            Points that can't be measured.
        """
        if self._plan is not None:
            return self._planned(self._plan, losses, lost)
        beliefs = self._beliefs(losses)
        self.width = _width(list(beliefs.values()), self.targets) if "" not in beliefs else None
        if self.interval is not None and self.width is not None and self.width <= self.interval:
            return []
        self._chosen.update(lost)
        names = tuple(name for name in beliefs if name)
        found: list[Choice] = []
        while len(found) < self.batch and (choice := self._best(list(beliefs.values()), names)) is not None:
            self.costs.pay(self._place[choice.point])
            self._chosen.add(choice.point)
            for belief in beliefs.values():
                belief.learn(choice.point)
            found.append(choice)
        return found

    def _planned(self, plan: PriorPlan, losses: Mapping[int, float], lost: Collection[int]) -> list[Choice]:
        """Return the next runs by what they tell before any loss is known; rows that became free are always taken."""
        self._chosen.update(lost)
        self.width = float(2 * NINETY * np.sqrt(np.mean(plan.variance(self.targets)))) if losses else None
        if self.interval is not None and self.width is not None and self.width <= self.interval:
            return []
        found: list[Choice] = []
        while len(found) < self.batch:
            cost = self.costs.marginal()
            free = np.array([int(point) not in self._chosen for point in self.candidates])
            affordable = np.flatnonzero(free & (self.costs.spent + cost <= self.budget * (1 + 1e-9)))
            if not affordable.size:
                break
            points = self.candidates[affordable]
            gain = plan.gains(points, self.targets)
            worth = gain / np.maximum(cost[affordable], LEAST_SHARE * self.budget) ** COST_POWER
            best = int(np.argmax(worth * (1 + 1e-6 * self._random.random(worth.size))))
            choice = Choice(int(points[best]), float(gain[best]), float(cost[affordable[best]]), PLANNED_BY)
            self.costs.pay(self._place[choice.point])
            self._chosen.add(choice.point)
            plan.learn(choice.point)
            found.append(choice)
        return found

    def choose_all(self, loss: FloatArray) -> list[Choice]:
        """Return what would be chosen to the end, from losses that are known, shape (points,)."""
        chosen: list[Choice] = []
        while batch := self.next_batch({choice.point: float(loss[choice.point]) for choice in chosen}):
            chosen += batch
        return chosen

    def _beliefs(self, losses: Mapping[int, float]) -> dict[str, Belief]:
        rows: Rows = np.array(sorted(losses), dtype=np.intp)
        loss = np.ones(next(iter(self.columns.values())).size)
        loss[rows] = [losses[int(row)] for row in rows]
        beliefs = {name: belief_in(name, self.columns, loss, rows, self.target) for name in self.laws}
        known = {name: belief for name, belief in beliefs.items() if belief is not None}
        return known or {"": first_belief(self.columns, rows)}

    def _best(self, beliefs: Sequence[Belief], names: tuple[str, ...]) -> Choice | None:
        cost = self.costs.marginal()
        free = np.array([int(point) not in self._chosen for point in self.candidates])
        affordable = np.flatnonzero(free & (self.costs.spent + cost <= self.budget * (1 + 1e-9)))
        if not affordable.size:
            return None
        points = self.candidates[affordable]
        gain = np.mean([belief.gains(points, self.targets) for belief in beliefs], axis=0)
        worth = gain / np.maximum(cost[affordable], LEAST_SHARE * self.budget)
        best = int(np.argmax(worth * (1 + 0.01 * self._random.random(worth.size))))
        return Choice(int(points[best]), float(gain[best]), float(cost[affordable[best]]), names)


def _width(beliefs: Sequence[Belief], targets: Rows) -> float:
    """Width of the 90 % interval of the targets' log loss, of the laws' own variance and of their disagreement."""
    own = np.mean([belief.variance(targets) for belief in beliefs], axis=0)
    apart = np.var([belief.predicted[targets] for belief in beliefs if belief.predicted is not None], axis=0)
    return float(2 * NINETY * np.sqrt(np.mean(own + apart)))
