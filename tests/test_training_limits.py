"""What does not fit or is not possible is refused before anything begins, in one line with flag, value and figure."""

import gc
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fire_rl.agents import DQNSettings, SACSettings, Surroundings
from fire_rl.commands.train import train_dqn, train_sac
from fire_rl.envs import AtariSettings
from fire_rl.envs.world import World
from fire_rl.training import memory
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.learners import LEARNERS, DQNRun, SACRun
from fire_rl.training.memory import (
    only_new_objects_collected,
    require_memory_for_environments,
    require_memory_for_learning,
)
from fire_rl.training.reinforcement_settings import RunSettings
from fire_rl.training.settings import flag

LARGEST = 2**53
ALL_SETTINGS: list[Any] = [RunSettings(), SACSettings(), DQNSettings(), AtariSettings()]
FREE = 20_000_000_000  # bytes


@pytest.fixture(autouse=True)
def some_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: FREE)


def whole_numbers(settings: Any) -> list[str]:
    """Return the fields that hold a whole number, or may."""
    return [field.name for field in fields(settings) if "int" in str(field.type) and "tuple" not in str(field.type)]


@pytest.mark.parametrize(
    ("settings", "name"), [(settings, name) for settings in ALL_SETTINGS for name in whole_numbers(settings)]
)
def test_a_whole_number_that_no_file_holds_exactly_is_refused_in_every_field(settings, name):
    for value in (LARGEST + 1, 10**40, 10**5000, -(10**40)):
        with pytest.raises(ValueError, match=re.escape(name) + "|" + flag(name)) as error:
            replace(settings, **{name: value}).check()
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 150


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("seed", 10**39, "--seed 10000000000000000000... (40 digits) given; allowed are whole numbers up to"),
        ("replay_ratio", 1e300, "--replay-ratio 1e+300 given; allowed is at most 1,000,000"),
        ("replay_ratio", float("inf"), "--replay-ratio inf given"),
        ("action_repeat", 1_001, "--action-repeat 1001 given; allowed is at most --steps 1000"),
        ("threads", 10**9, "--threads 1000000000 given; allowed is 1,024 or fewer"),
        ("reinit_at", tuple(range(1, 10_002)), "--reinit-at has 10,001 entries; allowed are at most 10,000"),
        ("checkpoint_at", (10**20,), "--checkpoint-at 100000000000000000000 given; allowed are whole numbers up to"),
        ("regularize", ("l2",) * 10_001, "--regularize has 10,001 entries"),
        ("env", "x" * 1_001, "--env 'xxxxxxxxxxxxxxxxxxxx'... given, 1,001 characters; allowed are at most 1,000"),
        ("reinit_when", ("x" * 1_001,), "--reinit-when 'xxxxxxxxxxxxxxxxxxxx'... given, 1,001 characters"),
    ],
)  # fmt: skip
def test_a_run_that_no_machine_could_make_is_refused(name, value, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        replace(RunSettings(steps=1_000), **{name: value}).check()


@pytest.mark.parametrize("settings", [SACSettings(), DQNSettings()])
@pytest.mark.parametrize("name", ["beta1", "beta2"])
def test_a_decay_that_no_optimizer_takes_is_refused_with_its_flag(settings, name):
    complaint = f"{flag(name)} 1.0 given; allowed is a finite number from 0 to 0.999999"
    with pytest.raises(ValueError, match=re.escape(complaint)):
        replace(settings, **{name: 1.0}).check()


@given(st.integers(0, 4), st.integers() | st.floats() | st.integers(-(2**80), 2**80), st.data())
def test_any_number_is_taken_or_refused_in_one_line(which, value, data):
    settings = [*ALL_SETTINGS, replace(RunSettings(), replay_ratio=1.0)][which]
    name = data.draw(st.sampled_from([field.name for field in fields(settings) if "tuple" not in str(field.type)]))
    present = getattr(settings, name)
    kind = str(fields_of(settings)[name])
    if isinstance(present, str | bool) or "str" in kind or (isinstance(value, float) and "float" not in kind):
        return
    changed = replace(settings, **{name: value})
    try:
        changed.check()
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    if isinstance(changed, RunSettings):
        SACRun(changed).resolved().run.warnings()


def fields_of(settings: Any) -> dict[str, Any]:
    return {field.name: field.type for field in fields(settings)}


@pytest.mark.parametrize(
    ("settings", "name", "complaint"),
    [
        (RunSettings(num_envs=10**7), "h1-walk",
         "--num-envs 10000000 given: 10,000,010 environments, evaluation's included, take about 200 GB of memory; "
         "20.0 GB are free, of which 20% is kept for the rest"),
        (RunSettings(eval_episodes=10**8), "HalfCheetah-v5", "--eval-episodes 100000000 given: 100,000,001 environm"),
        (RunSettings(num_envs=10**7, eval_steps=1_000), "h1-walk", "--num-envs 10000000 given: 20,000,000 environm"),
        (RunSettings(num_envs=LARGEST), "CartPole-v1", "take about 5e+10 GB"),
        (RunSettings(num_envs=10**4), "Breakout", "take about 16.1 GB of memory"),
        (RunSettings(num_envs=9_000), "Breakout", "take about 38 minutes to make; allowed are 2"),
        (RunSettings(num_envs=1_000_000), "MinAtar/Breakout-v1", "--num-envs 1000000 given"),
        (RunSettings(num_envs=2_000), "dmc:humanoid-walk", "26.1 GB"),
    ],
)  # fmt: skip
def test_more_environments_than_memory_or_time_allow_are_refused(settings, name, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        require_memory_for_environments(settings, World(name))


def test_usual_numbers_of_environments_are_taken():
    for name in ("h1-walk", "Breakout", "MinAtar/Breakout-v1", "dmc:humanoid-walk", "HalfCheetah-v5", "Any-v0"):
        require_memory_for_environments(RunSettings(num_envs=128, eval_episodes=100), World(name))


def test_larger_pictures_take_more_memory():
    settings = RunSettings(num_envs=100)
    with pytest.raises(ValueError, match=r"--num-envs 100 given.* take about 118 GB"):
        require_memory_for_environments(settings, World("Breakout", atari=AtariSettings(screen_size=1_024, stack=256)))


def surroundings(observations: tuple[int, ...], actions: gym.Space[Any]) -> Surroundings:
    """Return the spaces of an environment with such observations."""
    dtype: Any = np.uint8 if len(observations) > 1 else np.float32
    return Surroundings("any", gym.spaces.Box(0, 255, observations, dtype), actions, None, 1)


def refusal(run: RunSettings, agent: Any) -> str:
    spaces = surroundings((51,), gym.spaces.Box(-1, 1, (19,)))
    if isinstance(agent, DQNSettings):
        spaces = surroundings((4, 84, 84), gym.spaces.Discrete(4))
    with pytest.raises(ValueError) as error:
        require_memory_for_learning(run, agent, spaces, torch.device("cpu"))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("agent", "complaint"),
    [
        (SACSettings(critic_width=10**7), "--critic-width 10000000 given: networks and the batches of a decision take "
                                          "about 76,800,"),
        (SACSettings(actor_blocks=4_294_967_296), "--actor-blocks 4294967296 given"),
        (SACSettings(critics=10**9), "--critics 1000000000 given"),
        (SACSettings(batch_size=10**10), "--batch-size 10000000000 given"),
        (SACSettings(critic_blocks=10**6, critic_width=1), "--critic-blocks 1000000 given"),
        (DQNSettings(hidden_width=10**12), "--hidden-width 1000000000000 given"),
        (DQNSettings(batch_size=10**10), "--batch-size 10000000000 given"),
        (DQNSettings(n_steps=10**10), "--n-steps 10000000000 given"),
    ],
)  # fmt: skip
def test_networks_and_batches_that_memory_cannot_hold_are_refused(agent, complaint):
    assert refusal(RunSettings(), agent).startswith(complaint)


def test_the_updates_owed_for_a_decision_must_fit_at_once():
    assert refusal(RunSettings(replay_ratio=1e6), SACSettings()).startswith("--replay-ratio 1000000.0 given")
    assert refusal(RunSettings(num_envs=10**6), SACSettings()).startswith("--num-envs 1000000 given")


def test_published_and_larger_agents_fit():
    for preset in (*LEARNERS["sac"].presets.values(), *LEARNERS["dqn"].presets.values()):
        config = preset.config
        assert isinstance(config, AgentRun)
        run, agent = config.run, config.agent
        actions: Any = gym.spaces.Discrete(18) if isinstance(agent, DQNSettings) else gym.spaces.Box(-1, 1, (61,))
        spaces = surroundings((4, 84, 84) if isinstance(agent, DQNSettings) else (151,), actions)
        require_memory_for_learning(run, agent, spaces, torch.device("cpu"))
        require_memory_for_learning(replace(run, replay_ratio=16), agent, spaces, torch.device("cpu"))
    large = SACSettings(critic_width=2_048, critics=5, batch_size=1_024)
    require_memory_for_learning(RunSettings(), large, surroundings((51,), actions), torch.device("cpu"))


ATARI = ["--env", "Breakout"]


@pytest.mark.parametrize(
    ("train", "arguments"),
    [
        (train_sac, ["--num-envs", "100000000"]),
        (train_sac, ["--eval-episodes", "10000000000"]),
        (train_sac, ["--num-envs", str(LARGEST), "--steps", str(LARGEST)]),
        (train_sac, ["--actor-blocks", "4294967296"]),
        (train_sac, ["--critic-width", str(10**7)]),
        (train_sac, ["--critics", str(10**9)]),
        (train_sac, ["--batch-size", str(10**10)]),
        (train_dqn, ["--hidden-width", str(10**12), "--preset", "quick", "--env", "CartPole-v1"]),
        (train_dqn, ["--n-steps", str(10**12), "--preset", "quick", "--env", "CartPole-v1"]),
        (train_sac, ["--action-repeat", "9" * 20]),
        (train_sac, ["--action-repeat", "9" * 10]),
        (train_sac, ["--steps", "9" * 30]),
        (train_sac, ["--seed", "9" * 40]),
        (train_sac, ["--threads", str(10**9)]),
        (train_sac, ["--replay-ratio", "1e9"]),
        (train_sac, ["--env", ""]),
        (train_dqn, [*ATARI, "--frame-skip", str(10**9)]),
        (train_dqn, [*ATARI, "--noop-max", str(10**9)]),
        (train_dqn, [*ATARI, "--stack", str(10**9)]),
        (train_dqn, [*ATARI, "--screen-size", str(10**9)]),
        (train_dqn, [*ATARI, "--episode-frames", str(10**12)]),
    ],
)
def test_such_values_on_the_command_line_are_refused_in_one_line_and_begin_nothing(train, arguments, tmp_path: Path):
    folder = tmp_path / "run"
    with pytest.raises(ValueError) as error:
        train([*arguments, "--run-dir", str(folder), "--device", "cpu"])
    named = arguments[-2] if arguments[0] == "--env" else arguments[0]
    assert named.removeprefix("--").replace("-", "_") in str(error.value).replace("-", "_") or named == "--env"
    assert "\n" not in str(error.value)
    assert not folder.exists()


def test_settings_of_every_kind_are_refused_before_they_are_used():
    """They may come from a run's folder."""
    for config in (SACRun(RunSettings(num_envs=10**9)), DQNRun(RunSettings(env="CartPole-v1", eval_episodes=10**9))):
        with pytest.raises(ValueError, match="environments"):
            require_memory_for_environments(config.run, config.world)


def test_a_run_unfreezes_what_it_froze_and_nothing_where_the_process_had_frozen_objects():
    gc.freeze()
    with only_new_objects_collected():
        pass
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
    try:
        with only_new_objects_collected():
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()
