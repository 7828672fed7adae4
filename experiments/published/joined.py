"""Published results joined to a comparison: as curves and rows of the same report, never in its paired differences.

What was found of one's own runs stays as it is, bit by bit. A published run counts as far as the comparison's own steps
go. Its scores are made as theirs are; after a branch, its area is over the same steps.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from fire_rl.fire.nearest import nearest

from ..analysis.methods import LEVELS, Resampling, common_grid, scores_of, summarise
from ..analysis.records import Array, Branch, EvaluationRecord, Run
from ..analysis.results import Across, Compared, Comparison, MethodResults, Results, RunScores
from ..analysis.scoring import in_normalised_scores, score
from .files import Published
from .protocol import differences, protocol_of

Kind = TypeVar("Kind", bound=Compared)

SHORTEST = 0.9  # of its method's steps: a seed that ends before is left out; of ours: a method without final scores


def require_environments(published: Sequence[Published], envs: Sequence[str]) -> None:
    """Refuse a file that has nothing to say of any of these environments."""
    for file in dict.fromkeys(each.file for each in published):
        methods = [each for each in published if each.file == file]
        if not any(each.environment(env) for each in methods for env in envs):
            theirs = list(dict.fromkeys(env for each in methods for env in each.runs))
            raise ValueError(
                f"{file} has no results in {' or '.join(envs[:5])}; nearest of its {len(theirs)} environments is "
                f"{nearest(envs[0], theirs)}"
            )


def require_other_names(published: Sequence[Published], methods: Iterable[str]) -> None:
    """Refuse a file's method that would have the name of one that was run: one would stand for both."""
    names = {" ".join(method.split()).casefold(): method for method in methods}
    for each in published:
        if (ours := names.get(" ".join(each.name.split()).casefold())) is not None:
            raise ValueError(
                f"{each.file} has {each.method}, which the report would call {each.name!r}, and a method that was run "
                f"is called {ours!r}: give that one another --label"
            )


def join(results: Results, published: Sequence[Published]) -> tuple[Results, tuple[str, ...]]:
    """Every method of every file beside the comparison's own where it has the environment, and what to know of it."""
    if not published:
        return results, ()
    require_environments(published, list(dict.fromkeys(each.env for each in results.comparisons)))
    require_other_names(published, results.methods)
    comparisons, where = [], dict[str, list[str]]()
    for comparison in results.comparisons:
        found, said = _in_comparison(comparison, published, results)
        comparisons.append(_with(comparison, found, said))
        for sentence in said:
            where.setdefault(sentence, []).append(comparison.where)
    warnings = [said if len(envs) == len(comparisons) else f"{', '.join(envs)}: {said}" for said, envs in where.items()]
    across = []
    for together in results.across:
        parts = [each for each in comparisons if each.agent == together.agent]
        found, said = _in_all(together, parts, published, results)
        across.append(_with(together, found, said))
        warnings += said
    shown = {method.method for each in comparisons for method in each.methods if method.published}
    names = tuple(each.name for each in published if each.name in shown)
    unknown = _unknown([each for each in published if each.name in shown])
    joined = replace(
        results, comparisons=tuple(comparisons), across=tuple(across), published=names,
        notes=(*results.notes, *unknown),
    )  # fmt: skip
    return joined, (*warnings, *unknown)


def _unknown(published: Sequence[Published]) -> list[str]:
    """One sentence on all methods of whose protocol nothing is known."""
    names = ", ".join(each.name for each in published if protocol_of(each.method) is None)
    if not names:
        return []
    return [
        f"{names}: neither file nor name says how long an action is held, on how many episodes a method was evaluated, "
        "and whether its env_step counts environment steps, as which it is taken."
    ]


def _with(compared: Kind, found: Sequence[MethodResults], said: Sequence[str]) -> Kind:
    return replace(compared, methods=(*compared.methods, *found), notes=(*compared.notes, *said))


def _in_comparison(
    comparison: Comparison, published: Sequence[Published], results: Results
) -> tuple[list[MethodResults], list[str]]:
    """What each method comes to in one environment."""
    ours = [run.run for method in comparison.methods for run in method.runs]
    found, said = list[MethodResults](), list[str]()
    for each in published:
        sentences, kept = list[str](), list[Run]()
        theirs = each.environment(comparison.env)
        if not comparison.acts or comparison.metric.name != "return":
            sentences = [f"its results are returns over environment steps, not {comparison.metric.name}: left out"]
        elif theirs is None:
            sentences = ["its file has no results there"]
        else:
            kept, lost = _cut(each, theirs, comparison, max(run.steps for run in ours))
            sentences += [*_several(each, comparison.env), *each.notes[theirs], *lost]
        if kept and theirs is not None:
            sentences += differences(each.method, theirs, kept, ours, comparison.references)
            scored = [_scored(run, comparison.branch_step) for run in kept]
            planned, last = max(run.steps for run in ours), max(run.reached for run in kept)
            if last < SHORTEST * planned:
                scored = [replace(run, final=None, area=None, normalised=None, normalised_area=None) for run in scored]
                sentences.append(
                    f"it has no final return and no area here, as it ends at step {last:,}, before {SHORTEST:.0%} of "
                    f"the {planned:,} of runs here"
                )
            found.append(_summarised(each, scored, comparison, results))
        said += [f"{each.name}: {sentence}." for sentence in sentences]
    return found, said


