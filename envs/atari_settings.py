"""How an Atari game is shown to an agent: today's standard by default, the published FIRE and DQN choices by name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

FRAMES_PER_SECOND = 60
# The least and the most of each whole number. The emulators' vector counts an episode's frames up to 2**30.
BOUNDS = {
    "frame_skip": (1, 1_000),
    "screen_size": (1, 1_024),
    "stack": (1, 256),
    "noop_max": (0, 10_000),
    "episode_frames": (1, 1_000_000_000),
}


@dataclass(frozen=True)
class AtariSettings:
    """Preprocessing of Atari games; the defaults are those of ALE's v5 environments (Machado et al. 2018)."""

    frame_skip: int = 4
    """Emulator frames an action is held for; from 2 on, each pixel shows the brighter of the last two."""
    screen_size: int = 84
    """Height and width of the picture in pixels, in shades of gray."""
    stack: int = 4
    """Pictures in an observation, the newest last."""
    first_stack: Literal["repeat", "zeros"] = "repeat"
    """Where an episode begins, the older pictures are its first one again, or black."""
    sticky: float = 0.25
    """Probability that the action before is repeated instead of the one chosen; 0: never."""
    sticky_per: Literal["frame", "decision"] = "frame"
    """What is repeated: one emulator frame (ALE v5), or a whole decision (the published FIRE and DQN code)."""
    noop_max: int = 0
    """An episode begins with 0 to so many emulator frames of doing nothing; 0: none."""
    fire_reset: bool = False
    """Press FIRE for a game's first emulator frame, not after a lost life; it counts as one of the no-ops."""
    full_actions: bool = False
    """All 18 actions of the console instead of those that the game uses."""
    terminal_on_life_loss: bool = False
    """A lost life is an end to learn from, although the game goes on; for training, never for evaluation."""
    episode_frames: int = 108_000
    """Emulator frames after which a game is cut off: half an hour of play."""

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                given = "too large" if isinstance(value, int) and value > 2**64 else str(value)[:40]
                raise ValueError(f"{name} is {given}; allowed are whole numbers from {least} to {most:,}")
        if not 0 <= self.sticky < 1:
            raise ValueError(f"sticky is {self.sticky}; allowed are probabilities from 0 on, below 1")
        for name, allowed in (("first_stack", ("repeat", "zeros")), ("sticky_per", ("frame", "decision"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed are {' and '.join(allowed)}")

    def changed(self) -> dict[str, Any]:
        """The fields that are not the standard's."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(AtariSettings, name)}

    @property
    def episode_decisions(self) -> int:
        """Decisions after which a game is cut off."""
        return -(-self.episode_frames // self.frame_skip)


# The published code names a limit of 100,000 decisions, but its environments (BreakoutNoFrameskip-v4 of ale-py 0.8.1)
# are registered with 108,000 emulator frames, 27,000 decisions, and are cut off there: measured.
PUBLISHED_ATARI = AtariSettings(sticky_per="decision")
