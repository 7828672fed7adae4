"""What events cost: how deep a return falls after each, and how long it is until it is back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from .records import Evaluation, EventRecord, Run
from .results import Gap, RunScores, StabilityGap
from .statistics import Draws, estimate, mean, share
from .survival import median_time


def gaps_of(run: Run) -> Iterator[Gap]:
    """Of each event with evaluations before and after it."""
    evaluations = _finite(run)
    steps = {event.step for event in run.events} | {e.step for e in evaluations if e.occasion == "before event"}
    for index, before in enumerate(evaluations):
        if before.occasion != "before event" or (run.branch is not None and before.step < run.branch.step):
            continue
        following = min((step for step in steps if step > before.step), default=np.inf)
        later = [e for e in evaluations[index + 1 :] if e.step < following or _ends(e, following)]
        if later:
            yield replace(gap := _gap(before, later), cut=not np.isfinite(gap.duration) and np.isfinite(following))


def pretended_gap(run: Run) -> Gap | None:
    """Of the evaluation at the branch of a run without events, as if something had been done there."""
    if run.branch is None or own_events(run):
        return None
    evaluations = _finite(run)
    places = [index for index, each in enumerate(evaluations) if each.step == run.branch.step]
    later = evaluations[places[-1] + 1 :] if places else []
    return _gap(evaluations[places[-1]], later) if later else None


def own_events(run: Run) -> list[EventRecord]:
    """Those of the branch itself, where it is one."""
    return [event for event in run.events if run.branch is None or event.step >= run.branch.step]


def stability_gap(
    runs: Sequence[RunScores],
    gaps: Callable[[RunScores], Sequence[Gap]],
    make_draws: Callable[[Sequence[int]], Draws],
    confidence: float,
) -> StabilityGap | None:
    """What the gaps of a method's runs come to."""
    runs = [run for run in runs if gaps(run)]
    if not runs:
        return None
    draws, groups = make_draws([len(runs)]), [gaps(run) for run in runs]
    depths, shares = (np.array([np.mean([getattr(g, of) for g in gs]) for gs in groups]) for of in ("depth", "share"))
    every = [(place, gap) for place, group in enumerate(groups) for gap in group]
    places = np.array([place for place, _ in every])
    back = np.array([bool(np.isfinite(gap.duration)) for _, gap in every])
    times = np.array([min(gap.duration, gap.observed) for _, gap in every], dtype=float)
    return StabilityGap(
        depth=estimate([depths], mean, draws, confidence),
        share=estimate([shares], mean, draws, confidence) if np.isfinite(shares).all() else None,
        duration=median_time(times, back, draws, confidence, places),
        # Events of one run tell less than as many runs would: it is counted as one observation.
        regained=share(float(back.mean()) * len(runs), len(runs), confidence),
        events=len(every),
        occurred=sum(len(own_events(run.run)) for run in runs),
    )


def _finite(run: Run) -> list[Evaluation]:
    return [evaluation for evaluation in run.evaluations if np.isfinite(evaluation.mean)]


def _ends(evaluation: Evaluation, following: float) -> bool:
    """Whether it is the last look before the next event."""
    return evaluation.step == following and evaluation.occasion == "before event"


def _gap(before: Evaluation, later: Sequence[Evaluation]) -> Gap:
    back = next((place for place, each in enumerate(later) if each.mean >= before.mean), None)
    depth = before.mean - min((each.mean for each in later[:back]), default=before.mean)
    return Gap(
        step=before.step,
        depth=depth,
        share=depth / before.mean if before.mean > 0 else np.nan,
        duration=np.inf if back is None else float(later[back].step - before.step),
        observed=later[-1].step - before.step,
    )
