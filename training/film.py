"""Film episodes in real time: an environment is played and draws pictures, which recorders make into videos."""

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from fire_rl.envs.video import Mp4, Pixels, Recorder, require_av
from fire_rl.envs.world import World

from .durable import write_durably
from .error_words import message_of
from .evaluate import LIMIT, Act

PICTURES_PER_SECOND = 30.0  # the highest rate of a video, and the rate of an environment that does not state one


def make_filmed(world: World) -> gym.Env[Any, Any]:
    """Make one environment that draws pictures; raise ValueError in one line if it, or this machine, cannot."""
    env: gym.Env[Any, Any] | None = None
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame, where it draws, looks for no screen and says nothing
    try:
        env = world.single("rgb_array")
        env.reset(seed=0)
        picture_of(env)
    except Exception as error:  # an environment may raise anything
        if env is None and isinstance(error, ValueError):
            raise  # no such environment, or a package is missing: the message says so already
        raise ValueError(f"{world.name} cannot be filmed: {message_of(error)}") from error
    return env


def picture_of(env: gym.Env[Any, Any]) -> Pixels:
    """Return the environment's present picture; raise ValueError if it is not a picture."""
    picture = np.asarray(env.render())
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"its render() gives {picture.dtype} of shape {picture.shape}, which is not an RGB picture")
    return picture


def timing(env: gym.Env[Any, Any]) -> tuple[int, float]:
    """Return n, if one picture is drawn every n decisions, and the video's pictures per second for real time."""
    rate = float(env.metadata.get("render_fps") or PICTURES_PER_SECOND)
    every = math.ceil(rate / PICTURES_PER_SECOND)
    return every, rate / every


def decisions_at_most(env: gym.Env[Any, Any], action_repeat: int) -> int:
    """Return the largest number of decisions in an episode."""
    limit = env.spec and env.spec.max_episode_steps
    return math.ceil(limit / action_repeat) if limit else LIMIT


def play(act: Act, env: gym.Env[Any, Any], seed: int, limit: int) -> Iterator[float]:
    """Play one episode of at most `limit` decisions; yield 0 after the reset, and the reward after each decision."""
    observation, _ = env.reset(seed=seed)
    yield 0.0
    for _ in range(limit):
        observation, reward, terminated, truncated, _ = env.step(act(observation))
        yield float(reward)
        if terminated or truncated:
            return


def film(episode: Iterable[float], env: gym.Env[Any, Any], recorders: Sequence[Recorder]) -> float:
    """Record an episode of the environment while it is played, and return its return."""
    every, _ = timing(env)
    total = 0.0
    for decisions, reward in enumerate(episode):
        total += reward
        if decisions % every == 0:
            picture = picture_of(env)
            for recorder in recorders:
                recorder.add(picture)
    return total


class EvaluationFilm:
    """Films the first episode of each evaluation in a separate environment.

    It is made before training begins, so that an environment that cannot be filmed is refused at once.
    """

    def __init__(self, world: World, evaluated_at_once: int, longest: int | None = None) -> None:
        require_av()
        self.env = make_filmed(world)
        limit = decisions_at_most(self.env, world.action_repeat)
        self.limit = min(limit, longest or limit)
        self.evaluated_at_once = evaluated_at_once

    def record(self, act: Act, seed: int, path: Path) -> float:
        """Play the episode of `seed` again, write the video, and return the episode's return."""

        def act_on_one(observation: NDArray[Any]) -> NDArray[Any]:
            # In a batch as large as in the evaluation, because matrix products of other sizes differ in the last bits.
            return act(np.repeat(observation[None], self.evaluated_at_once, axis=0))[0]

        recorder = Mp4(timing(self.env)[1])
        total = film(play(act_on_one, self.env, seed, self.limit), self.env, [recorder])
        path.parent.mkdir(exist_ok=True)
        write_durably(path, recorder.content())
        return total


def evaluation_video(folder: Path, environment_steps: int, occasion: str) -> Path:
    """Return the path of the video of one of a run's evaluations."""
    suffix = "" if occasion == "scheduled" else f"-{occasion.replace(' ', '-')}"
    return folder / "videos" / f"step-{environment_steps}{suffix}.mp4"


def forget_videos(folder: Path, environment_steps: int, owed: str | None = None) -> None:
    """Delete the videos of the evaluations that a run repeats if it is resumed at a step: those from this step on, or,
    if an evaluation is owed there, this one and those of later steps."""
    first = environment_steps if owed is None else environment_steps + 1
    missing = None if owed is None else evaluation_video(folder, environment_steps, owed)
    for path in (folder / "videos").glob("step-*.mp4"):
        named = re.fullmatch(r"step-(\d+)(-before-event|-after-event)?", path.stem)
        if named and (int(named[1]) >= first or path == missing):  # files with other names are the user's and stay
            path.unlink()
