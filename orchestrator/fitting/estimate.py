"""`fit`: try laws on a table, each with intervals and a held-out error, and choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from orchestrator.errors import BadInput
from orchestrator.fitting.average.build import average_of
from orchestrator.fitting.average.fit import AVERAGE
from orchestrator.fitting.axes import AXES, MEANING, FloatArray, Mask, law_axes, training_cost, varies
from orchestrator.fitting.bootstrap import FEWEST_CLUSTERS, RESAMPLES, Resample, no_clusters, replicas
from orchestrator.fitting.caution import Caution
from orchestrator.fitting.check import QUALITIES, check_table, missing_axes, obstacle, one_of, used_axes
from orchestrator.fitting.constrained import Constrained, Fixes, applies, parse_fixes
from orchestrator.fitting.diagnostics import LEAST_DEVIATION, best_warnings, law_warnings, table_warnings
from orchestrator.fitting.groups import Ids, group_ids, move_together, sizes
from orchestrator.fitting.identifiability import at_bounds, directions, identifiability, unidentified
from orchestrator.fitting.law import Law
from orchestrator.fitting.noise import NOISES, Noise, cost_noise, seed_noise, solved
from orchestrator.fitting.profile import ILL_CONDITIONED, profile_ends
from orchestrator.fitting.ranking import Ahead, ranking
from orchestrator.fitting.result import Estimate, FitReport, LawFit
from orchestrator.fitting.rising import rising
from orchestrator.fitting.sample import Sample, centred
from orchestrator.fitting.separability import kinds, separability
from orchestrator.fitting.solver.huber import huber_sum
from orchestrator.fitting.validation import Fold, HoldOut, errors_ahead, folds, held_out_rows
from orchestrator.spec.registries import LAWS

#: Residuals kept for the noise of predictions.
MOST_RESIDUALS = 1000
#: Replicas from which the ends of a 90 % interval can be read.
FEWEST_DRAWS = 20
#: Folds whose errors stand for those of runs that are dearer still: a fifth of the rows.
LAST_FOLDS = 2
#: Column that says which rows were compressed alike; without it equal ε stands for that.
VARIANT = "variant"
#: Condition number from which a law's parameters are said to be hardly told apart.
FLAT_VALLEY = 150.0
#: Numbers beyond this are stored as this, so that JSON and the store can hold them.
LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class _Task:
    """The table as arrays: columns, the loss (1/quality for a quality), held-out rows, folds, and how to fit.

    Compressed rows that a law doesn't know how to take are ``left_out``; where none are held out, there are no folds.
    """

    columns: Mapping[str, FloatArray]
    loss: FloatArray
    target: str
    held: Mask | None
    no_held: str
    bootstrap: int
    seed: int
    noise: Noise
    resample: Resample
    folds: Sequence[Fold] = ()
    left_out: int = 0
    groups: Ids | None = None
    fixes: Fixes = field(default_factory=dict)


def fit(
    table: pa.Table,
    *,
    target: str = "loss",
    laws: Sequence[str] | None = None,
    hold_out: HoldOut = "largest",
    bootstrap: int = 1000,
    seed: int = 0,
    noise: str = "equal",
    resample: str = "case",
    average: bool | None = None,
    group: str | None = None,
    fix: str | Fixes | None = None,
) -> FitReport:
    """Fit scaling laws to a table of runs.

    Parameters
    ----------
    table
        One row a run: columns among ``n, d, e, ft_d, ft_e, eps, unique_d`` and the target; others are ignored.
        ``d`` is unique data when ``e`` stands beside it, and data seen in total when ``unique_d`` is given or
        neither is.
    target
        Column to predict. ``accuracy`` and its like (`check.QUALITIES`) grow with quality: the product law is fitted
        to them as they are (P = accuracy), and the laws of a loss are left out, because an error rate has a ceiling
        that they don't know.
    laws
        Registry names; None tries every law whose axes the table has. ``"average"`` is the default answer.
    hold_out
        Rows of a second fit's test: ``"largest"`` (largest n or d), ``"none"``, or the dearest share, such as 0.2.
    bootstrap
        Replicas for the 90 % intervals; 0 gives none.
    seed
        Of the replicas; the same table and seed give the same report.
    noise
        What rows count for: ``"equal"``, all alike; ``"seeds"``, less where the seeds of a point disagree;
        ``"heteroscedastic"``, by a noise that goes with a power of n·d·e, which is told from the residuals.
    resample
        What a replica is made of: ``"case"``, rows drawn with replacement; ``"residual"``, all rows with errors drawn
        from the residuals; ``"cluster"``, the rows of one n drawn together.

    group
        A column whose equal values name rows that hang together, such as checkpoints of one run: they are drawn
        together, and count as one piece of evidence in the choice of a law.
    fix
        Parameters that are tied or held, ``alpha=beta,E=1.69``; laws without them are left out.
    average
        Whether the default answer is made of the rows, which then is ``best``; by default where no laws are named.

    Returns
    -------
    FitReport
        A law that the table can't carry is left out, with a warning that says which cells to add; ``best`` is None
        where that happens to all. Else it is the default answer (`average`), or, of laws that were named, the one that
        predicts dearer rows best from cheaper ones, or a simpler one that does so nearly as well (`ranking.ranking`);
        ``best_law`` is that law in either case.

    Raises
    ------
    BadInput
        If the table, a law's name, ``hold_out``, ``bootstrap``, ``noise`` or ``resample`` is wrong.
    """
    _check(bootstrap, laws)
    if laws is not None and AVERAGE in laws:
        laws, average = [name for name in laws if name != AVERAGE] or None, True
    average = laws is None if average is None else average
    words = one_of("noise", noise, NOISES), one_of("resample", resample, RESAMPLES)
    task = replace(
        _task(table, target, hold_out, bootstrap, seed, *words), groups=group_ids(table, group), fixes=parse_fixes(fix)
    )
    axes, loss = task.columns, task.loss
    warnings = [*table_warnings(axes, loss, quality=target in QUALITIES), *rising(axes, loss)]
    if noise == "seeds" and seed_noise(centred(axes, loss)[0]) is None:
        warnings.append("no point of the axes has several seeds: rows count alike; add seeds, or leave noise out")
    fits, ahead, reasons = _fit_laws(task, laws) if varies(loss) else ({}, {}, [])
    reasons = [*warnings, *reasons]
    warnings = [*reasons, *([] if fits else ["no law could be fitted"])]
    variants = (table[VARIANT] if VARIANT in table.column_names else table["eps"]).to_pylist() if "eps" in axes else []
    apart = separability(axes, loss, variants, bootstrap=bootstrap, seed=seed)
    if apart is not None and not apart.separable:
        warnings.append(apart.verdict)
    warnings += kinds(axes, variants) if VARIANT in table.column_names else []
    ranked = ranking(fits, ahead, _blocks(task))
    warnings += best_warnings(fits[ranked.names[0]]) if fits else []
    fits = {name: replace(fit, rolling_rmse_log=ranked.rmse_log.get(name)) for name, fit in fits.items()}
    best_law = fits[ranked.names[0]] if fits else None
    answer = None
    if average:
        held, quality = task.held, target in QUALITIES
        answer = average_of(axes, loss, target, held, fits, ahead, ranked.names, quality=quality)
    return FitReport(
        fits=fits if answer is None else {AVERAGE: answer, **fits},
        best=answer or best_law,
        best_law=best_law,
        ranking=ranked.names if answer is None else [AVERAGE, *ranked.names],
        near=ranked.near,
        warnings=warnings,
        target=target,
        n_rows=table.num_rows,
        separability=apart,
        reasons=reasons,
    )


def _task(
    table: pa.Table, target: str, hold_out: HoldOut, bootstrap: int, seed: int, noise: Noise, resample: Resample
) -> _Task:
    columns = check_table(table, target)
    loss = 1.0 / columns[target] if target in QUALITIES else columns[target]
    axes = {name: columns[name] for name in AXES if name in columns and name != target}
    held = held_out_rows(axes, hold_out)
    no_held = "the axes don't vary" if hold_out not in (None, "none") else ""
    ahead_of = folds(axes) if held is not None else ()
    return _Task(axes, loss, target, held, no_held, bootstrap, seed, noise, resample, ahead_of)


def _check(bootstrap: int, laws: Sequence[str] | None) -> None:
    if isinstance(bootstrap, bool) or not isinstance(bootstrap, int) or bootstrap < 0:
        raise BadInput(
            f"bootstrap {bootstrap!r}: write a whole number of replicas, such as 1000, or 0 for no intervals"
        )
    if laws is not None and not laws:
        raise BadInput(f"no laws were named; known: {', '.join(LAWS.names())}")


def _fit_laws(task: _Task, laws: Sequence[str] | None) -> tuple[dict[str, LawFit], dict[str, Ahead], list[str]]:
    """Return the fits, their errors ahead, and why laws are left out; ``laws`` as `fit` takes them."""
    bare = _uncompressed(task)
    fits: dict[str, LawFit] = {}
    ahead: dict[str, Ahead] = {}
    reasons: list[str] = []
    for name in LAWS.names() if laws is None else dict.fromkeys(laws):
        try:
            law: Law = LAWS.load(name)()
        except BadInput as refusal:
            if laws is not None:
                raise
            reasons.append(f"{name} is left out: {refusal}")
            continue
        part = task if "eps" in (*law.required, *law.optional) else bare
        axes = law_axes(part.columns, data_seen=law.data_seen)
        if laws is None and not (law.fits_quality if task.target in QUALITIES else law.fits_loss):
            continue
        if laws is None and (missing_axes(law, axes) or 0 < len(used_axes(law, axes)) < law.fewest_axes):
            continue
        why = obstacle(law, axes, task.target)
        if why is None and not applies(law, used_axes(law, axes), task.fixes):
            why = f"it has no {' or no '.join(_fixed_names(task.fixes))}, which `fix` names"
        if why is None:
            fits[name], ahead[name] = _fit_law(law, axes, part)
        else:
            reasons.append(f"{name} is left out: {why}")
    return fits, ahead, reasons


def _fixed_names(fixes: Fixes) -> list[str]:
    return list(dict.fromkeys(name for pair in fixes.items() for name in pair if isinstance(name, str)))


def _blocks(task: _Task) -> list[Ids] | None:
    """Return for each fold which rows ahead are one piece of evidence: those of a group, or of one size."""
    if task.groups is not None:
        ids = task.groups
    elif "n" in task.columns:
        ids = np.unique(np.round(np.log(task.columns["n"]), 9), return_inverse=True)[1].reshape(-1)
    else:
        return None
    return [ids[fold.ahead] for fold in task.folds]


def _uncompressed(task: _Task) -> _Task:
    """Return the rows with ε = 1, which a law that doesn't know ε is fitted to; all rows where there are none."""
    if "eps" not in task.columns:
        return task
    whole = np.isclose(task.columns["eps"], 1.0, rtol=1e-9, atol=0)
    if whole.all() or not whole.any():
        return task
    columns = {name: values[whole] for name, values in task.columns.items() if name != "eps"}
    return replace(
        task,
        columns=columns,
        loss=task.loss[whole],
        held=None if task.held is None else task.held[whole],
        folds=folds(columns) if task.folds else (),
        left_out=int((~whole).sum()),
        groups=None if task.groups is None else np.unique(task.groups[whole], return_inverse=True)[1].reshape(-1),
    )


