"""Adds published results to a comparison: as curves and rows of its report, but never in its paired differences.

The results of the comparison's own runs do not change. A published run is used up to the last step of the comparison's
own runs. Its scores are computed in the same way; if the runs are branches, its area is over the steps of the branches.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from fire_rl.fire.nearest import nearest

from ..analysis.method_results import MethodResults, RunScores
from ..analysis.methods import LEVELS, Resampling, common_grid, scores_of, summarise
from ..analysis.records import Array, Branch, EvaluationRecord, Run
from ..analysis.results import Across, Compared, Comparison, Results
from ..analysis.scoring import in_normalised_scores, score
from .files import Published
from .protocol import differences, protocol_of

Kind = TypeVar("Kind", bound=Compared)

# A seed that ends before this share of its method's steps is left out; a method that ends before this share of the
# comparison's steps has no final scores.
SHORTEST = 0.9


def require_environments(published: Sequence[Published], envs: Sequence[str]) -> None:
    """Raise ValueError if a file has no results in any of these environments."""
    for file in dict.fromkeys(each.file for each in published):
        methods = [each for each in published if each.file == file]
        if not any(each.environment(env) for each in methods for env in envs):
            theirs = list(dict.fromkeys(env for each in methods for env in each.runs))
            raise ValueError(
                f"{file} has no results in {' or '.join(envs[:5])}; nearest of its {len(theirs)} environments is "
                f"{nearest(envs[0], theirs)}"
            )


def require_other_names(published: Sequence[Published], methods: Iterable[str]) -> None:
    """Raise ValueError if a published method has the name of a method that was run: the report could not tell them."""
    names = {" ".join(method.split()).casefold(): method for method in methods}
    for each in published:
        if (ours := names.get(" ".join(each.name.split()).casefold())) is not None:
            raise ValueError(
                f"{each.file} has {each.method}, which the report would call {each.name!r}, but a method that was run "
                f"is called {ours!r}: give the method that was run another --label"
            )


def join(results: Results, published: Sequence[Published]) -> tuple[Results, tuple[str, ...]]:
    """Add every published method to each comparison of an environment that it has results in.

    Return the results, and sentences about the published methods that a reader has to know.
    """
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
    names = {method.method for each in comparisons for method in each.methods if method.published}
    shown = [each for each in published if each.name in names]
    unknown = _unknown(shown)
    joined = replace(
        results, comparisons=tuple(comparisons), across=tuple(across), published=tuple(each.name for each in shown),
        notes=(*results.notes, *unknown),
    )  # fmt: skip
    return joined, (*warnings, *unknown)


def _unknown(published: Sequence[Published]) -> list[str]:
    """Return one sentence about all methods whose protocol is not known."""
    names = ", ".join(each.name for each in published if protocol_of(each.method) is None)
    if not names:
        return []
    return [
        f"{names}: neither the file nor the method's name tells for how many steps an action is repeated, on how many "
        "episodes a method was evaluated, and what env_step counts; it is read as environment steps."
    ]


def _with(compared: Kind, found: Sequence[MethodResults], said: Sequence[str]) -> Kind:
    return replace(compared, methods=(*compared.methods, *found), notes=(*compared.notes, *said))


def _in_comparison(
    comparison: Comparison, published: Sequence[Published], results: Results
) -> tuple[list[MethodResults], list[str]]:
    """Return each published method's results in one environment, and sentences about them."""
    ours = [run.run for method in comparison.methods for run in method.runs]
    found, said = list[MethodResults](), list[str]()
    for each in published:
        sentences, kept = list[str](), list[Run]()
        theirs = each.environment(comparison.env)
        if not comparison.acts or comparison.metric.name != "return":
            ours_are = comparison.metric.name
            sentences = [f"left out, as its results are returns over environment steps and not {ours_are}"]
        elif theirs is None:
            sentences = [f"its file has no results in {comparison.env}"]
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
                    f"it has no final return and no area, as it ends at step {last:,}, before {SHORTEST:.0%} of "
                    f"the {planned:,} steps of the runs in this comparison"
                )
            found.append(_summarised(each, scored, comparison, results))
        said += [f"{each.name}: {sentence}." for sentence in sentences]
    return found, said


def _several(each: Published, env: str) -> list[str]:
    """Say which name is used if several of the file's names may mean the environment."""
    names = each.environments(env)
    said = f"its file has {' and '.join(names)}, which may all mean {env}; {names[0]} is used"
    return [said] if len(names) > 1 else []


