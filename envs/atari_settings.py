"""The preprocessing of Atari games: today's standard by default, and the choices of the published FIRE and DQN code."""

from dataclasses import dataclass, fields
from typing import Any, Literal

FRAMES_PER_SECOND = 60
# The smallest and the largest allowed value of each integer. ale-py's vector counts an episode's frames up to 2**30.
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
    """Emulator frames for which an action is held; from 2 on, each pixel is the maximum of the last two frames."""
    screen_size: int = 84
    """Height and width of the picture in pixels, in shades of gray."""
    stack: int = 4
    """Pictures in an observation, the newest last."""
    first_stack: Literal["repeat", "zeros"] = "repeat"
    """What the older pictures of an episode's first observations are: copies of its first picture, or black."""
    sticky: float = 0.25
    """Probability that the previous action is repeated instead of the one chosen; 0: never."""
    sticky_per: Literal["frame", "decision"] = "frame"
    """What is repeated: one emulator frame (ALE v5), or a whole decision (the published FIRE and DQN code)."""
    noop_max: int = 0
    """Each game begins with a random number of no-op frames, from 0 up to this number; 0: none."""
    fire_reset: bool = False
    """Press FIRE in a game's first emulator frame, but not after a lost life; it counts as one of the no-ops."""
    full_actions: bool = False
    """All 18 actions of the console instead of those that the game uses."""
    terminal_on_life_loss: bool = False
    """A lost life ends the episode for the learner, although the game goes on; in training, never in evaluation."""
    episode_frames: int = 108_000
    """Emulator frames after which a game is cut off: half an hour of play."""

    def check(self) -> None:
        """Raise ValueError if a value is not allowed."""
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
        """Return the fields whose values differ from the defaults."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(AtariSettings, name)}

    @property
    def episode_decisions(self) -> int:
        """The number of decisions after which a game is cut off."""
        return -(-self.episode_frames // self.frame_skip)


# The published code states a limit of 100,000 decisions, but its environments (BreakoutNoFrameskip-v4 of ale-py 0.8.1)
# are registered with a limit of 108,000 emulator frames, which is 27,000 decisions. A test run confirmed that they are
# cut off there.
PUBLISHED_ATARI = AtariSettings(sticky_per="decision")
