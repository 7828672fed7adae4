"""Any environment that Gymnasium knows, with seeds, action repeat and autoreset as in the native environments."""

import copy
import functools
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, SupportsFloat, TypeVar

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from . import graphics
from .foreign_errors import OWN, in_one_line
from .same_step import members_to_reset
from .seeding import seeds_for_each

Built = TypeVar("Built")
GYMNASIUM = str(Path(gym.__file__).parent)
RESERVED = {"final_obs", "final_info"}  # entries of a vector's info
_said: set[str] = set()  # the warnings already printed by this process


class ActionRepeat(gym.Wrapper[Any, Any, Any, Any]):
    """Repeats each action and sums the rewards; stops early when the episode ends."""

    def __init__(self, env: gym.Env[Any, Any], times: int) -> None:
        super().__init__(env)
        self.times = times
        if "render_fps" in env.metadata:
            self.metadata = env.metadata | {"render_fps": env.metadata["render_fps"] / times}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one decision."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        total = float(reward)
        for _ in range(self.times - 1):
            if terminated or truncated:
                break
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
        return observation, total, terminated, truncated, info


class OwnFinalObservation(gym.Wrapper[Any, Any, Any, Any]):
    """Copies an episode's last observation. The vector keeps it while the next episode begins, and the environment may
    write the first observation of the next episode into the same array."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take one step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            observation = copy.deepcopy(observation)
        return observation, reward, terminated, truncated, info


class CurrentViewer(gym.Wrapper[Any, Any, Any, Any]):
    """Makes an environment's own OpenGL context current before it draws. Gymnasium's renderer does this only once, and
    would later draw in whichever context was opened last."""

    def render(self) -> Any:
        """Return the picture."""
        viewer = self.env.unwrapped.mujoco_renderer.viewer  # type: ignore[attr-defined]
        if viewer is not None and hasattr(viewer, "make_context_current"):
            viewer.make_context_current()
        return self.env.render()


class FirstSeed(gym.Wrapper[Any, Any, Any, Any]):
    """Uses a given seed for the first reset, if that reset is given none."""

    def __init__(self, env: gym.Env[Any, Any], seed: int) -> None:
        super().__init__(env)
        self._pending: int | None = seed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        seed = self._pending if seed is None else seed
        self._pending = None
        return self.env.reset(seed=seed, options=options)


class SpreadSeeds(VectorWrapper):
    """Derives a seed for each environment from one seed by `spawn_seeds`, where Gymnasium would take seed + i."""

    def __init__(self, env: VectorEnv[Any, Any, Any], seed: int | None) -> None:
        super().__init__(env)
        self._pending, self._begun = seed, False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every environment, or in those of the option `reset_mask`."""
        seeds = seeds_for_each(self._pending if seed is None else seed, self.num_envs)
        members_to_reset(options, self.num_envs, self._begun)  # raises an error for a wrong mask; Gymnasium applies it
        self._pending, self._begun = None, True
        return self.env.reset(seed=seeds, options=options)  # type: ignore[arg-type]


def make_generic(name: str, action_repeat: int, render_mode: str | None) -> gym.Env[Any, Any]:
    """Make one environment by its Gymnasium id."""
    own_renderer = render_mode is not None and is_mujoco_task(name)
    if render_mode is not None:
        graphics.announce()
    if own_renderer:
        _require_graphics(name)
    _try(name)
    env: gym.Env[Any, Any] = _built(name, lambda: gym.make(name, render_mode=render_mode))
    if own_renderer:
        env = CurrentViewer(env)
    if action_repeat > 1:
        env = ActionRepeat(env, action_repeat)
    return env


def make_generic_vector(name: str, num_envs: int, seed: int | None, action_repeat: int) -> VectorEnv[Any, Any, Any]:
    """Make several environments by their Gymnasium id; they are stepped one after the other."""
    _try(name)
    repeated = [lambda env: ActionRepeat(env, action_repeat)] if action_repeat > 1 else []
    vector = _built(
        name,
        lambda: gym.make_vec(
            name,
            num_envs=num_envs,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
            wrappers=[*repeated, OwnFinalObservation],
        ),
    )
    return SpreadSeeds(vector, seed)


def is_mujoco_task(name: str) -> bool:
    """Whether the name is one of Gymnasium's own MuJoCo tasks, which have a renderer of their own."""
    spec = gym.registry.get(name)
    return spec is not None and str(spec.entry_point).startswith("gymnasium.envs.mujoco")


@functools.cache
def _require_graphics(name: str) -> None:
    """Raise ValueError in one line if no pictures can be drawn here; Gymnasium's renderer would fail in many lines."""
    try:
        context, canvas = graphics.open_canvas(mujoco.MjModel.from_xml_string("<mujoco/>"), 16, 16)
    except RuntimeError as error:
        raise ValueError(f"environment {name!r} cannot be drawn: {error}") from error
    with graphics.current(context):
        canvas.free()
    context.free()