def _fit_law(law: Law, all_axes: Mapping[str, FloatArray], task: _Task) -> tuple[LawFit, Ahead]:
    """Fit one law to all rows, with intervals and its errors on rows held out and rows ahead."""
    axes = used_axes(law, all_axes)
    sample, units = centred(axes, task.loss)
    work = Constrained.of(law, axes, task.fixes, units) if task.fixes else law
    sample, coords, power = solved(work, sample, task.noise)
    residuals = sample.log_loss - work.log_loss(coords[None], sample.log_axes)[0]
    resample, groups, together = _resampling(task, sample, residuals)
    no_interval = no_clusters(sample, groups) if resample == "cluster" and task.bootstrap else None
    wanted = 0 if no_interval else task.bootstrap
    drawn = replicas(work, sample, coords, wanted, task.seed, resample, groups)
    if isinstance(work, Constrained):
        coords, drawn = work.expanded(coords), work.expanded(drawn)

    def params(values: FloatArray) -> FloatArray:
        return np.clip(law.from_coords(law.shift(values, units.axes, units.loss), axes), -LARGEST, LARGEST)

    parameters = law.parameters(axes)
    solution, draws = params(coords[None])[0], params(drawn)
    spread = float(((sample.log_loss - sample.log_loss.mean()) ** 2).sum())
    r2 = 1.0 - float((residuals**2).sum()) / spread
    ends = np.quantile(draws, [0.05, 0.95], axis=0) if len(draws) else None
    seen, edges = directions(law, sample, coords), at_bounds(law, sample, coords)
    told = identifiability(parameters, seen, list(edges))
    if ends is not None and not told.condition_number < ILL_CONDITIONED:
        profile = profile_ends(law, sample, coords)
        ends = ends if profile is None else _hull(ends, params(profile))
    withheld = unidentified(law, sample, seen, edges, ends, float(task.loss.min()))
    held_out, no_held = _held_out(law, axes, task)
    for name in task.fixes:
        withheld.pop(name, None)
    warnings = law_warnings(law, all_axes, axes, residuals, r2, solution, ends, withheld)
    if task.left_out:
        warnings.append(f"it doesn't know compression: {task.left_out} compressed rows are left out")
    if told.condition_number > FLAT_VALLEY:
        said = f"condition number {told.condition_number:.3g}: these rows hardly tell its parameters apart"
        warnings.append(Caution(said, "ill_conditioned", condition_number=min(told.condition_number, LARGEST)))
    if together:
        warnings.append(together)
    if no_held:
        warnings.append(f"no held-out error: {no_held}")
    if 0 < len(draws) < FEWEST_DRAWS:
        warnings.append(f"90 % intervals from {len(draws)} replicas say little; ask for {FEWEST_DRAWS} at least")
    if no_interval:
        warnings.append(f"no intervals: {no_interval}")
    if wanted and len(draws) < 0.9 * wanted:
        warnings.append(
            f"{wanted - len(draws)} of {wanted} bootstrap replicas had too few distinct cells; "
            "intervals are from the others; add cells"
        )
    names = [p.name for p in parameters]
    estimates = {
        name: Estimate(None, None, None)
        if name in withheld
        else Estimate(float(solution[k]), *((None, None) if ends is None else (float(ends[0, k]), float(ends[1, k]))))
        for k, name in enumerate(names)
    }
    random = np.random.default_rng(task.seed)
    kept = random.permutation(residuals.size)[:MOST_RESIDUALS]
    spread_at = cost_noise(sample.log_axes, power)
    ahead = errors_ahead(work, sample, task.folds)
    last = np.concatenate([np.zeros(0), *[errors for errors in ahead if errors is not None][-LAST_FOLDS:]])
    found = LawFit(
        law=law.name,
        target=task.target,
        axes=tuple(axes),
        params=estimates,
        objective=huber_sum(residuals),
        r2_log=r2,
        held_out_rmse_log=held_out,
        n_rows=sample.rows,
        warnings=warnings,
        solution=solution,
        draws=draws,
        residuals=(residuals / spread_at)[kept] * np.sqrt(sample.rows / (sample.rows - len(names))),
        seed=task.seed,
        noise_power=power,
        noise_cost=float(np.exp(np.log(training_cost(axes)).mean())),
        identifiability=told,
        withheld=withheld,
        ahead=random.permutation(last)[:MOST_RESIDUALS],
        dearest=float(training_cost(axes).max() * (1 + 1e-9)),
    )
    return found, ahead


