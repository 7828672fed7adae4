"""MinAtar's five games (Young and Tian 2019, arXiv:1903.03176) by their ids, such as `MinAtar/Breakout-v1`.

The optional package MinAtar provides the games, their sticky actions (0.1) and their growing difficulty. Only Freeway
has a time limit, 2,500 steps, which it reports as termination.
"""

import difflib
import functools
import importlib
import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import ArrayLike, NDArray

from fire_rl.place import install

from .generic import ActionRepeat, SpreadSeeds
from .retraced import Retraced, RetracedVector
from .seeding import seed_legacy_generator, seeds_for_each

PREFIX = "MinAtar/"
GAMES = {"Asterix": "asterix", "Breakout": "breakout", "Freeway": "freeway", "Seaquest": "seaquest",
         "SpaceInvaders": "space_invaders"}  # fmt: skip
NAMES = tuple(f"{PREFIX}{game}-v{version}" for game in GAMES for version in (0, 1))
FRAMES_PER_SECOND = 20  # as the package shows them
PIXELS = 16  # the width and height of a cell in a picture

Info = dict[str, Any]
Cells = NDArray[np.uint8]


class MinAtarEnv(gym.Env[Any, Any]):
    """One game; an observation has a plane of ones and zeros for each kind of object.

    Version v1 has only the actions that the game uses, v0 has all six.
    """

    def __init__(self, name: str, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode {render_mode!r} is not known; allowed are None and 'rgb_array'")
        game, _, version = _known(name).removeprefix(PREFIX).partition("-")
        self.game = _minatar().Environment(GAMES[game])
        self.game.seed(0)
        self._begun = False
        self.actions = self.game.minimal_action_set() if version == "v1" else list(range(self.game.num_actions()))
        height, width, channels = self.game.state_shape()
        self.observation_space = Box(0, 1, (channels, height, width), np.uint8)
        self.action_space = Discrete(len(self.actions))
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}
        self.render_mode = render_mode
        self.spec = EnvSpec(
            name,
            entry_point=f"{__name__}:MinAtarEnv",
            order_enforce=False,
            disable_env_checker=True,
            kwargs={"name": name, "render_mode": render_mode},
        )

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Cells, Info]:
        """Begin a game. With a seed, it depends on nothing of the game before, not even on its last action."""
        super().reset(seed=seed)
        if seed is not None:
            seed_legacy_generator(self.game.random, seed)
        self._begun = True
        self.game.last_action = 0
        self.game.reset()
        return self._cells(), {}

    def step(self, action: ArrayLike) -> tuple[Cells, float, bool, bool, Info]:
        """Take one step."""
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() before step()")
        chosen = np.asarray(action)
        if chosen.shape or chosen.dtype.kind not in "iu" or not 0 <= chosen < len(self.actions):
            raise ValueError(
                f"the action is {chosen.tolist()}; allowed are whole numbers from 0 to {len(self.actions) - 1}"
            )
        reward, terminated = self.game.act(self.actions[int(chosen)])
        return self._cells(), float(reward), bool(terminated), False, {}

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture, (160, 160, 3), with each kind of object in a colour of its own."""
        if self.render_mode is None:
            return None
        from matplotlib import colormaps

        planes = self.game.state()
        kinds = (planes * (1 + np.arange(planes.shape[2]))).max(axis=2)
        colours = colormaps["cubehelix"](kinds / (planes.shape[2] + 1), bytes=True)[..., :3]
        return np.ascontiguousarray(colours.repeat(PIXELS, axis=0).repeat(PIXELS, axis=1))

    def _cells(self) -> Cells:
        return np.ascontiguousarray(self.game.state().transpose(2, 0, 1), dtype=np.uint8)


def make_minatar(name: str, seed: int | None, action_repeat: int, render_mode: str | None) -> Retraced:
    """Make one game; it plays the same as a vector's member with the same seed."""
    env: gym.Env[Any, Any] = MinAtarEnv(name, render_mode)
    return Retraced(ActionRepeat(env, action_repeat) if action_repeat > 1 else env, seed)


def make_minatar_vector(name: str, num_envs: int, seed: int | None, action_repeat: int) -> VectorEnv[Any, Any, Any]:
    """Make several games, stepped one after the other, whose states can be saved."""
    seeds = seeds_for_each(seed, num_envs)
    members = [make_minatar(name, one, action_repeat, None) for one in seeds]
    functions = [functools.partial(_given, member) for member in members]
    vector = SyncVectorEnv(functions, autoreset_mode=AutoresetMode.SAME_STEP)
    vector.spec = members[0].env.unwrapped.spec
    return RetracedVector(SpreadSeeds(vector, None), members)


def minatar_names() -> list[str]:
    """Return MinAtar's ids, or none if it is not installed."""
    return list(NAMES) if find_spec("minatar") else []


def _given(member: Retraced) -> Retraced:
    return member


def _known(name: str) -> str:
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=3, cutoff=0.4) or NAMES[:3]
        raise ValueError(f"no MinAtar game is called {name!r}; the nearest names are {', '.join(near)}")
    return name


def _minatar() -> Any:
    if find_spec("minatar") is None:
        raise ValueError(f"{PREFIX} games need the module 'minatar', which is missing: {install('minatar')}")
    quiet = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it warns that seaborn is missing, which it needs for drawing only
    try:
        return importlib.import_module("minatar")
    finally:
        logging.disable(quiet)
