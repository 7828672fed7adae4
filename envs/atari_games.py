"""Emulators of one Atari game in ale-py's C++ vector, with frame stacks, sticky actions and time limits.

These parts of ale-py's vector (0.12.1) are used: frame skipping, the maximum of two frames, grayscale, scaling, no-ops,
FIRE, and resets of some members from given seeds. These are done here instead: frame stacks (ale-py fills a new stack
with black), the time limit (in ale-py the last observation lacks the last frame and mixes in older ones), lost lives
(ale-py would begin a new game), and the next episode (ale-py would choose its seed by counting up).
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .atari_names import rom_of
from .atari_settings import AtariSettings

NEVER = 2**30  # the time limit given to ale-py's vector, in frames; it is never reached
NOOP = 0  # the first action of every game
SEED_BITS = 31  # the emulator takes an int

Flags = NDArray[np.bool_]
Frames = NDArray[np.uint8]


class Played(NamedTuple):
    """The results of one decision, by member. `terminated` includes lost lives if the settings say so."""

    rewards: NDArray[np.float64]
    terminated: Flags
    truncated: Flags
    over: Flags  # the game is over, by its rules or by the time limit
    life_lost: Flags  # a lost life ended the episode for the learner, while the game goes on


class AtariGames:
    """Plays `count` games at once. The caller begins the games, and begins the next game wherever one is over."""

    observations: Frames  # (count, stack, size, size); a new array after each change
    lives: NDArray[np.int64]

    def __init__(self, name: str, count: int, settings: AtariSettings, threads: int, pictures: bool = False) -> None:
        settings.check()
        self.settings, self.count = settings, count
        self._emulators = _emulators(name, count, settings, threads)
        self._screens = _screens(name, count, settings) if pictures else None
        self.action_count = int(self._emulators.single_action_space.n)
        self._sticky = settings.sticky if settings.sticky_per == "decision" else 0.0
        self._generators = [np.random.default_rng() for _ in range(count)]
        self._executed = np.full(count, NOOP, dtype=np.int64)
        self._decisions = np.zeros(count, dtype=np.int64)
        self._screen: Frames | None = None

    def begin(self, members: Sequence[int], seeds: Sequence[int | None]) -> None:
        """Begin games: from a seed, or without one by continuing the member's present random numbers."""
        mask, chosen = np.zeros(self.count, dtype=np.bool_), np.full(self.count, -1, dtype=np.int64)
        for member, seed in zip(members, seeds, strict=True):
            mask[member] = True
            if seed is not None:
                chosen[member] = seed % 2**SEED_BITS
                self._generators[member] = np.random.default_rng(seed)
        options = None if mask.all() else {"reset_mask": mask}  # ale-py's first reset must be of all members
        frames, infos = self._emulators.reset(seed=chosen[mask], options=options)
        if self._screens is not None:
            self._screen = self._screens.reset(seed=chosen[mask], options=options)[0]
        self._executed[mask], self._decisions[mask] = NOOP, 0
        self.lives = infos["lives"].astype(np.int64)
        self._restack(mask, frames)

    def begin_stacks(self, mask: Flags) -> None:
        """Begin new frame stacks from the newest picture, as at the start of an episode; used after a lost life."""
        self._restack(mask, self.observations[:, -1:])

    def step(self, actions: ArrayLike) -> Played:
        """Take one decision in every member."""
        executed = self._checked(actions)
        if self._sticky:
            repeats = np.array([generator.random() < self._sticky for generator in self._generators])
            executed = np.where(repeats, self._executed, executed)
        self._executed = executed
        frames, rewards, over, _, infos = self._emulators.step(executed)
        if self._screens is not None:
            self._screen = self._screens.step(executed)[0]
        self._decisions += 1
        self.observations = np.concatenate((self.observations[:, 1:], frames), axis=1)
        before, self.lives = self.lives, infos["lives"].astype(np.int64)
        cut = (self._decisions >= self.settings.episode_decisions) & ~over
        life_lost = (self.lives > 0) & (self.lives < before) & ~over & self.settings.terminal_on_life_loss
        return Played(rewards.astype(np.float64), over | life_lost, cut & ~life_lost, over | cut, life_lost & ~cut)

    def screen(self) -> Frames:
        """Return the first game's whole screen in colour, (height, width, 3)."""
        assert self._screen is not None  # the object was made with `pictures`, and `begin` was called
        return self._screen[0, 0].copy()

    def _restack(self, mask: Flags, frames: Frames) -> None:
        if mask.all():
            self.observations = np.zeros((self.count, self.settings.stack, *frames.shape[2:]), dtype=np.uint8)
        else:
            self.observations = self.observations.copy()
        self.observations[mask] = frames[mask] if self.settings.first_stack == "repeat" else 0
        self.observations[mask, -1] = frames[mask, 0]

    def _checked(self, actions: ArrayLike) -> NDArray[np.int64]:
        """Return the actions as int64; raise ValueError for an invalid one, which would block ale-py's threads."""
        chosen = np.asarray(actions)
        if chosen.shape != (self.count,) or chosen.dtype.kind not in "iu":
            raise ValueError(
                f"actions are {chosen.dtype} of shape {chosen.shape}; needed are {self.count} whole numbers"
            )
        if (chosen < 0).any() or (chosen >= self.action_count).any():
            raise ValueError(f"actions are {chosen.tolist()}; allowed are 0 to {self.action_count - 1}")
        return chosen.astype(np.int64)


def _emulators(name: str, count: int, settings: AtariSettings, threads: int, **picture: Any) -> Any:
    rom = rom_of(name)
    from ale_py.vector_env import AtariVectorEnv  # an extra

    size = {"img_height": settings.screen_size, "img_width": settings.screen_size, "grayscale": True, "maxpool": True}
    return AtariVectorEnv(
        rom,
        count,
        num_threads=min(threads, os.cpu_count() or 1),
        max_num_frames_per_episode=NEVER,
        repeat_action_probability=settings.sticky if settings.sticky_per == "frame" else 0.0,
        full_action_space=settings.full_actions,
        stack_num=1,
        frameskip=settings.frame_skip,
        noop_max=settings.noop_max + 1,  # ale-py draws a number below this
        use_fire_reset=settings.fire_reset,
        reward_clipping=False,
        **size | picture,
    )


def _screens(name: str, count: int, settings: AtariSettings) -> Any:
    """Make emulators that show the whole screen; with the same seeds and actions they play the same games."""
    from ale_py import ALEInterface, LoggerMode, roms

    ALEInterface.setLoggerMode(LoggerMode.Error)
    console = ALEInterface()
    path = roms.get_rom_path(rom_of(name))
    assert path is not None  # the ROM is in ale-py's list, so it is installed
    console.loadROM(path)
    height, width = console.getScreenDims()
    return _emulators(name, count, settings, 1, img_height=height, img_width=width, grayscale=False, maxpool=False)
