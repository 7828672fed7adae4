"""Episodes filmed at the speed of the real thing: an environment plays and draws itself, recorders take it down."""

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
from .evaluate import LIMIT, Act

PICTURES_PER_SECOND = 30.0  # at most, and for an environment that does not say how fast it is


def make_filmed(world: World) -> gym.Env[Any, Any]:
    """One environment that draws itself; a ValueError of one line where it, or this machine, cannot."""
    env: gym.Env[Any, Any] | None = None
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame, where it draws, looks for no screen and says nothing
    try:
        env = world.single("rgb_array")
        env.reset(seed=0)
        picture_of(env)
    except Exception as error:  # environments fail in ways of their own
        if env is None and isinstance(error, ValueError):
            raise  # no such environment, or what it needs is missing: said already
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{world.name} cannot be filmed: {reason}") from error
    return env


def picture_of(env: gym.Env[Any, Any]) -> Pixels:
    """What the environment looks like now."""
    picture = np.asarray(env.render())
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"its render() gives {picture.dtype} of shape {picture.shape}, no picture of red, green, blue")
    return picture


def timing(env: gym.Env[Any, Any]) -> tuple[int, float]:
    """Of how many decisions one is drawn, and how many pictures a second then last as long as what they show."""
    rate = float(env.metadata.get("render_fps") or PICTURES_PER_SECOND)
    every = math.ceil(rate / PICTURES_PER_SECOND)
    return every, rate / every


def decisions_at_most(env: gym.Env[Any, Any], action_repeat: int) -> int:
    """How long an episode can be."""
    limit = env.spec and env.spec.max_episode_steps
    return math.ceil(limit / action_repeat) if limit else LIMIT


def play(act: Act, env: gym.Env[Any, Any], seed: int, limit: int) -> Iterator[float]:
    """One episode, of `limit` decisions at most: the reward of each, and 0 for the start, while it happens."""
    observation, _ = env.reset(seed=seed)
    yield 0.0
    for _ in range(limit):
        observation, reward, terminated, truncated, _ = env.step(act(observation))
        yield float(reward)
        if terminated or truncated:
            return


def film(episode: Iterable[float], env: gym.Env[Any, Any], recorders: Sequence[Recorder]) -> float:
    """Records an episode of the environment while it happens, from the start on; its return."""
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
    """Films the first episode of evaluations, in an environment of its own; made before training, to fail before it."""

    def __init__(self, world: World, evaluated_at_once: int, longest: int | None = None) -> None:
        require_av()
        self.env = make_filmed(world)
        limit = decisions_at_most(self.env, world.action_repeat)
        self.limit = min(limit, longest or limit)
        self.evaluated_at_once = evaluated_at_once

    def record(self, act: Act, seed: int, path: Path) -> float:
        """Plays the episode of `seed` again, writes the video, and returns the episode's return."""

        def act_on_one(observation: NDArray[Any]) -> NDArray[Any]:
            # As one of as many as were evaluated at once: for fewer, matrix products differ in the last bits.
            return act(np.repeat(observation[None], self.evaluated_at_once, axis=0))[0]

        recorder = Mp4(timing(self.env)[1])
        total = film(play(act_on_one, self.env, seed, self.limit), self.env, [recorder])
        path.parent.mkdir(exist_ok=True)
        write_durably(path, recorder.content())
        return total


def evaluation_video(folder: Path, environment_steps: int, occasion: str) -> Path:
    """Where the video of one of a run's evaluations is."""
    suffix = "" if occasion == "scheduled" else f"-{occasion.replace(' ', '-')}"
    return folder / "videos" / f"step-{environment_steps}{suffix}.mp4"


def forget_videos(folder: Path, environment_steps: int) -> None:
    """Deletes the videos of evaluations from a step on, which a run resumed there does again."""
    for path in (folder / "videos").glob("step-*.mp4"):
        named = re.fullmatch(r"step-(\d+)(-before-event|-after-event)?", path.stem)
        if named and int(named[1]) >= environment_steps:  # a file of the user's own stays
            path.unlink()
