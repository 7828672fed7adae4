"""Computes the results of a comparison, as `fire_rl.experiments.analysis.results` describes them, from its runs."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from fire_rl import envs
from fire_rl.training.metric import Metric

from .across import across_environments
from .contrasts import contrasts, family, in_order, require_known
from .found import notes_on_missing
from .levels import continued, failing_value, threshold_of
from .method_results import MethodResults, RunScores
from .methods import LEVELS, Resampling, common_grid, summarise
from .notes import notes_on, notes_on_all, without_repeats
from .records import Array, Run
from .results import Comparison, Options, Results
from .scoring import score


def analyse(runs: Sequence[Run], options: Options, trunks: Sequence[Run] = ()) -> Results:
    """Compare the runs of each agent, environment and metric, and combine environments that have normalised scores."""
    if not runs:
        raise ValueError("no runs to compare: give run folders, or folders that contain runs")
    require_known((options.baseline, options.reference), list(dict.fromkeys(run.method for run in runs)))
    kept, repeated = without_repeats(runs)
    groups = comparable(kept)
    once = Counter((agent, env) for agent, env, *_ in groups)
    comparisons = tuple(
        _compare(group, env if once[agent, env] == 1 else f"{env}, {metric.name}", options)
        for (agent, env, metric, _), group in groups.items()
    )
    across, left_out = across_environments(comparisons, options)
    ordered = dict.fromkeys(method.method for comparison in comparisons for method in comparison.methods)
    return Results(
        options=options,
        comparisons=comparisons,
        across=across,
        trunks=tuple(trunks),
        methods=in_order(ordered, options.baseline, options.reference)[0],
        notes=(*repeated, *notes_on_missing(runs, trunks), *notes_on_all(kept), *left_out),
    )


def comparable(runs: Iterable[Run]) -> dict[tuple[str, str, Metric, str], list[Run]]:
    """Return the runs by agent, environment, metric and unit of steps."""
    groups: dict[tuple[str, str, Metric, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.agent, run.env, run.metric, run.unit), []).append(run)
    return groups


def _compare(runs: Sequence[Run], where: str, options: Options) -> Comparison:
    """Compare the runs of one agent, environment and metric."""
    agent, env, metric, unit = runs[0].agent, runs[0].env, runs[0].metric, runs[0].unit
    given = dict.fromkeys(run.method for run in runs)
    names, baseline, reference = in_order(given, options.baseline, options.reference)
    failing = failing_value(env, runs, metric)
    runs = continued(runs, failing)
    scored = {name: _scored([run for run in runs if run.method == name]) for name in names}
    threshold = threshold_of(env, scored, baseline, reference, metric, options.threshold)
    grid, levels = common_grid(list(scored.values())), _levels(scored.values())
    methods = tuple(
        summarise(scored[name], grid, levels, threshold.value if threshold else None, Resampling(name, metric, options))
        for name in names
    )
    found = contrasts({method.method: [method.runs] for method in methods}, baseline, reference, metric, options)
    places = {run.branch.step if run.branch else None for run in runs}
    branch_step = next(iter(places)) if len(places) == 1 else None
    return Comparison(
        agent=agent,
        env=env,
        where=where,
        methods=methods,
        baseline=baseline,
        reference=reference,
        contrasts=found,
        family=family(found, options.confidence),
        threshold=threshold,
        references=envs.references(env),
        branch_step=branch_step,
        trunk=None if branch_step is None else shared_history(methods),
        notes=tuple(notes_on(methods, found, failing, metric, options.confidence)),
        metric=metric,
        unit=unit,
    )


def shared_history(methods: Sequence[MethodResults]) -> str | None:
    """Return the first method that has a branch of every trunk, which is the baseline if possible; None if none has."""
    trunks = {
        method.method: {run.run.branch.trunk for run in method.runs if run.run.branch and run.counted}
        for method in methods if method.curve
    }  # fmt: skip
    everything = set().union(*trunks.values())
    return next((name for name, own in trunks.items() if own == everything), None)


def _scored(runs: Sequence[Run]) -> list[RunScores]:
    """Return the scores of a method's runs, ordered by seed.

    If all of its runs are unfinished, they count in the curve; otherwise unfinished runs count nowhere.
    """
    any_ended = any(run.ended for run in runs)
    ordered = sorted(runs, key=lambda run: (run.seed, str(run.folder)))
    return [score(run, counted=run.ended or not any_ended) for run in ordered]


def _levels(scored: Iterable[Sequence[RunScores]]) -> Array | None:
    """Return the levels of the performance profiles: from below the lowest final score to above the highest."""
    finals = [run.final for runs in scored for run in runs if run.final is not None]
    if not finals:
        return None
    margin = 0.05 * (max(finals) - min(finals)) or 0.5
    return np.linspace(min(finals) - margin, max(finals) + margin, LEVELS)
