"""A segment of a FrameReplay: some steps of N environments, and all frames that their observations need."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .segments import Pieces, Segment, read_segment, write_segment
from .store import Damaged, Store

TERMINATED, TRUNCATED, CUT = 1, 2, 4  # bits of an ending; CUT is set beside TRUNCATED where `cut` ended the episode
# The tensors of a segment and their types, except for the frames, which have the replay's own type.
KINDS = {
    "actions": torch.int32, "rewards": torch.float32, "endings": torch.uint8, "ages": torch.uint8, "cut": torch.uint8,
    "stack": torch.int32,
}  # fmt: skip


@dataclass(frozen=True)
class FrameSegment:
    """Steps from `start` on. Actions, rewards, endings and ages have the shape (steps, N).

    `frames`, in pieces along the first axis, begin up to stack - 1 steps before `start` and end one step after the last
    step, with the frames of the observations that the last step led to.
    """

    start: int
    stack: int
    frames: Sequence[Tensor]
    actions: Tensor
    rewards: Tensor
    endings: Tensor
    ages: Tensor
    cut: Tensor  # environments whose episodes were cut just before `start`; the segment before may not say so
    final_frames: Tensor  # the final frames of the episodes that ended in this segment, in order

    @property
    def num_envs(self) -> int:
        """The number of environments."""
        return self.frames[0].shape[1]

    @property
    def stop(self) -> int:
        """The step after the last one."""
        return self.start + len(self.actions)

    @property
    def context(self) -> int:
        """How many steps before `start` the frames begin."""
        return sum(map(len, self.frames)) - 1 - len(self.actions)

    @property
    def kind(self) -> str:
        """What a replay must have in common with this segment, in words."""
        frames = self.frames[0]
        return kind(self.num_envs, tuple(frames.shape[2:]), frames.dtype, self.stack)

    def write(self, store: Store) -> Segment:
        """Write the segment to a store, and return its record."""
        tensors: dict[str, Pieces] = {
            "frames": self.frames,
            "actions": self.actions.to(torch.int32),
            "rewards": self.rewards,
            "endings": self.endings.to(torch.uint8),
            "ages": self.ages.to(torch.uint8),
            "cut": self.cut.to(torch.uint8),
            "final_frames": self.final_frames,
            "stack": torch.tensor([self.stack], dtype=torch.int32),
        }
        return write_segment(store, self.start * self.num_envs, tensors, self.actions.numel())


def kind(num_envs: int, frame_shape: tuple[int, ...], dtype: torch.dtype, stack: int) -> str:
    """Describe in words what a segment and a replay must have in common for the replay to load the segment."""
    return f"{num_envs} environments' frames of {frame_shape} and {str(dtype).removeprefix('torch.')}, {stack} stacked"


def read_frame_segment(store: Store, segment: Segment) -> FrameSegment:
    """Read a segment; raise Damaged if it is damaged or was written by another kind of replay."""
    return frame_segment(segment, read_segment(store, segment))


def frame_segment(segment: Segment, tensors: dict[str, Tensor]) -> FrameSegment:
    """Make a segment of the tensors of its file; raise Damaged if they do not fit together."""
    if "frames" not in tensors:
        raise Damaged(f"{segment.file} holds {', '.join(tensors) or 'nothing'} and no frames")
    try:
        _check(segment, tensors)
    except (KeyError, ValueError, IndexError) as error:
        raise Damaged(f"{segment.file} is not what a replay of frames writes: {error}") from error
    frames, cut, stack = tensors.pop("frames"), tensors.pop("cut").bool(), int(tensors.pop("stack"))
    return FrameSegment(segment.start // frames.shape[1], stack, [frames], cut=cut, **tensors)


def _check(segment: Segment, tensors: dict[str, Tensor]) -> None:
    """Raise ValueError or KeyError if a tensor is missing, or has a shape, type or range that is never written."""
    kinds = {name: tensors[name].dtype for name in KINDS}
    if kinds != KINDS or set(tensors) != {*KINDS, "frames", "final_frames"}:
        raise ValueError(f"it holds {', '.join(sorted(tensors))}, and not the expected tensors and types")
    frames, final, actions, endings = (tensors[name] for name in ("frames", "final_frames", "actions", "endings"))
    if actions.dim() != 2 or frames.dim() < 3 or tensors["stack"].numel() != 1:
        raise ValueError(f"actions of shape {tuple(actions.shape)}, frames of shape {tuple(frames.shape)}")
    (steps, num_envs), stack = actions.shape, int(tensors["stack"])
    context = len(frames) - 1 - steps
    if steps * num_envs != segment.stop - segment.start or not num_envs or segment.start % num_envs:
        raise ValueError(f"{steps} steps of {num_envs} environments")
    if not 1 <= stack <= 256 or not 0 <= context <= min(stack - 1, segment.start // num_envs):
        raise ValueError(f"{len(frames)} frames of {steps} steps, {stack} stacked")
    shapes = {name: tuple(tensors[name].shape) for name in ("rewards", "endings", "ages")}
    if set(shapes.values()) != {(steps, num_envs)} or tuple(tensors["cut"].shape) != (num_envs,):
        raise ValueError(f"its tensors have the shapes {shapes}")
    if frames.shape[1] != num_envs or final.dtype != frames.dtype:
        raise ValueError(f"frames of {frames.shape[1]} environments")
    if tuple(final.shape) != (int(endings.count_nonzero()), *frames.shape[2:]):
        raise ValueError(f"final frames of shape {tuple(final.shape)}")
    limits = (("endings", TERMINATED | TRUNCATED | CUT), ("ages", stack - 1), ("cut", 1))
    for name, highest in limits:
        if tensors[name].numel() and int(tensors[name].max()) > highest:
            raise ValueError(f"{name} above {highest}")
    if actions.numel() and int(actions.min()) < 0:
        raise ValueError("negative actions")
