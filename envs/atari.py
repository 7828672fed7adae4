"""Atari games as Gymnasium environments: a vector with same-step autoreset and saved states, and a single one that
can be rendered.

The emulators' state cannot be saved here. Instead the actions of each member of the vector since its last seeding are
saved, and played again when the state is restored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from .atari_games import NOOP, AtariGames, Flags, Frames, Played
from .atari_settings import FRAMES_PER_SECOND, AtariSettings
from .same_step import require_reset_of_all
from .seeding import seeds_for_each
from .state_checks import State
from .trace import SEED_END, Trace, random_seed, require_same, traces_from_state, traces_to_state

Info = dict[str, Any]

# Seeding an emulator takes 90 ms, as long as playing 250 decisions. So a member is seeded again only at the first game
# that begins at least this many decisions after its last seeding. Seeding then takes at most 6% of the emulators' time,
# and a resumed run has up to this many more decisions to replay.
PATIENCE = 4_000


class AtariVectorEnv(VectorEnv[Frames, NDArray[np.int64], NDArray[Any]]):
    """Several emulators of one game. Rewards are the game's own points."""

    def __init__(self, name: str, num_envs: int, seed: int | None, settings: AtariSettings, threads: int) -> None:
        self._games = AtariGames(name, num_envs, settings, threads)
        self._traces = _new_traces(seed, num_envs)
        self._begun = False
        self.num_envs = num_envs
        self.settings = settings
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.spec = atari_spec(name, settings)
        self._identity = f"{name} {settings.changed()}"
        self.single_observation_space, self.single_action_space = _spaces(self._games, settings)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Frames, Info]:
        """Begin a game in every member; from a single seed, one seed for each member is derived."""
        require_reset_of_all(options)
        _begin_all(self._games, self._traces, seeds_for_each(seed, self.num_envs), self._begun)
        self._begun = True
        return self._games.observations, self._infos()

    def step(self, actions: ArrayLike) -> tuple[Frames, NDArray[np.float64], Flags, Flags, Info]:
        """Take one decision in each member. Where an episode ends, the next one begins at once, and `final_obs` holds
        the last observation of the one that ended."""
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before step()")
        played = _play(self._games, self._traces, np.asarray(actions))
        ended = played.terminated | played.truncated
        true_observations = self._games.observations
        _go_on(self._games, self._traces, played)
        # Even if a lost life ends an episode for the learner, scores are counted over whole games.
        infos = self._infos() | {"game_over": played.over, "_game_over": np.ones(self.num_envs, dtype=np.bool_)}
        if ended.any():
            infos |= {"final_obs": true_observations, "_final_obs": ended}
        return self._games.observations, played.rewards, played.terminated, played.truncated, infos

    def get_state(self) -> State:
        """Return everything that determines what follows; `set_state(**state)` restores it exactly."""
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before get_state()")
        return self._as_state(self._games.observations)

    def set_state(self, /, **state: ArrayLike) -> None:
        """Continue from a state of `get_state`: each member replays its actions since its last seeding."""
        form, longest = self._as_state([NOOP] * self.num_envs), self.settings.episode_decisions
        wanted, checksums = traces_from_state(state, form, self.single_action_space, longest, PATIENCE)
        try:
            numbers = _replay(self._games, wanted)
            episodes = [(number, trace.episode) for number, trace in zip(numbers, wanted, strict=True)]
            require_same(checksums, self._games.observations, episodes, self._identity)
        except Exception:
            self.reset()  # the replay stopped in the middle, so that the present state belongs to no saved one
            raise
        self._traces, self._begun = wanted, True

    def close_extras(self, **settings: Any) -> None:
        """End the emulators' threads."""
        self.__dict__.pop("_games", None)  # absent if the constructor failed

    def _as_state(self, observations: Iterable[Any]) -> State:
        return traces_to_state(self._traces, observations, np.array(NOOP, dtype=np.int64), self._identity)

    def _infos(self) -> Info:
        return {"lives": self._games.lives, "_lives": np.ones(self.num_envs, dtype=np.bool_)}