def _hull(ends: FloatArray, profile: FloatArray) -> FloatArray:
    """Return the ends of intervals (2, P) widened by those of profiles; nan there widens nothing."""
    return np.array([np.fmin(ends[0], profile[0]), np.fmax(ends[1], profile[1])])


def _resampling(task: _Task, sample: Sample, residuals: FloatArray) -> tuple[Resample, Ids | None, Caution | None]:
    """Return what a replica draws: whole groups where they are named, or where rows of one size move together."""
    if task.resample != "case":
        return task.resample, task.groups, None
    if task.groups is not None:
        enough = task.groups.max() + 1 >= FEWEST_CLUSTERS
        return ("cluster" if enough else "case"), task.groups, None
    ids = sizes(sample)
    noisy = float(np.median(np.abs(residuals))) > LEAST_DEVIATION
    ratio = move_together(residuals, ids) if task.bootstrap and noisy else None
    if ratio is None:
        return "case", None, None
    said = (
        f"rows of one n move together (their residuals differ {ratio:.2g} times as much between sizes as within): they "
        "are drawn together, so that intervals are as wide as so few sizes allow"
    )
    return "cluster", ids, Caution(said, "rows_move_together", ratio=ratio)


def _held_out(law: Law, axes: Mapping[str, FloatArray], task: _Task) -> tuple[float | None, str]:
    """Return the error on held-out rows of a fit to the others, or None and what is missing."""
    if task.held is None:
        return None, task.no_held
    rest, count = ~task.held, int(task.held.sum())
    train = {name: values[rest] for name, values in axes.items()}
    without = f"without the {count} held-out of {rest.size} rows "
    still = [name for name in axes if name in law.optional and not (rest.any() and varies(train[name]))]
    if still or not rest.any():
        axis = (still or list(axes))[0]
        return None, f"{without}{MEANING[axis]} ({axis}) has one value; add a third value of {axis}"
    why = law.obstacle({name: np.log(values) for name, values in train.items()})
    if why is not None:
        return None, without + why
    sample, units = centred(train, task.loss[rest])
    work = Constrained.of(law, axes, task.fixes, units) if task.fixes else law
    at = solved(work, sample, task.noise)[1][None]
    coords = law.shift(work.expanded(at) if isinstance(work, Constrained) else at, units.axes, units.loss)
    test = {name: np.log(values[task.held]) for name, values in axes.items()}
    errors = law.log_loss(coords, test)[0] - np.log(task.loss[task.held])
    return float(np.sqrt(np.mean(errors * errors))), ""