def _cut(each: Published, theirs: str, comparison: Comparison, end: int) -> tuple[list[Run], list[str]]:
    """Return the runs, cut at the last step of the comparison's own, and sentences about what is left out."""
    series = each.runs[theirs]
    cut = {one.seed: {step: value for step, value in one.returns.items() if step <= end} for one in series}
    last = max((max(returns) for returns in cut.values() if returns), default=0)
    if not any(one.returns for one in series):
        return [], ["left out, as none of its evaluations is a finite number"]
    if last == 0:
        first = min((step for one in series for step in one.returns if step), default=0)
        return [], [
            f"left out, as its first evaluation after step 0 is at step {first:,} and the runs in this comparison have "
            f"{end:,} steps"
        ]
    short = [seed for seed, returns in cut.items() if not returns or max(returns) < SHORTEST * last]
    ends = {seed: max(cut[seed], default=-1) if seed in short else end for seed in cut}
    failed = {one.seed: ends[one.seed] for one in series if any(ends[one.seed] < step <= end for step in one.lost)}
    said = [
        f"seed {seed} is left out: its evaluations {f'after step {step:,} ' * (step >= 0)}are not finite numbers, "
        "perhaps because the run diverged. The mean and the intervals do not include it, and so look better than the "
        "method is"
        for seed, step in failed.items()
    ]
    if ended := ", ".join(str(seed) for seed in short if seed not in failed):
        said.append(f"seed {ended} left out: no evaluation near the last step of the others, {last:,}")
    beyond = max(max(one.returns) for one in series if one.returns)
    if beyond > end:
        said.append(f"its file goes on to step {beyond:,}; it is cut at step {end:,}, where the runs here end")
    kept = [_run(each, comparison, seed, returns) for seed, returns in cut.items() if seed not in short]
    return kept, said


def _run(each: Published, comparison: Comparison, seed: int, returns: dict[int, float]) -> Run:
    """Return one published seed as a finished run."""
    last = max(returns)
    return Run(
        folder=each.file.resolve(), agent="published", env=comparison.env, method=each.name, seed=seed, steps=last,
        reached=last, finished=True, diverged=None, branch=None,
        evaluations=tuple(EvaluationRecord(step, value, "scheduled") for step, value in returns.items()), events=(),
        measures={}, seconds=0.0, own_seconds=0.0, updates=0, updates_per_second=np.nan, replay_ratio=None, settings={},
        schedule={}, made_with={}, metric=comparison.metric, unit=comparison.unit,
    )  # fmt: skip


def _scored(run: Run, branch_step: int | None) -> RunScores:
    """Return the run's scores; if the comparison's runs are branches, the area is over the steps of the branches."""
    found = score(run, counted=True)
    if branch_step is None or branch_step >= run.reached:
        return found
    later = score(replace(run, branch=Branch(run.folder, branch_step)), counted=True)
    return replace(found, area=later.area, normalised_area=later.normalised_area)


def _summarised(
    each: Published, scored: Sequence[RunScores], comparison: Comparison, results: Results
) -> MethodResults:
    """Summarise a published method as the comparison's own methods are summarised.

    The steps to the threshold are counted from step 0, so they are left out if the comparison's runs are branches.
    """
    threshold = comparison.threshold.value if comparison.threshold and comparison.branch_step is None else None
    resampling = Resampling(each.name, comparison.metric, results.options)
    levels = _levels(comparison.methods, scored)
    found = summarise(scored, common_grid([scored]), levels, threshold, resampling)
    return replace(found, published=each.file)


def _levels(methods: Sequence[MethodResults], scored: Sequence[RunScores]) -> Array | None:
    """Return the levels of the performance profile: the comparison's own, extended to include the published scores."""
    known = [method.profile.taus for method in methods if method.profile]
    if not known:
        return None
    values = [*known[0][[0, -1]].tolist(), *(run.final for run in scored if run.final is not None)]
    return np.linspace(min(values), max(values), LEVELS)


def _in_all(
    together: Across, parts: Sequence[Comparison], published: Sequence[Published], results: Results
) -> tuple[list[MethodResults], list[str]]:
    """Return each published method's normalised scores over all environments, and sentences about them."""
    found, said = list[MethodResults](), list[str]()
    for each in published:
        own = [next((m for m in part.methods if m.method == each.name), None) for part in parts]
        groups = [[in_normalised_scores(run) for run in method.finished] for method in own if method]
        if len(groups) < len(parts) or not all(groups):
            said.append(
                f"{each.name} has final returns in {sum(map(bool, groups))} of {len(parts)} environments; it is not "
                "averaged over environments."
            )
            continue
        resampling = Resampling(each.name, together.metric, results.options)
        curve = resampling.curve_over_all(groups, [method.curve if method else None for method in own])
        levels = _levels(together.methods, [run for group in groups for run in group])
        found.append(replace(scores_of(groups, curve, levels, resampling), published=each.file))
    return found, said
