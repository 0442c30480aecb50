"""What the plug-ins in a file promise, tried: the suites that ours pass, on theirs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.errors import BadInput, ScalawError, UnbuildableSize
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.spec import Sweep, load_sweep, parse_sweep
from orchestrator.spec.plugins.admission import admit
from orchestrator.spec.plugins.code import PluginCode
from orchestrator.spec.plugins.importing import blamed, import_plugin
from orchestrator.spec.plugins.kinds import Found, plugins_in
from orchestrator.spec.registries import COMPRESSORS, FAMILIES, LAWS, METRICS, OPTIMIZERS, SCHEDULES, SOURCES

#: Data on which a family is tried that comes without some of its own, and without a sweep.
COMMON_DATA: Final = (
    {"source": "digits", "max_examples": 256, "eval_examples": 64},
    {"source": "python-stdlib", "max_examples": 256, "eval_examples": 32},
)
#: Sizes that are asked for until two can be built.
LADDER: Final = tuple(int(step * 10**power) for power in range(2, 10) for step in (1, 3))


@dataclass(frozen=True)
class Check:
    """One suite on one plug-in.

    Parameters
    ----------
    subject
        ``model family mlp``.
    suite
        What is tried, in a few words.
    run
        Returns a sentence for each promise that is broken.
    """

    subject: str
    suite: str
    run: Callable[[], list[str]]


def plugin_checks(paths: Sequence[str | os.PathLike[str]], sweep: str | os.PathLike[str] | None = None) -> list[Check]:
    """Return what there is to try of plug-ins; to name them is the consent to run them.

    Parameters
    ----------
    paths
        Files and folders, as `load_sweep` takes them.
    sweep
        A YAML whose data and options families, sources and optimizers are tried with; its grid is not trained.

    Raises
    ------
    BadInput
        If one can't be imported, or the sweep is wrong.
    """
    codes = admit(paths)
    given = None if sweep is None else load_sweep(sweep, plugins=paths)
    found = [(one, code) for code in codes for one in plugins_in(import_plugin(code), code)]
    return [check for one, code in found for check in _checks(one, code, [other for other, _ in found], given)]


def check_plugin(path: str | os.PathLike[str], *, sweep: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Try what the plug-ins in a file or folder promise.

    Parameters
    ----------
    path
        As `load_sweep` takes it; to name it is the consent to run it.
    sweep
        A YAML whose data and options are tried; its grid is not trained.

    Returns
    -------
    dict
        ``ok``, and ``checks`` with ``subject, suite, broken``.

    Raises
    ------
    BadInput
        If it can't be imported, or the sweep is wrong.
    """
    checks = [
        {"subject": check.subject, "suite": check.suite, "broken": check.run()}
        for check in plugin_checks([path], sweep)
    ]
    return {"ok": not any(check["broken"] for check in checks), "checks": checks}


def _checks(one: Found, code: PluginCode, beside: Sequence[Found], sweep: Sweep | None) -> Iterator[Check]:
    subject = f"{one.registry.kind} {one.name}"
    for suite, run in _SUITES[one.registry.group](one, beside, sweep):
        yield Check(subject, suite, _guarded(code, run))


def _guarded(code: PluginCode, run: Callable[[], list[str]]) -> Callable[[], list[str]]:
    """Return a check that tells what somebody's code raises in one line."""

    def guarded() -> list[str]:
        try:
            return run()
        except ScalawError as refusal:
            return [str(refusal)]
        except Exception as error:  # whatever somebody's code raises is what the check has found
            return [blamed(code, error, "fails")]

    return guarded


Suites = Iterator[tuple[str, Callable[[], list[str]]]]


def _of_family(one: Found, beside: Sequence[Found], sweep: Sweep | None) -> Suites:
    def counts() -> list[str]:
        from workers.families.conformance import broken_promises  # torch

        plan = _plan(_tried(sweep, beside, family=one.name), True)
        sizes = sorted({cell.shape.params_non_embedding for cell in plan.cells})
        family = FAMILIES.load_training(one.name)()
        return broken_promises(family, plan.context.model_options, plan.context.manifest, sizes)

    yield "counts, FLOPs ±2 %, first weights, groups", counts
    yield "determinism, exact fork, resume, randomness (I9)", lambda: _training(_tried(sweep, beside, family=one.name))


def _of_source(one: Found, beside: Sequence[Found], sweep: Sweep | None) -> Suites:
    def promises() -> list[str]:
        from workers.sources.conformance import broken_promises  # torch

        source = SOURCES.load(one.name)()
        chosen = sweep is not None and sweep.data.source == one.name
        options = sweep.data.options if chosen and sweep is not None else source.Options().model_dump(mode="json")
        return broken_promises(source, options)

    yield "manifest, sizes, batches", promises


def _of_optimizer(one: Found, beside: Sequence[Found], sweep: Sweep | None) -> Suites:
    yield "determinism, exact fork, resume", lambda: _training(_tried(sweep, (), optimizer=one.name))


