"""The memory and disk space of a comparison's runs, of which replays are the largest part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fire_rl.training.work import Weight

from .grid import TRUNK, Job

PROCESS = 1e9  # bytes of memory that a run's process needs besides its replay and data


@dataclass(frozen=True)
class Disk:
    """The disk space of a comparison in bytes, without metrics and pictures, which are small."""

    everything: float  # all runs, with all replays kept
    trunks: float  # all trunks
    policies: float  # all other runs, if their replays are not kept
    largest: float  # the largest run that is not a trunk, with its replay


def memory_of_a_run(weights: Mapping[str, Weight]) -> float:
    """Return the bytes of memory that the largest run needs if its replay and its data are on the CPU."""
    return max(weight.replay + weight.memory for weight in weights.values()) + PROCESS


def disk_of(jobs: Sequence[Job], weights: Mapping[str, Weight]) -> Disk:
    """Return the disk space of all runs when they are finished."""
    sizes = {job.folder: _size(job, weights[job.kind]) for job in jobs}
    others = [job for job in jobs if job.method != TRUNK]
    return Disk(
        everything=sum(sizes.values()),
        trunks=sum(sizes[job.folder] for job in jobs if job.method == TRUNK),
        policies=sum(len(_lasting(job, weights[job.kind])) * weights[job.kind].checkpoint for job in others),
        largest=max(sizes[job.folder] for job in others),
    )


def _size(job: Job, weight: Weight) -> float:
    """Return the bytes of a run's checkpoints and of the transitions that they need.

    The transitions of its trunk cost a branch nothing: they are links to the trunk's files.
    """
    settings = weight.settings
    before = job.stop - settings.checkpoint_every
    checkpoints = _lasting(job, weight) | ({before} if before > job.start else set())
    needed, end = 0, job.start // weight.steps_of_a_transition
    for step in sorted(checkpoints):
        last = step // weight.steps_of_a_transition
        needed += last - min(last, max(end, last - weight.transitions))
        end = last
    return needed * weight.replay / weight.transitions + len(checkpoints) * weight.checkpoint


def _lasting(job: Job, weight: Weight) -> set[int]:
    """Return the steps of the checkpoints that are never deleted."""
    return {job.stop, *(step for step in weight.settings.checkpoint_at if job.start < step < job.stop)}
