"""Two methods beside each other: differences, and which is probably better; paired where they share trunks."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from training.metric import Metric

from .methods import Groups, Resampling, known
from .results import Contrast, Options, RunScores, ScoreContrast, TrunkCounts
from .statistics import Array, Draws, Strata, difference, draw_runs, improvement, interquartile_mean, mean, share


def contrasts(
    runs: Mapping[str, Groups], baseline: str, reference: str | None, metric: Metric, options: Options
) -> tuple[Contrast, ...]:
    """Each method against the baseline, and the reference against each other one.

    `runs` are each method's by environment, in the same order; methods that lack finished runs somewhere are left out.
    """
    finished = {
        name: [[run for run in group if run.final is not None] for group in groups] for name, groups in runs.items()
    }
    finished = {name: groups for name, groups in finished.items() if all(groups)}
    pairs = [(name, baseline) for name in finished if name != baseline and baseline in finished]
    if reference in finished:
        pairs += [(reference, name) for name in finished if name not in (reference, baseline)]
    made = {name: Resampling(name, metric, options) for name in finished}
    return tuple(_contrast(made[one], made[other], finished[one], finished[other]) for one, other in pairs)


def _contrast(one: Resampling, other: Resampling, left: Groups, right: Groups) -> Contrast:
    shared = [_shared(ours, theirs) for ours, theirs in zip(left, right, strict=True)]
    paired = all(shared)
    if paired:
        left, right = ([[pair[side] for pair in pairs or ()] for pairs in shared] for side in (0, 1))
        both = " ".join(one.options.spelled(each.method) for each in (one, other))
        seed = one.options.seed, zlib.crc32(both.encode())
        jointly = draw_runs([len(group) for group in left], one.options.resamples, seed)
        draws: tuple[Draws, Draws] = (jointly, jointly)
    else:
        draws = one.draws([len(group) for group in left]), other.draws([len(group) for group in right])
    finals, areas = (
        [[known([getattr(run, score) for run in group]) for group in groups] for groups in (left, right)]
        for score in ("final", "area")
    )
    sign, confidence = one.metric.sign, one.confidence
    return Contrast(
        method=one.method,
        against=other.method,
        final=_in_one_score(finals[0], finals[1], draws, sign, confidence),
        area=_in_one_score(areas[0], areas[1], draws, sign, confidence),
        paired=paired,
        trunk_differences=tuple(_of_trunks(*finals).tolist()) if paired else (),
    )


def _in_one_score(
    left: Strata, right: Strata, draws: tuple[Draws, Draws], sign: int, confidence: float
) -> ScoreContrast:
    better, worse = ([sign * scores for scores in side] for side in (left, right))
    return ScoreContrast(
        iqm=difference(left, right, interquartile_mean, draws, confidence),
        mean=difference(left, right, mean, draws, confidence),
        improvement=improvement(better, worse, draws, confidence),
        trunks=_counts(sign * _of_trunks(left, right), confidence) if draws[0] is draws[1] else None,
    )


def _of_trunks(left: Strata, right: Strata) -> Array:
    """The difference of both branches of each trunk."""
    return np.concatenate([ours - theirs for ours, theirs in zip(left, right, strict=True)])


def _counts(gains: Array, confidence: float) -> TrunkCounts:
    better = int((gains > 0).sum())
    return TrunkCounts(better, int((gains == 0).sum()), share(better, len(gains), confidence))


def _shared(ours: Sequence[RunScores], theirs: Sequence[RunScores]) -> list[tuple[RunScores, RunScores]] | None:
    """Runs of both methods from the same trunk; None where not all are branches, or they share no trunk."""
    if any(run.run.branch is None for run in (*ours, *theirs)):
        return None
    for runs in (ours, theirs):
        taken = dict.fromkeys(str(run.run.branch) for run in runs)
        if len(taken) < len(runs):
            trunks = f"{len(taken)} trunk{'s' * (len(taken) > 1)}"
            which = f"{len(runs)} runs of {runs[0].run.method} in {runs[0].run.env}"
            raise ValueError(f"{which} branch from {trunks}: only one of each can be compared")
    by_trunk = {str(run.run.branch): run for run in theirs}
    return [(run, by_trunk[str(run.run.branch)]) for run in ours if str(run.run.branch) in by_trunk] or None
