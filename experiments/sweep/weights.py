"""What the runs of a comparison take of memory and of the disk: replays, most of all, and checkpoints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from training.build import Parts
from training.settings import RunSettings

from .grid import TRUNK, Job

PROCESS = 1e9  # bytes of a run besides its replay


@dataclass(frozen=True)
class Weight:
    """A run in one environment, in bytes."""

    replay: int  # in memory
    transitions: int  # that such a replay holds
    checkpoint: int  # on the disk, without the replay
    settings: RunSettings


@dataclass(frozen=True)
class Disk:
    """A comparison on the disk, in bytes; metrics and pictures are little beside it."""

    everything: float  # with all replays kept
    trunks: float
    policies: float  # of all other runs, where their replays are not kept
    largest: float  # run that is no trunk


def weigh(parts: Parts) -> Weight:
    replay = sum(_storages(value for value in vars(parts.replay).values() if isinstance(value, Tensor)).values())
    tensors = sum(_storages(parts.agent.state_dict().values()).values())
    return Weight(replay, parts.replay.capacity, tensors, parts.settings)


def _storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Bytes by place in memory: tensors that are views of the same memory take it once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


def memory_of_a_run(weights: Mapping[str, Weight]) -> float:
    """Bytes that the largest run takes, its replay being on the CPU."""
    return max(weight.replay for weight in weights.values()) + PROCESS


def disk_of(jobs: Sequence[Job], weights: Mapping[str, Weight]) -> Disk:
    """What all of them take when they are finished."""
    sizes = {job.folder: _size(job, weights[job.env]) for job in jobs}
    others = [job for job in jobs if job.method != TRUNK]
    return Disk(
        everything=sum(sizes.values()),
        trunks=sum(sizes[job.folder] for job in jobs if job.method == TRUNK),
        policies=sum(len(_lasting(job, weights[job.env])) * weights[job.env].checkpoint for job in others),
        largest=max(sizes[job.folder] for job in others),
    )


def _size(job: Job, weight: Weight) -> float:
    """Checkpoints, and the transitions that they need; a branch has those of its trunk as links to the same files."""
    settings = weight.settings
    before = job.stop - settings.checkpoint_every
    checkpoints = _lasting(job, weight) | ({before} if before > job.start else set())
    needed, end = 0, job.start // settings.action_repeat
    for step in sorted(checkpoints):
        last = step // settings.action_repeat
        needed += last - min(last, max(end, last - weight.transitions))
        end = last
    return needed * weight.replay / weight.transitions + len(checkpoints) * weight.checkpoint


def _lasting(job: Job, weight: Weight) -> set[int]:
    """Steps of the checkpoints that are kept for good."""
    return {job.stop, *(step for step in weight.settings.checkpoint_at if job.start < step < job.stop)}
