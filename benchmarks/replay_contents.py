"""The contents of a saved replay in a form that is equal for equal contents, however they were cut into segments."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fire_rl.replay import Segment, Store
from fire_rl.replay.frame_segments import CUT, TERMINATED, TRUNCATED, FrameSegment, frame_segment
from fire_rl.replay.segments import read_segment


def read_contents(store: Store, segments: Sequence[Segment], first: int) -> dict[str, Tensor]:
    """Return the contents of a replay's segments from transition `first` on, by name.

    For a FrameReplay they begin with the whole step (of all environments) that `first` belongs to, and each frame is
    replaced by its SHA-256 checksum, so that two replays of many gigabytes can be compared.
    """
    rows: list[Tensor] = []
    frames = _FrameContents(first)
    for segment in segments:
        tensors = read_segment(store, segment)
        if "rows" in tensors:
            rows.append(tensors["rows"][max(0, first - segment.start) :].clone())
        else:
            frames.add(frame_segment(segment, tensors))
    return {"rows": torch.cat(rows)} if rows else frames.contents()


class _FrameContents:
    """Collects the contents of a FrameReplay's segments, which are added in order."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.parts: list[dict[str, Tensor]] = []
        self.earlier = torch.empty(0)

    def add(self, piece: FrameSegment) -> None:
        if self.parts:
            self.parts[-1]["endings"][-1][piece.cut] = TRUNCATED | CUT
        skipped = max(0, self.first // piece.num_envs - piece.start)
        if piece.start + skipped >= piece.stop:
            return
        frames, begin = _digests(piece.frames[0], 2), piece.context + skipped
        following = frames[piece.context + 1 :].clone()
        following[piece.endings != 0] = _digests(piece.final_frames, 1)
        if not self.parts:
            self.earlier = torch.zeros(piece.stack - 1, *frames.shape[1:], dtype=torch.uint8)
            for lag in range(1, min(piece.stack - 1, begin) + 1):
                shown = piece.ages[skipped] >= lag
                self.earlier[-lag][shown] = frames[begin - lag][shown]
        part = {
            "actions": piece.actions,
            "rewards": piece.rewards,
            "endings": piece.endings,
            "ages": piece.ages,
            "frames": frames[piece.context : -1],
            "next_frames": following,
        }
        self.parts.append({name: tensor[skipped:].clone() for name, tensor in part.items()})

    def contents(self) -> dict[str, Tensor]:
        if not self.parts:
            return {}
        whole = {name: torch.cat([part[name] for part in self.parts]) for name in self.parts[0]}
        endings = whole.pop("endings")
        whole |= {"terminated": endings & TERMINATED != 0, "truncated": endings & TRUNCATED != 0}
        return whole | {"earlier_frames": self.earlier}


def _digests(frames: Tensor, lead: int) -> Tensor:
    """Return the SHA-256 checksum of each frame: the first `lead` axes, then 32 bytes in place of the frame's axes."""
    single = frames.reshape(math.prod(frames.shape[:lead]), math.prod(frames.shape[lead:])).numpy()
    digests = b"".join(hashlib.sha256(frame).digest() for frame in single)
    return torch.from_numpy(np.frombuffer(digests, np.uint8).copy()).view(*frames.shape[:lead], 32)