def _of_schedule(one: Found, beside: Sequence[Found], sweep: Sweep | None) -> Suites:
    def promises() -> list[str]:
        from orchestrator.planning.schedules.conformance import broken_promises

        return broken_promises(SCHEDULES.load(one.name)())

    yield "rates and forks", promises
    if getattr(one.entry, "ending", None) is not None:
        yield "exact fork, resume", lambda: _training(_tried(sweep, (), schedule=one.name))


def _of_compressor(one: Found, beside: Sequence[Found], sweep: Sweep | None) -> Suites:
    def promises() -> list[str]:
        from workers.compressors.conformance import broken_promises  # torch

        tried = [c for c in (sweep.grid.compression if sweep else ()) if c.method == one.name]
        try:
            options = tried or [one.entry.Options(method=one.name)]
        except ValueError:
            return ["it can be tried: its Options need values; give `sweep` with a grid.compression that names it"]
        planned, trained = COMPRESSORS.load(one.name)(), COMPRESSORS.load_training(one.name)()
        return [broken for each in options for broken in broken_promises(planned, trained, each)]

    yield "options, states, structure", promises


def _of_law(one: Found, beside: Sequence[Found], sweep: Sweep | None) -> Suites:
    def promises() -> list[str]:
        from orchestrator.fitting.conformance import broken_promises

        return broken_promises(LAWS.load(one.name)())

    yield "slopes, units, recovery", promises


def _of_metric(one: Found, beside: Sequence[Found], sweep: Sweep | None) -> Suites:
    def promises() -> list[str]:
        from workers.tasks.conformance import broken_promises

        return broken_promises(METRICS.load(one.name)())

    yield "questions, scores", promises


_SUITES: Final[dict[str, Callable[[Found, Sequence[Found], Sweep | None], Suites]]] = {
    registry.group: suites
    for registry, suites in (
        (FAMILIES, _of_family),
        (SOURCES, _of_source),
        (OPTIMIZERS, _of_optimizer),
        (SCHEDULES, _of_schedule),
        (COMPRESSORS, _of_compressor),
        (LAWS, _of_law),
        (METRICS, _of_metric),
    )
}


def _training(document: dict[str, Any]) -> list[str]:
    from workers.conformance import broken_promises  # torch

    small = {**document, "grid": {**document["grid"], "params": document["grid"]["params"][:1]}}
    return broken_promises(lambda share: _plan(small, share))


def _plan(document: dict[str, Any], share: bool) -> Plan:
    return make_plan(parse_sweep(json.dumps(document), name="the sweep that is tried"), share=share)


def _tried(
    sweep: Sweep | None,
    beside: Sequence[Found],
    *,
    family: str | None = None,
    optimizer: str = "adamw",
    schedule: str = "wsd",
) -> dict[str, Any]:
    """Return a small sweep that a plug-in is tried in, as a YAML has it: two sizes, lengths with common beginnings.

    Raises
    ------
    BadInput
        If the family reads none of the data that there is.
    """
    train = {
        "optimizer": optimizer, "learning_rate": 0.002, "weight_decay": 0.01, "gradient_clip": 1.0, "batch_size": 8,
        "warmup_steps": 2, "schedule": schedule,
    }  # fmt: skip
    model: dict[str, Any] = {"family": family or "resnet"}
    data: Sequence[dict[str, Any]] = COMMON_DATA
    own: list[dict[str, Any]] = []
    if sweep is not None and (family is None or sweep.model.family == family):
        model = sweep.model.flat()
        data = [{**sweep.data.flat(), "max_examples": None, "eval_examples": 64}]
    elif family is not None:
        own = [{"source": one.name, "eval_examples": 64} for one in beside if one.registry is SOURCES]
        data = [*own, *COMMON_DATA]
    refusals = []
    for chosen in data:
        document = {"name": "tried", "data": chosen, "model": model, "train": train, "inference": {"measure": False}}
        try:
            sizes = _two_sizes(document)
            examples = _plan({**document, "grid": {"params": sizes[:1]}}, True).context.manifest.train_examples
        except BadInput as refusal:
            if len(own) == 1:  # these are what it is for
                raise
            refusals.append(f"{chosen['source']}: {refusal}")
            continue
        full = min(examples, 96)
        grid = {"params": sizes, "data_fraction": [0.5, 1.0], "epochs": [1, 2]}
        return {**document, "data": {**chosen, "max_examples": full}, "grid": grid}
    raise BadInput(
        f"there are no data that the family {model['family']} reads; name a sweep with some as `sweep` "
        f"({'; '.join(refusals)})"
    )


def _two_sizes(document: dict[str, Any]) -> list[int]:
    found: dict[int, int] = {}
    last: BadInput | None = None
    for asked in LADDER:
        try:
            (cell,) = _plan({**document, "grid": {"params": [asked]}}, True).cells
        except BadInput as refusal:
            if not isinstance(refusal.__cause__, UnbuildableSize):
                raise
            last = refusal
            continue
        found.setdefault(cell.shape.params_non_embedding, asked)
        if len(found) == 2:
            return list(found.values())
    if found:
        return list(found.values())
    raise BadInput(f"no size between {LADDER[0]:,} and {LADDER[-1]:,} can be built: {last}")