@functools.cache
def _try(name: str) -> None:
    """Reset and step a separate environment once, so that a wrong one fails now and not during a run."""
    with warnings.catch_warnings(action="ignore"):  # shown later, when the environments of the run are made
        env: gym.Env[Any, Any] = _built(name, lambda: gym.make(name))
        try:
            _try_step(name, env, _try_reset(name, env))
        finally:
            with suppress(Exception):
                env.close()


def _try_reset(name: str, env: gym.Env[Any, Any]) -> dict[str, Any]:
    try:
        observation, info = env.reset(seed=0)
        reserved = RESERVED.intersection(info)
    except (Exception, SystemExit) as error:
        two, header = "an observation and a dictionary", "def reset(self, *, seed=None, options=None)"
        advice = {"unpack": f"reset() has to return two things, {two}", "unexpected keyword": f"write {header}"}
        right = _right(error, advice)
        raise ValueError(f"environment {name!r} cannot be reset: {in_one_line(error)}{right}") from error
    _require_usable(name, "reset", observation, reserved, env)
    return info


def _trial_action(space: gym.Space[Any], info: dict[str, Any]) -> Any:
    """Return a random action that is allowed; all environments may share the space, whose generator stays as it is."""
    own = copy.deepcopy(space)
    own.seed(0)
    return own.sample(info["action_mask"]) if "action_mask" in info else own.sample()


def _try_step(name: str, env: gym.Env[Any, Any], info: dict[str, Any]) -> None:
    reward: Any
    try:
        action = _trial_action(env.action_space, info)
    except Exception:  # a space that cannot be copied, or a mask of another kind: a run will show what it does
        return
    try:
        observation, reward, _, _, info = env.step(action)
        reserved = RESERVED.intersection(info)
    except (Exception, SystemExit) as error:
        five = "step() has to return five things: observation, reward, terminated, truncated, info"
        right = _right(error, {"unpack": five, "step result to be a tuple": five})
        raise ValueError(f"environment {name!r} cannot be stepped: {in_one_line(error)}{right}") from error
    _require_usable(name, "step", observation, reserved, env)
    if not isinstance(reward, SupportsFloat) or np.ndim(reward):  # type: ignore[arg-type]
        given = f"the reward {ascii(reward)[:60]}"
        raise ValueError(f"environment {name!r} cannot be used: its step() returns {given}; allowed is one number")


def _require_usable(name: str, method: str, observation: Any, reserved: set[str], env: gym.Env[Any, Any]) -> None:
    space = env.observation_space
    if isinstance(space, gym.spaces.Box) and np.shape(observation) != space.shape:
        raise ValueError(
            f"environment {name!r} cannot be used: its {method}() returns an observation of shape "
            f"{np.shape(observation)}, and its observation_space has shape {space.shape}"
        )
    if reserved:
        raise ValueError(
            f"environment {name!r} cannot be used: the info of its {method}() has an entry {min(reserved)!r}, "
            "which Gymnasium's vectors use for the ends of episodes: give it another name"
        )


def _right(error: BaseException, advice: Mapping[str, str]) -> str:
    """Return how a method has to be written, as the end of a message, if an error in calling it shows what is wrong."""
    if not traceback.extract_tb(error.__traceback__)[-1].filename.startswith((GYMNASIUM, OWN)):
        return ""  # the error is in the environment's own code
    return next((f"; {right}" for words, right in advice.items() if words in str(error)), "")


def _built(name: str, build: Callable[[], Built]) -> Built:
    try:
        with _each_warning_once():
            return build()
    except ModuleNotFoundError as error:
        missing = error.name or getattr(error.__cause__, "name", None) or name.partition(":")[0]
        advice = _where_to_save(name, missing)
        raise ValueError(
            f"environment {name!r} needs the Python module {missing!r}, which is missing{advice}"
        ) from error
    except (ImportError, gym.error.Error) as error:
        said = " ".join(str(error).split())
        module, _, identifier = name.rpartition(":")
        if module and isinstance(error, gym.error.NameNotFound) and "Did you mean" not in said:
            said += (
                f" {module} was imported and has not registered it: call gymnasium.register({identifier!r}, ...) there"
            )
        raise ValueError(f"environment {name!r} cannot be made here: {said}") from error
    except (Exception, SystemExit) as error:  # the environment's code may raise anything
        raise ValueError(f"environment {name!r} cannot be made here: {in_one_line(error)}") from error


def _where_to_save(name: str, missing: str) -> str:
    """Return what to do if the missing module is the one that the name of the environment begins with."""
    module, _, identifier = name.partition(":")
    if missing != module:
        return ""
    if module.endswith(".py"):
        return (
            f": give the name of the module without .py, {module.removesuffix('.py').rpartition('/')[2]}:{identifier}"
        )
    return f": save it as {module}.py in {Path.cwd()}, or in a folder on PYTHONPATH"


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Print each warning of MuJoCo's compiler once, not once for every environment that is made of the same model."""
    previous = mujoco.get_mju_user_warning()

    def say(text: str) -> None:
        if text not in _said:
            _said.add(text)
            with suppress(Exception):  # called from C: an exception here would end the process
                print(f"warning: MuJoCo: {text}", file=sys.stderr)

    mujoco.set_mju_user_warning(say)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(previous)
