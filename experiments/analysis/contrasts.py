"""Comparisons of two methods: their difference and the probability of improvement, paired if they share trunks."""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fire_rl.fire.nearest import choices
from fire_rl.training.metric import Metric

from .differences import difference, improvement
from .families import Family, family_of, holm
from .method_results import RunScores
from .methods import Groups, Resampling, finished_of, known
from .permutations import permutations
from .resampling import Draws, draw_runs
from .results import Contrast, Options, ScoreContrast, Together, TrunkCounts
from .statistics import Array, Interval, Strata, interquartile_mean, mean, share


def contrasts(
    runs: Mapping[str, Groups], baseline: str, reference: str | None, metric: Metric, options: Options
) -> tuple[Contrast, ...]:
    """Compare each method with the baseline, and the reference with each other method.

    `runs` are each method's runs by environment, in the same order for all. A method without finished runs in some
    environment is left out.
    """
    finished = {name: groups for name, all_runs in runs.items() if all(groups := finished_of(all_runs))}
    pairs = pairs_of(list(finished), baseline, reference)
    made = {name: Resampling(name, metric, options) for name in finished}
    found = [_contrast(made[one], made[other], finished[one], finished[other], len(pairs)) for one, other in pairs]
    corrected = [holm([getattr(each, score).together.p for each in found]) for score in ("final", "area")]
    return tuple(
        replace(each, final=_corrected(each.final, final), area=_corrected(each.area, area))
        for each, final, area in zip(found, *corrected, strict=True)
    )


def require_known(given: Iterable[str | None], names: Sequence[str]) -> None:
    """Raise ValueError if a method that is given as baseline or reference is none of the runs' methods."""
    for name in given:
        if name is not None and name not in names:
            raise ValueError(f"method {name!r} given; the runs have the methods {choices(name, names)}")


def in_order(
    methods: Iterable[str], baseline: str | None, reference: str | None
) -> tuple[tuple[str, ...], str, str | None]:
    """Return the methods with the baseline first and the reference last, then the baseline and the reference."""
    names = list(methods)
    reference = reference if reference in names else usual_reference(names)
    others = [name for name in names if name != reference] or names
    baseline = baseline if baseline in names else "none" if "none" in others else others[0]
    if reference == baseline:
        reference = None
    between = [name for name in names if name not in (baseline, reference)]
    return (baseline, *between, *([reference] if reference else [])), baseline, reference


def usual_reference(names: Sequence[str]) -> str | None:
    """Return fire if it was run, else the first variant of it: with options, regularizers or a schedule."""
    fires = [name for name in names if re.split("[@:+]", name, maxsplit=1)[0] == "fire"]
    return "fire" if "fire" in fires else next(iter(fires), None)


def pairs_of(names: Sequence[str], baseline: str, reference: str | None) -> list[tuple[str, str]]:
    """Return the pairs of methods to compare: each with the baseline, and the reference with each other one."""
    pairs = [(name, baseline) for name in names if name != baseline and baseline in names]
    if reference in names and reference is not None:
        pairs += [(reference, name) for name in names if name not in (reference, baseline)]
    return pairs


def family(found: Sequence[Contrast], confidence: float) -> Family | None:
    """Return the facts about these differences as a family that is tested together; None if none has an interval."""
    return family_of([(each.method, each.against, each.paired, each.final.iqm.sides) for each in found], confidence)


def _contrast(one: Resampling, other: Resampling, left: Groups, right: Groups, many: int) -> Contrast:
    shared = [_shared(ours, theirs) for ours, theirs in zip(left, right, strict=True)]
    paired = all(shared)
    if paired:
        left, right = ([[pair[side] for pair in pairs or ()] for pairs in shared] for side in (0, 1))
        both = " ".join(one.options.spelled(each.method) for each in (one, other))
        seed = one.options.seed, zlib.crc32(both.encode())
        jointly = draw_runs([len(group) for group in left], one.options.resamples, seed)
        draws: tuple[Draws, Draws | None] = (jointly, None)
    else:
        draws = one.draws([len(group) for group in left]), other.draws([len(group) for group in right])
    finals, areas = (
        [[known([getattr(run, score) for run in group]) for group in groups] for groups in (left, right)]
        for score in ("final", "area")
    )
    final, area = (_in_one_score(ours, theirs, draws, one, many) for ours, theirs in (finals, areas))
    differences = tuple(_of_trunks(finals[0], finals[1]).tolist()) if paired else ()
    return Contrast(one.method, other.method, final, area, paired, differences)


def _in_one_score(
    left: Strata, right: Strata, draws: tuple[Draws, Draws | None], made: Resampling, many: int
) -> ScoreContrast:
    sign, confidence, paired = made.metric.sign, made.confidence, draws[1] is None
    better, worse = ([sign * scores for scores in side] for side in (left, right))
    averages = difference(left, right, mean, *draws, confidence)
    return ScoreContrast(
        iqm=difference(left, right, interquartile_mean, *draws, confidence),
        mean=averages,
        improvement=improvement(better, worse, *draws, confidence),
        together=_together(left, right, paired, averages, made.options, many),
        trunks=_counts(sign * _of_trunks(left, right), confidence) if paired else None,
    )


def _together(left: Strata, right: Strata, paired: bool, averages: Interval, options: Options, many: int) -> Together:
    """Return the test of the difference of means: its p value before the correction, and a simultaneous interval.

    `many` is the number of differences in the family.
    """
    test = permutations(left, right, paired, options.seed)
    low, high = test.interval(1 - (1 - options.confidence) / many)
    what = "sign-flip test" if paired else "permutation test"
    kind = f"exact {what}" if test.exact else f"{what} ({test.ways:,} random draws)"
    among = f", simultaneous for all {many} differences (Bonferroni)" if many > 1 else ""
    words = f"{100 * options.confidence:g}% interval from the {kind}{among}"
    return Together(test.p, test.p, replace(averages, low=low, high=high, method=words), kind)


def _corrected(score: ScoreContrast, p: float) -> ScoreContrast:
    return replace(score, together=replace(score.together, corrected=p))


def _of_trunks(left: Strata, right: Strata) -> Array:
    """Return the difference between the two branches of each trunk."""
    return np.concatenate([ours - theirs for ours, theirs in zip(left, right, strict=True)])


def _counts(gains: Array, confidence: float) -> TrunkCounts:
    better = int((gains > 0).sum())
    return TrunkCounts(better, int((gains == 0).sum()), share(better, len(gains), confidence))


def _shared(ours: Sequence[RunScores], theirs: Sequence[RunScores]) -> list[tuple[RunScores, RunScores]] | None:
    """Return the pairs of runs that share a trunk; None if not all runs are branches, or if they share no trunk."""
    if any(run.run.branch is None for run in (*ours, *theirs)):
        return None
    for runs in (ours, theirs):
        taken = dict.fromkeys(str(run.run.branch) for run in runs)
        if len(taken) < len(runs):
            trunks = f"{len(taken)} trunk{'s' * (len(taken) > 1)}"
            which = f"{len(runs)} runs of {runs[0].run.method} in {runs[0].run.env}"
            raise ValueError(f"{which} branch from {trunks}: only one run of each trunk can be compared")
    by_trunk = {str(run.run.branch): run for run in theirs}
    return [(run, by_trunk[str(run.run.branch)]) for run in ours if str(run.run.branch) in by_trunk] or None
