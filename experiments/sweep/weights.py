"""What the runs of a comparison take of memory and of the disk: replays, most of all, and checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fire_rl.training.work import Weight

from .grid import TRUNK, Job

PROCESS = 1e9  # bytes of a run besides its replay


@dataclass(frozen=True)
class Disk:
    """A comparison on the disk, in bytes; metrics and pictures are little beside it."""

    everything: float  # with all replays kept
    trunks: float
    policies: float  # of all other runs, where their replays are not kept
    largest: float  # run that is no trunk


def memory_of_a_run(weights: Mapping[str, Weight]) -> float:
    """Bytes that the largest run takes, its replay and its data being on the CPU."""
    return max(weight.replay + weight.memory for weight in weights.values()) + PROCESS


def disk_of(jobs: Sequence[Job], weights: Mapping[str, Weight]) -> Disk:
    """What all of them take when they are finished."""
    sizes = {job.folder: _size(job, weights[job.kind]) for job in jobs}
    others = [job for job in jobs if job.method != TRUNK]
    return Disk(
        everything=sum(sizes.values()),
        trunks=sum(sizes[job.folder] for job in jobs if job.method == TRUNK),
        policies=sum(len(_lasting(job, weights[job.kind])) * weights[job.kind].checkpoint for job in others),
        largest=max(sizes[job.folder] for job in others),
    )


def _size(job: Job, weight: Weight) -> float:
    """Checkpoints, and the transitions that they need; a branch has those of its trunk as links to the same files."""
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
    """Steps of the checkpoints that are kept for good."""
    return {job.stop, *(step for step in weight.settings.checkpoint_at if job.start < step < job.stop)}
