"""The cells of a sweep as Ray Tune trials, each trained alone: what a user of Ray writes without scalaw."""

from __future__ import annotations

from typing import Any

import ray
from ray import tune
from threadpoolctl import threadpool_limits

from orchestrator.planning import make_plan
from orchestrator.planning.machine import usable_cores
from orchestrator.planning.tree import Stage
from workers.engine import TorchEngine

LOSSES = ("train_loss", "val_loss", "test_loss")
Chain = list[Stage]


def run_trials(sweep: Any, folder: str, *, reuse: bool) -> dict[str, dict[str, Any]]:
    """Run every cell of a sweep as a trial on one core; return ``steps`` and losses by cell id.

    Parameters
    ----------
    folder
        Where Tune writes its results.
    reuse
        Whether processes take one trial after another and keep their engine.
    """
    plan = make_plan(sweep, share=False)
    chains = [plan.tree.chain(root) for root in plan.tree.children[None]]
    ray.init("local", num_cpus=usable_cores(), include_dashboard=False, log_to_driver=False)
    trainable = tune.with_parameters(WarmTrial if reuse else plain_trial, context=plan.context, chains=chains)
    no_checkpoint = tune.CheckpointConfig(checkpoint_at_end=False)  # a class trainable is asked for one otherwise
    results = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"cell": tune.grid_search(list(range(len(chains))))},
        tune_config=tune.TuneConfig(reuse_actors=reuse),
        run_config=tune.RunConfig(storage_path=folder, verbose=0, checkpoint_config=no_checkpoint),
    ).fit()
    if results.errors:
        raise results.errors[0]
    metrics: list[Any] = [results[k].metrics for k in range(len(results))]
    ray.shutdown()
    return {each["cell_id"]: {name: each[name] for name in ("steps", *LOSSES)} for each in metrics}


def train_cell(engine: TorchEngine, chain: Chain) -> dict[str, Any]:
    """Train and measure one cell; return what its trial reports."""
    state = None
    for stage in chain[:-1]:
        state = engine.train(stage, state)
    row, cell = engine.measure(chain[-1], state), chain[-1].cell
    assert cell is not None
    return {"cell_id": cell.id, "steps": sum(stage.steps for stage in chain), **{name: row[name] for name in LOSSES}}


def plain_trial(config: dict[str, Any], context: Any, chains: list[Chain]) -> None:
    """Be a trial with a process of its own."""
    engine = TorchEngine(context)
    with threadpool_limits(limits=1):
        tune.report(train_cell(engine, chains[config["cell"]]))


class WarmTrial(tune.Trainable):
    """A trial whose process goes on to the next one."""

    def setup(self, config: dict[str, Any], context: Any = None, chains: Any = ()) -> None:
        """Make the engine, once a process."""
        self.chains, self.cell = chains, config["cell"]
        self.engine = TorchEngine(context)
        self.limits = threadpool_limits(limits=1)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become the trial of another cell."""
        self.cell = new_config["cell"]
        return True

    def step(self) -> dict[str, Any]:
        """Train and measure the cell."""
        return {**train_cell(self.engine, self.chains[self.cell]), "done": True}