def _several(each: Published, env: str) -> list[str]:
    """Which of several names was taken."""
    taken, *others = each.environments(env)
    return (
        [f"its file has {' and '.join([taken, *others])}, which may all be {env}: {taken} is taken"] if others else []
    )


def _cut(each: Published, theirs: str, comparison: Comparison, end: int) -> tuple[list[Run], list[str]]:
    """The runs as far as the comparison's own go, and which are left out."""
    series = each.runs[theirs]
    cut = {one.seed: {step: value for step, value in one.returns.items() if step <= end} for one in series}
    last = max((max(returns) for returns in cut.values() if returns), default=0)
    if not any(one.returns for one in series):
        return [], ["left out, as none of its evaluations is a finite number"]
    if last == 0:
        first = min((step for one in series for step in one.returns if step), default=0)
        return [], [f"left out, as its first evaluation after 0 is at step {first:,} and runs here have {end:,}"]
    short = [seed for seed, returns in cut.items() if not returns or max(returns) < SHORTEST * last]
    failed = {one.seed: max(cut[one.seed], default=-1) for one in series if one.seed in short}
    failed = {
        one.seed: failed[one.seed] for one in series if any(failed.get(one.seed, end) < s <= end for s in one.lost)
    }
    said = [
        f"seed {seed} left out, whose evaluations {f'after step {step:,} ' * (step >= 0)}are no finite numbers, as "
        "where a run diverged: mean and intervals are without it, and so look better than the method is"
        for seed, step in failed.items()
    ]
    if ended := [seed for seed in short if seed not in failed]:
        said.append(f"seed {', '.join(map(str, ended))} left out, which ended before the others' last step, {last:,}")
    beyond = max(max(one.returns) for one in series if one.returns)
    if beyond > end:
        said.append(f"its file goes on to step {beyond:,}; it is cut where runs here end, at {end:,}")
    kept = [_run(each, comparison, seed, returns) for seed, returns in cut.items() if seed not in short]
    return kept, said


def _run(each: Published, comparison: Comparison, seed: int, returns: dict[int, float]) -> Run:
    """One seed as a run that has finished."""
    last = max(returns)
    return Run(
        folder=each.file.resolve(), agent="published", env=comparison.env, method=each.name, seed=seed, steps=last,
        reached=last, finished=True, diverged=None, branch=None,
        evaluations=tuple(EvaluationRecord(step, value, "scheduled") for step, value in returns.items()), events=(),
        measures={}, seconds=0.0, own_seconds=0.0, updates=0, updates_per_second=np.nan, replay_ratio=None, settings={},
        schedule={}, made_with={}, metric=comparison.metric, unit=comparison.unit,
    )  # fmt: skip


def _scored(run: Run, branch_step: int | None) -> RunScores:
    """Its scores, the area over the steps that those of branches are of."""
    found = score(run, counted=True)
    if branch_step is None or branch_step >= run.reached:
        return found
    later = score(replace(run, branch=Branch(run.folder, branch_step)), counted=True)
    return replace(found, area=later.area, normalised_area=later.normalised_area)


def _summarised(
    each: Published, scored: Sequence[RunScores], comparison: Comparison, results: Results
) -> MethodResults:
    """As one's own are; when a threshold was reached only where one's own count from the start, too."""
    threshold = comparison.threshold.value if comparison.threshold and comparison.branch_step is None else None
    resampling = Resampling(each.name, comparison.metric, results.options)
    levels = _levels(comparison.methods, scored)
    found = summarise(scored, common_grid([scored]), levels, threshold, resampling)
    return replace(found, published=each.file)


def _levels(methods: Sequence[MethodResults], scored: Sequence[RunScores]) -> Array | None:
    """Of the profile: those of one's own, as far as the published scores go."""
    known = [method.profile.taus for method in methods if method.profile]
    if not known:
        return None
    values = [*known[0][[0, -1]].tolist(), *(run.final for run in scored if run.final is not None)]
    return np.linspace(min(values), max(values), LEVELS)


def _in_all(
    together: Across, parts: Sequence[Comparison], published: Sequence[Published], results: Results
) -> tuple[list[MethodResults], list[str]]:
    """What each method comes to in all environments, in normalised scores."""
    found, said = list[MethodResults](), list[str]()
    for each in published:
        own = [next((m for m in part.methods if m.method == each.name), None) for part in parts]
        groups = [[in_normalised_scores(run) for run in method.finished] for method in own if method]
        if len(groups) < len(parts) or not all(groups):
            said.append(
                f"{each.name} has final returns in {sum(map(bool, groups))} of {len(parts)} environments: not averaged."
            )
            continue
        resampling = Resampling(each.name, together.metric, results.options)
        curves = [method.curve for method in own if method and method.curve]
        same = len(curves) == len(parts) and all(np.array_equal(c.steps, curves[0].steps) for c in curves)
        curve = resampling.curve(groups, curves[0].steps, any(c.interpolated for c in curves)) if same else None
        levels = _levels(together.methods, [run for group in groups for run in group])
        found.append(replace(scores_of(groups, curve, levels, resampling), published=each.file))
    return found, said
