"""Choose one episode, film it and write the video, for `watch.py`."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import gymnasium as gym
from tqdm import tqdm

from fire_rl import envs
from fire_rl.envs.video import RECORDERS, require_av
from fire_rl.envs.world import World

from .durable import require_writable, write_durably
from .evaluate import Act, exploring
from .film import decisions_at_most, film, make_filmed, play, timing
from .folder import out_of_reach
from .policy import Policy, load_policy, split_run
from .pretrained import PREFIX, is_pretrained, pretrained_names
from .trust import trusted


def watch(
    name: str, seed: int, episodes: int, choose: str, steps: int | None, output: Path | None, trust: Path | None
) -> None:
    """Film one of `episodes` episodes of a run's policy, or of random actions in an environment; print the files."""
    for flag, value, least in (("--seed", seed, 0), ("--episodes", episodes, 1), ("--steps", steps, 1)):
        if value is not None and value < least:
            raise ValueError(f"{flag} {value} given; allowed are whole numbers from {least} on")
    run, step = split_run(name)
    a_policy = os.path.lexists(run) or step is not None or is_pretrained(name)  # and not an environment
    policy = load_policy(run, step, trusted(run, trust)) if a_policy else None
    title, stem = _names(name, policy)
    files = _files(stem if output is None else output, chosen=output is not None)
    env, repeat = _environment(name, policy)
    limit = decisions_at_most(env, repeat)
    limit = limit if steps is None else min(limit, -(-steps // repeat))

    def episode(seed: int) -> Iterator[float]:
        return play(_acting(policy, env, seed) if policy else _random(env, seed), env, seed, limit)

    chosen, which = _choose(episode, envs.spawn_seeds(seed, episodes), choose)
    every, rate = timing(env)
    recorders = [RECORDERS[path.suffix](rate) for path in files]
    with tqdm(
        episode(chosen), total=limit + 1, unit="step", desc=title, dynamic_ncols=True,
        mininterval=0.5 if sys.stderr.isatty() else 30,
    ) as bar:  # fmt: skip
        total = film(bar, env, recorders)
        decisions = bar.n - 1
    env.close()
    length = f"{decisions * repeat} environment steps, {decisions / every / rate:.1f} s"
    print(f"{title}{which}: return {total:.1f}, {length}")
    for path, recorder in zip(files, recorders, strict=True):
        content = recorder.content()
        write_durably(path, content)
        print(f"  {path} ({len(content) / 1e3:,.0f} KB)")


def _names(name: str, policy: Policy | None) -> tuple[str, Path]:
    """Return the title of the episode, and the path of its videos without their endings."""
    if policy is None:
        plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
        return f"{name}, random actions", Path(f"video-{plain}")
    return f"{policy.config.run.env}, checkpoint at step {policy.step:,}", (
        Path(f"video-{policy.run.name}") if is_pretrained(name) else policy.run / f"video-{policy.step}"
    )


def _files(stem: Path, chosen: bool) -> list[Path]:
    """Return the files to write; raise ValueError if one of them cannot be written."""
    if chosen and (why := out_of_reach(stem)):
        raise ValueError(f"--output {stem} given: {why}")
    if chosen and (stem.is_dir() or not stem.name):
        raise ValueError(f"--output {stem} given, which is a folder; allowed is a file, such as {stem / 'video.mp4'}")
    if chosen and stem.suffix not in ("", *RECORDERS):
        raise ValueError(f"--output {stem} given; allowed endings are {' and '.join(RECORDERS)}, or none for both")
    files = [stem] if chosen and stem.suffix in RECORDERS else [stem.with_name(stem.name + kind) for kind in RECORDERS]
    if not stem.parent.is_dir():
        raise ValueError(f"--output {stem} given; there is no folder {stem.parent}")
    require_writable(stem.parent)
    if ".mp4" in [path.suffix for path in files]:
        require_av()
    return files


def _environment(name: str, policy: Policy | None) -> tuple[gym.Env, int]:
    """Return the environment to film, and its action repeat."""
    if policy is not None:
        return make_filmed(policy.config.world.evaluated), policy.config.run.action_repeat
    try:
        return make_filmed(World(name)), 1
    except ValueError as error:
        along = f"there is a policy {PREFIX}{name.lower()}; " if name.lower() in pretrained_names() else ""
        raise ValueError(f"{name} is not a run's folder; {along}as an environment: {error}") from error


def _acting(policy: Policy, env: gym.Env, seed: int) -> Act:
    """Return the policy as it acts in evaluations, with its share of random actions."""
    if not (share := policy.config.evaluation_exploration):
        return policy.act
    act = exploring(policy.act, share, env.action_space, seed)
    return lambda observation: act(observation[None])[0]


def _random(env: gym.Env, seed: int) -> Act:
    env.action_space.seed(seed)
    return lambda observation: env.action_space.sample()


def _choose(episode: Callable[[int], Iterator[float]], seeds: Sequence[int], choose: str) -> tuple[int, str]:
    """Return the seed of the best or the median episode, and which one it is in words."""
    if len(seeds) == 1:
        return seeds[0], ""
    bar = tqdm(seeds, unit="episode", desc=f"choosing the {choose}", dynamic_ncols=True, leave=False)
    ranked = sorted((sum(episode(seed)), seed) for seed in bar)
    return ranked[-1 if choose == "best" else len(ranked) // 2][1], f", the {choose} of {len(seeds)}"