class AtariEnv(gym.Env[Any, Any]):
    """One emulator. It plays exactly as a vector's member with the same seed, and can draw the console's own screen."""

    def __init__(self, name: str, seed: int | None, render_mode: str | None, settings: AtariSettings) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode {render_mode!r} is not known; allowed are None and 'rgb_array'")
        self._games = AtariGames(name, 1, settings, 1, pictures=render_mode is not None)
        self._traces = [Trace(random_seed() if seed is None else seed, PATIENCE)]
        self._last: Played | None = None
        self._begun = False
        self.settings, self.render_mode = settings, render_mode
        frames_per_second = FRAMES_PER_SECOND / settings.frame_skip
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": frames_per_second}
        self.spec = atari_spec(name, settings, render_mode)
        self.observation_space, self.action_space = _spaces(self._games, settings)

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Frames, Info]:
        """Begin an episode: the next game, or the rest of the game if a lost life ended the last episode."""
        super().reset(seed=seed)
        if seed is None and self._last is not None and (self._last.over[0] or self._last.life_lost[0]):
            _go_on(self._games, self._traces, self._last)
        else:
            _begin_all(self._games, self._traces, [seed], self._begun)
        self._begun, self._last = True, None
        return self._games.observations[0], {"lives": int(self._games.lives[0])}

    def step(self, action: ArrayLike) -> tuple[Frames, float, bool, bool, Info]:
        """Take one decision."""
        if not self._begun or (self._last is not None and (self._last.terminated[0] or self._last.truncated[0])):
            raise gym.error.ResetNeeded("call reset() before the first step() and after an episode's last")
        self._last = played = _play(self._games, self._traces, np.asarray(action)[None])
        info = {"lives": int(self._games.lives[0])}
        observation = self._games.observations[0]
        return observation, float(played.rewards[0]), bool(played.terminated[0]), bool(played.truncated[0]), info

    def close(self) -> None:
        """End the emulators' threads."""
        self.__dict__.pop("_games", None)

    def render(self) -> Frames | None:
        """Return the screen, (height, width, 3)."""
        if self.render_mode is None:
            return None
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() before render()")
        return self._games.screen()


def make_registered_atari(name: str, render_mode: str | None = None, **settings: Any) -> AtariEnv:
    """Make one environment; `gym.make(spec)` calls this."""
    return AtariEnv(name, None, render_mode, AtariSettings(**settings))


def atari_spec(name: str, settings: AtariSettings, render_mode: str | None = None) -> EnvSpec:
    """Return the Gymnasium specification of one environment; its time limit counts decisions."""
    return EnvSpec(
        name,
        entry_point=f"{__name__}:make_registered_atari",
        max_episode_steps=settings.episode_decisions,
        order_enforce=False,
        disable_env_checker=True,
        kwargs={"name": name, "render_mode": render_mode, **asdict(settings)},
    )


def _spaces(games: AtariGames, settings: AtariSettings) -> tuple[Box, Discrete]:
    size = settings.screen_size
    return Box(0, 255, (settings.stack, size, size), np.uint8), Discrete(games.action_count)


def _new_traces(seed: int | None, count: int) -> list[Trace]:
    return [Trace(random_seed() if one is None else one, PATIENCE) for one in seeds_for_each(seed, count)]


def _begin_all(games: AtariGames, traces: list[Trace], seeds: Sequence[int | None], begun: bool) -> None:
    """Begin a game in every member: from its seed, or without one its next game, even if the present one goes on."""
    for seed in seeds:
        if seed is not None and not 0 <= seed < SEED_END:
            raise ValueError(f"seed is {seed}; allowed are None and whole numbers from 0 on, below 2**63")
    first: list[int | None] = []
    for member, seed in enumerate(seeds):
        if seed is not None:
            traces[member] = Trace(int(seed), PATIENCE)
        elif begun:
            first.append(traces[member].next_episode(over=False))
            continue
        first.append(traces[member].first())
    games.begin(range(len(traces)), first)


def _play(games: AtariGames, traces: Sequence[Trace], actions: NDArray[Any]) -> Played:
    played = games.step(actions)
    for trace, action in zip(traces, actions.tolist(), strict=True):
        trace.actions.append(action)
    return played


def _go_on(games: AtariGames, traces: Sequence[Trace], played: Played) -> None:
    """Begin the next episode where one ended: the next game, or the same game with its next life."""
    if played.over.any():
        members = np.flatnonzero(played.over).tolist()
        games.begin(members, [traces[member].next_episode() for member in members])
    if played.life_lost.any():
        games.begin_stacks(played.life_lost)


def _replay(games: AtariGames, traces: Sequence[Trace]) -> list[int]:
    """Replay the traces of all members at once, and return the number of the episode in which each member arrives.

    All members have to step together, so those with shorter traces begin later, and all arrive at the same time. What a
    member plays before its trace begins does not matter.
    """
    waits = np.array([len(trace.actions) for trace in traces])
    longest, numbers = int(waits.max()), [trace.seeded for trace in traces]
    waits = longest - waits
    games.begin(
        range(len(traces)), [None if wait else trace.first() for trace, wait in zip(traces, waits, strict=True)]
    )
    for moment in range(longest + 1):
        if moment and (starting := np.flatnonzero(waits == moment).tolist()):
            games.begin(starting, [traces[member].first() for member in starting])
        if moment == longest:
            break
        pairs = zip(traces, (moment - waits).tolist(), strict=True)
        played = games.step(np.array([trace.actions[at] if at >= 0 else NOOP for trace, at in pairs], dtype=np.int64))
        if over := np.flatnonzero(played.over).tolist():
            for member in over:
                numbers[member] += int(waits[member] <= moment)
            games.begin(over, [None] * len(over))
        if played.life_lost.any():
            games.begin_stacks(played.life_lost)
    return numbers
