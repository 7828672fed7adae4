"""Two methods beside each other: differences, and which is probably better; paired where they share trunks."""

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .methods import known, method_draws
from .results import Contrast, Options, RunScores, TrunkCounts
from .statistics import Array, Draws, Strata, counted, difference, draw, improvement, interquartile_mean, mean, share

Value = Callable[[RunScores], float | None]


def contrasts(
    runs: Mapping[str, Sequence[Sequence[RunScores]]],
    baseline: str,
    reference: str | None,
    options: Options,
    final: Value = lambda run: run.final,
    area: Value = lambda run: run.area,
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
    return tuple(_contrast(one, other, finished, options, final, area) for one, other in pairs)


def _contrast(
    one: str,
    other: str,
    runs: Mapping[str, Sequence[Sequence[RunScores]]],
    options: Options,
    final: Value,
    area: Value,
) -> Contrast:
    left, right = runs[one], runs[other]
    shared = [_shared(ours, theirs) for ours, theirs in zip(left, right, strict=True)]
    paired = all(pairs for pairs in shared)
    if paired:
        left, right = ([[pair[side] for pair in pairs or ()] for pairs in shared] for side in (0, 1))
        stream = (options.seed, zlib.crc32(f"{one} {other}".encode()))
        jointly = draw([len(group) for group in left], options.resamples, stream)
        draws: tuple[Draws, Draws] = (jointly, jointly)
    else:
        sizes = [[len(group) for group in groups] for groups in (left, right)]
        draws = (method_draws(one, options)(sizes[0]), method_draws(other, options)(sizes[1]))

    def strata(groups: Sequence[Sequence[RunScores]], value: Value) -> Strata:
        return [known([value(run) for run in group]) for group in groups]

    finals, areas = ((strata(left, value), strata(right, value)) for value in (final, area))
    confidence = options.confidence
    apart, areas_apart = (np.concatenate(_differences(*sides)) if paired else np.array([]) for sides in (finals, areas))
    return Contrast(
        method=one,
        against=other,
        final_iqm=difference(*finals, interquartile_mean, draws, confidence),
        final_mean=difference(*finals, mean, draws, confidence),
        area_iqm=difference(*areas, interquartile_mean, draws, confidence),
        area_mean=difference(*areas, mean, draws, confidence),
        improvement=improvement(*finals, draws, confidence),
        improvement_area=improvement(*areas, draws, confidence),
        paired=paired,
        trunks=_counts(apart, confidence) if paired else None,
        trunks_area=_counts(areas_apart, confidence) if paired else None,
        differences=tuple(apart.tolist()),
        differences_area=tuple(areas_apart.tolist()),
    )


def _differences(left: Strata, right: Strata) -> list[Array]:
    return [ours - theirs for ours, theirs in zip(left, right, strict=True)]


def _counts(differences: Array, confidence: float) -> TrunkCounts:
    better, n = int((differences > 0).sum()), len(differences)
    return TrunkCounts(better, int((differences == 0).sum()), n, share(better, n, confidence))


def _shared(ours: Sequence[RunScores], theirs: Sequence[RunScores]) -> list[tuple[RunScores, RunScores]] | None:
    """Runs of both methods from the same trunk; None where not all are branches, or they share no trunk."""
    if any(run.run.branch is None for run in (*ours, *theirs)):
        return None
    for runs in (ours, theirs):
        taken = dict.fromkeys(str(run.run.branch) for run in runs)
        if len(taken) < len(runs):
            trunks = counted(((len(taken),),), "trunk")
            raise ValueError(
                f"{len(runs)} runs of {runs[0].run.method} in {runs[0].run.env} branch from {trunks}: only one of each "
                "can be compared"
            )
    by_trunk = {str(run.run.branch): run for run in theirs}
    return [(run, by_trunk[str(run.run.branch)]) for run in ours if str(run.run.branch) in by_trunk] or None
