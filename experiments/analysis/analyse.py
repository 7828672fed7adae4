"""From runs to results: what `experiments.analysis.results` describes, computed."""

from collections.abc import Iterable, Sequence

import numpy as np

import envs
from fire.nearest import nearest

from .across import LEVELS, across_environments
from .contrasts import contrasts
from .divergence import continued, failing_return
from .methods import common_grid, summarise
from .notes import notes_on, notes_on_all, without_repeats
from .planned import notes_on_missing
from .records import Array, Run
from .results import Comparison, Options, Results, RunScores, Threshold
from .scoring import own_part, points, score

SHARE = 0.9  # of the best baseline


def analyse(runs: Sequence[Run], options: Options, trunks: Sequence[Run] = ()) -> Results:
    """Compare runs by agent and environment, and across environments where their scores are normalised."""
    if not runs:
        raise ValueError("no runs to compare: give run folders, or folders with runs below them")
    methods = list(dict.fromkeys(run.method for run in runs))
    for given in (options.baseline, options.reference):
        if given is not None and given not in methods:
            known = ", ".join(methods)
            raise ValueError(f"method {given!r} given; runs are of {known}; nearest is {nearest(given, methods)}")
    kept, repeated = without_repeats(runs)
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in kept:
        groups.setdefault((run.agent, run.env), []).append(run)
    comparisons = tuple(_compare(agent, env, group, options) for (agent, env), group in groups.items())
    across, left_out = across_environments(comparisons, options)
    ordered = dict.fromkeys(method.method for comparison in comparisons for method in comparison.methods)
    return Results(
        options=options,
        comparisons=comparisons,
        across=across,
        trunks=tuple(trunks),
        methods=_in_order(ordered, options)[0],
        notes=(*repeated, *notes_on_missing(runs, trunks), *notes_on_all(kept), *left_out),
    )


def _compare(agent: str, env: str, runs: Sequence[Run], options: Options) -> Comparison:
    names, baseline, reference = _in_order(dict.fromkeys(run.method for run in runs), options)
    failing = failing_return(env, runs)
    runs = continued(runs, failing)
    scored = {name: _scored([run for run in runs if run.method == name]) for name in names}
    threshold = _threshold(env, scored, reference, options)
    grid, levels = common_grid(list(scored.values())), _levels(scored.values())
    methods = tuple(summarise(name, scored[name], grid, levels, threshold, options) for name in names)
    found = contrasts({method.method: [method.runs] for method in methods}, baseline, reference, options)
    places = {run.branch.step if run.branch else None for run in runs}
    return Comparison(
        agent=agent,
        env=env,
        methods=methods,
        baseline=baseline,
        reference=reference,
        contrasts=found,
        threshold=threshold,
        references=envs.references(env),
        branch_step=next(iter(places)) if len(places) == 1 else None,
        notes=notes_on(methods, found, options, failing),
        failing=failing,
    )


def _in_order(methods: Iterable[str], options: Options) -> tuple[tuple[str, ...], str, str | None]:
    """Baseline first and reference last; and which these two are, here."""
    names = list(methods)
    fires = [name for name in names if name.partition("+")[0].partition(":")[0] == "fire"]
    usual = "fire" if "fire" in fires else next(iter(fires), None)
    reference = options.reference if options.reference in names else usual
    others = [name for name in names if name != reference] or names
    baseline = options.baseline if options.baseline in names else "none" if "none" in others else others[0]
    if reference == baseline:
        reference = None
    between = [name for name in names if name not in (baseline, reference)]
    return (baseline, *between, *([reference] if reference else [])), baseline, reference


def _scored(runs: Sequence[Run]) -> list[RunScores]:
    """By seed. Unfinished runs count where their method has no other one, in the curve alone."""
    any_ended = any(run.ended for run in runs)
    ordered = sorted(runs, key=lambda run: (run.seed, str(run.folder)))
    return [score(run, counted=run.ended or not any_ended) for run in ordered]


def _threshold(
    env: str, scored: dict[str, list[RunScores]], reference: str | None, options: Options
) -> Threshold | None:
    references = envs.references(env)
    finished = {name: [run for run in runs if run.final is not None] for name, runs in scored.items()}
    finished = {name: runs for name, runs in finished.items() if runs}
    bar = f"a human's score in {env}" if envs.is_atari(env) else f"the success bar of {env}"
    if isinstance(options.threshold, float | int):
        return Threshold(float(options.threshold), "as given")
    if options.threshold == "success":
        if references is None:
            raise ValueError(f"threshold success given; {env} has no success bar: give a return instead")
        return Threshold(references.success, bar)
    if not finished:
        return None
    best = [own_part(run.run, *points(run.run))[1].max() for runs in finished.values() for run in runs]
    if references is not None and max(best) >= references.success:
        return Threshold(references.success, bar)
    means = {name: float(np.mean([run.final for run in runs])) for name, runs in finished.items()}
    baselines = {name: value for name, value in means.items() if name != reference} or means
    name = max(baselines, key=lambda name: baselines[name])
    start = references.random if references is not None else 0.0
    if baselines[name] <= start:  # a share of it would be above it
        return Threshold(baselines[name], f"the best baseline's mean final return ({name})")
    above = "" if start == 0 else f" above a random policy's {start:.4g}"
    meaning = f"{SHARE:.0%} of the best baseline's mean final return{above} ({name}: {baselines[name]:.4g})"
    return Threshold(start + SHARE * (baselines[name] - start), meaning)


def _levels(scored: Iterable[Sequence[RunScores]]) -> Array | None:
    """Of the profiles: from below the worst final return to above the best."""
    finals = [run.final for runs in scored for run in runs if run.final is not None]
    if not finals:
        return None
    margin = 0.05 * (max(finals) - min(finals)) or 0.5
    return np.linspace(min(finals) - margin, max(finals) + margin, LEVELS)
