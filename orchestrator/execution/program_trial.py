"""How far a sweep's program may share, tried once for its sources, options, kind of device, world size and store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.errors import BadInput
from orchestrator.planning import Plan, make_plan
from orchestrator.planning.content_id import content_id
from orchestrator.programs.manifest import Sharing
from orchestrator.programs.program import Program
from orchestrator.spec import parse_sweep
from orchestrator.spec.sweep import Sweep
from orchestrator.store import Store
from workers.programs.check import Verdict, check_promises
from workers.programs.trial import Trials

#: Rises where the check tries more than it did.
CHECK_VERSION: Final = 1
#: A sweep for a program that is checked without one.
_BY_ITSELF: Final = """\
name: check
data: {source: program}
model: {family: program}
grid: {params: [10k]}
train: {learning_rate: 0.001, batch_size: 8, warmup_steps: 0}
"""


@dataclass(frozen=True)
class Trial:
    """What a program was found to keep of its promises.

    Parameters
    ----------
    key
        Of all that the finding depends on.
    level
        How far its cells share.
    verdict
        What was tried; ``None`` where nothing was.
    known
        Whether the store has it already.
    """

    key: str
    level: Sharing
    verdict: Verdict | None
    known: bool

    def record(self, store: Store) -> None:
        """Let the store know, so that it isn't tried again."""
        if self.verdict is not None and not self.known:
            store.save_verdict(self.key, self.verdict.to_json())


def check_program(
    program: Program, *, sweep: Sweep | None = None, tell: Callable[[str], None] = lambda _: None
) -> Verdict:
    """Try what a program promises, in the smallest size of a sweep, or in a size of its own choice.

    Raises
    ------
    BadInput
        If the sweep can't be planned with this program.
    """
    plan = make_plan(sweep or parse_sweep(_BY_ITSELF), program=program)
    with _trials(plan, program) as trials:
        return check_promises(trials, tell)


def tried(plan: Plan, program: Program, store: Store, say: Callable[[str], None]) -> Trial:
    """Return what a program keeps of its promises: from the store, or by trying it.

    Raises
    ------
    BadInput
        If what it does means nothing: it counts another model than it described, or ignores its task.
    """
    name, key = program.manifest.name, _key(plan, program)
    on_gpu = plan.sweep.resources.gpus_per_worker > 0
    document = store.verdict(key)
    if document is None and on_gpu and shutil.which("nvidia-smi") is None:
        say(
            f"warning: what {name} promises can't be tried here, as this machine has no GPU: its cells share nothing; "
            "run `scalaw program check` where it trains"
        )
        return Trial(key, Sharing.NONE, None, known=False)
    if document is None:
        say(f"trying what {name} promises (sharing: {program.manifest.sharing.value}), once for this store")
        with _trials(plan, program) as trials:
            verdict = check_promises(trials)
    else:
        verdict = Verdict.from_json(document)
    for promise in verdict.broken:
        needs = promise.level.value if promise.level else "any figure"
        say(f"warning: {name} does not keep what {needs} needs: {promise.name}: {promise.broken}")
    if verdict.level is None:
        raise BadInput(f"{name} can't be swept: {verdict.broken[-1].name}: {verdict.broken[-1].broken}")
    if verdict.level is not program.manifest.sharing:
        say(f"warning: {name} promises {program.manifest.sharing.value} and is taken for {verdict.level.value}")
    return Trial(key, verdict.level, verdict, known=document is not None)


def _key(plan: Plan, program: Program) -> str:
    resources, manifest = plan.sweep.resources, program.manifest
    about: dict[str, Any] = {
        "check": CHECK_VERSION,
        "program": program.digest,
        "declared": [
            manifest.sharing.value,
            manifest.data_prefix,
            *([] if manifest.weights is None else [manifest.weights]),
        ],
        "options": plan.sweep.model.options,
        "on_gpu": resources.gpus_per_worker > 0,
        "world_size": resources.world_size,
        "threads": resources.cpus_per_worker,
    }
    return content_id(about)


def _trials(plan: Plan, program: Program) -> Trials:
    cell = min(plan.cells, key=lambda each: each.shape.params_total)
    resources = plan.sweep.resources
    return Trials(
        program,
        plan.sweep.model.options["options"],
        cell.shape,
        plan.context.manifest,
        cell.recipe,
        threads=resources.cpus_per_worker,
        on_gpu=resources.gpus_per_worker > 0,
        seed=cell.seed,
    )
