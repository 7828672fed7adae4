"""DQN as a run: presets, raw returns and clipped rewards, published methods, evaluations, and the policy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from benchmarks.differences import differences
from fire_rl.agents import DQNSettings
from fire_rl.commands.evaluate import body as evaluate_body
from fire_rl.commands.train import train_dqn as train
from fire_rl.commands.train import train_sac
from fire_rl.envs import PUBLISHED_ATARI
from fire_rl.fire import Injection
from fire_rl.replay import Store
from fire_rl.training import load_policy
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.checkpoint import read_checkpoint
from fire_rl.training.command_line import read_command_line
from fire_rl.training.evaluate import evaluate_decisions, exploring
from fire_rl.training.files import read_json
from fire_rl.training.learners import LEARNERS, DQNRun, build
from fire_rl.training.reinforcement import Reinforcement
from tests.fixtures.calling import quietly
from tests.fixtures.phased_runs import lines as lines_of

pytestmark = pytest.mark.usefixtures("unrendered_module")
TINY = [
    *("--env", "CartPole-v1", "--steps", "600", "--num-envs", "2", "--learning-starts", "40", "--hidden-width", "16"),
    *("--batch-size", "8", "--target-every", "50", "--eval-every", "200", "--eval-episodes", "2", "--log-every", "100"),
    *("--checkpoint-every", "200", "--threads", "1", "--device", "cpu"),
]


class Wages(gym.Env):
    """Pays 7 or -3 depending on the action, for five decisions."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2, start=3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.paid = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        assert action in (3, 4), "the environment numbers its actions from 3"
        self.paid += 1
        reward = 7.0 if action == 3 else -3.0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), reward, self.paid == 5, False, {}


gym.register("Wages-v0", f"{__name__}:Wages")


def read(*arguments: str) -> AgentRun:
    config = read_command_line(arguments, LEARNERS["dqn"]).config
    assert isinstance(config, DQNRun)
    assert isinstance(config, AgentRun)
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cartpole"
    quietly(train, *TINY, "--run-dir", str(folder))
    return folder


def test_the_paper_preset_is_the_published_setting():
    config = read("--preset", "paper", "--env", "Asterix", "--reinit", "fire").resolved()
    assert (config.run.steps, config.run.num_envs, config.run.replay_ratio) == (2_500_000, 4, 1)
    assert (config.run.learning_starts, config.run.replay_capacity) == (20_000, 1_000_000)
    assert (config.run.eval_every, config.run.eval_steps) == (250_000, 125_000)
    assert config.run.reinit_at == (1_250_000,), "once, at half the run"
    assert config.agent == replace(DQNSettings(), exploration_steps=250_000)
    assert (config.agent.learning_rate, config.agent.adam_epsilon, config.agent.target_every) == (6.25e-5, 1.5e-4, 2000)
    assert (config.agent.final_exploration, config.agent.evaluation_exploration) == (0.01, 0.001)
    assert config.atari == PUBLISHED_ATARI


def test_without_a_preset_the_agent_is_the_published_one_and_games_have_todays_settings():
    config: Any = read()
    assert config.agent == DQNSettings()
    assert (config.atari.sticky, config.atari.sticky_per) == (0.25, "frame")
    assert (config.run.eval_steps, config.run.eval_episodes) == (None, 10)


@pytest.mark.parametrize("preset", LEARNERS["dqn"].presets)
def test_every_preset_is_valid(preset):
    config: Any = read("--preset", preset)
    config.agent.check()
    config.atari.check()
    assert config.run.warnings() == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--preset", "papr"], "allowed is one of standard, paper, atari100k, quick; did you mean paper"),
        (["--sticky", "2"], "sticky is 2.0"),
        (["--sticky-pre", "frame"], "unknown flag --sticky-pre; did you mean --sticky-per"),
        (["--sticky-per", "step"], "one of frame, decision"),
        (["--critic-width", "8"], "--critic-width given; that is a flag of train_sac.py"),
        (["--env", "Breakot"], "Breakout"),
        (["--env", "h1-walk"], "use train_sac.py"),
        (["--eval-steps", "0"], "--eval-steps 0"),
        (["--n-steps", "0"], "--n-steps 0"),
        (["--replay-capacity", "1000000000", "--steps", "1000000000", "--env", "Breakout"], "lower --replay-capacity"),
        (["--reinit", "fyre"], "nearest is fire"),
    ],
)
def test_a_mistake_is_refused_in_one_line_and_leaves_nothing(arguments, complaint, tmp_path):
    with pytest.raises(ValueError) as caught:
        train([*arguments, "--run-dir", str(tmp_path / "run")])
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_game_is_learned_from_signs_and_evaluated_whole_with_little_exploration():
    work = Reinforcement(
        read(
            "--preset", "atari100k", "--env", "Asterix", "--eval-episodes", "2", "--steps", "2000", "--device", "cpu"
        ).resolved()
    )
    assert work.clipped
    assert work.evaluation.exploration == 0.001
    evaluated: Any = work.evaluation.environment
    training: Any = work.environment
    assert (training.settings.terminal_on_life_loss, evaluated.settings.terminal_on_life_loss) == (True, False)
    observations, _ = evaluated.reset(seed=list(work.evaluation.seeds))
    assert not (observations[0] == observations[1]).all(), "no-ops make starts differ"


def test_a_game_of_several_lives_is_one_episode_in_the_log(tmp_path):
    folder = tmp_path / "run"
    game = (
        *("--env", "Breakout", "--steps", "400", "--num-envs", "1", "--terminal-on-life-loss", "True", "--sticky", "0"),
    )
    quietly(train, *TINY, *game, "--learning-starts", "1000", "--eval-steps", "4", "--run-dir", str(folder))
    work, checkpoint = work_of(folder), read_checkpoint(folder, 400)
    work.replay.load(Store(folder / "replay"), checkpoint.segments, checkpoint.values.work["replay_added"])
    ends = work.replay.sample(1, 5000, torch.Generator().manual_seed(0))
    lost = len(torch.unique(ends.observations[ends.terminated == 1], dim=0))
    games = lines_of(folder, "episode")
    assert lost >= 5 * len(games) > 0, "five lives to a game"


def test_requested_episodes_are_episodes_whatever_the_preset_has():
    config = read("--preset", "paper", "--eval-episodes", "3")
    assert (config.run.eval_steps, config.run.eval_episodes) == (None, 3)


def test_a_note_says_that_flags_of_another_kind_of_environment_do_nothing():
    config = read("--env", "CartPole-v1", "--sticky", "0.5", "--steps", "100", "--device", "cpu").resolved()
    assert "CartPole-v1 is not an Atari game: --sticky has no effect here" in build(config).notes


def test_another_scope_leaves_the_rest_as_it_is(run, tmp_path):
    folder = tmp_path / "head"
    quietly(train, "--branch-from", f"{run}@400", "--reinit", "fire:scope=head", "--run-dir", str(folder))
    (event,) = lines_of(folder, "event")
    assert event["method"] == "fire:scope=head,optimizer=keep"
    changed = {matrix["name"]: matrix["squared_frobenius_error"] > 0 for matrix in event["networks"][0]["matrices"]}
    assert changed == {"encoder.0.weight": False, "head.0.weight": True, "head.2.weight": True}


def test_sac_sends_users_of_discrete_actions_to_dqn(tmp_path):
    with pytest.raises(ValueError, match=r"use train_dqn\.py"):
        train_sac(["--env", "CartPole-v1", "--run-dir", str(tmp_path / "run")])


def work_of(run: Path) -> Reinforcement:
    config = load_policy(run, trust=True).config
    assert isinstance(config, DQNRun)
    return Reinforcement(config)


@pytest.mark.parametrize(("clip", "learned"), [("True", {-1.0, 1.0}), ("None", {-3.0, 7.0})])
def test_returns_are_logged_raw_and_rewards_learned_by_sign_where_asked(clip, learned, tmp_path):
    folder = tmp_path / "run"
    quietly(train, *TINY, "--env", f"{__name__}:Wages-v0", "--clip-rewards", clip, "--run-dir", str(folder))
    returns = {line["return"] for line in lines_of(folder, "episode")}
    assert returns <= {7.0 * right - 3.0 * (5 - right) for right in range(6)}, "reported as they are"
    work, checkpoint = work_of(folder), read_checkpoint(folder, 600)
    work.replay.load(Store(folder / "replay"), checkpoint.segments, checkpoint.values.work["replay_added"])
    batch = work.replay.sample(1, 500, torch.Generator().manual_seed(0))
    assert set(batch.rewards.unique().tolist()) == learned


def test_an_event_resets_linear_layers_projects_the_rest_and_keeps_adam(tmp_path):
    folder = tmp_path / "run"
    quietly(train, *TINY, "--reinit", "fire:solver=exact", "--run-dir", str(folder), "--checkpoint-at", "300")
    (event,) = lines_of(folder, "event")
    assert event["method"] == "fire:scope=encoder,outside=reset,optimizer=keep,solver=exact"
    assert event["environment_steps"] == 300
    (network,) = event["networks"]
    after = {matrix["name"]: matrix["deviation_after"] for matrix in network["matrices"]}
    assert after["encoder.0.weight"] < 1e-6
    assert after["head.0.weight"] > 1e-3, "an initial value is no isometry"


@pytest.mark.parametrize(
    "method",
    [
        *("none", "fire", "injection"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("reset", "shrink-perturb", "fire:scope=all")),
    ],
)
def test_a_branch_with_each_method_resumes_bit_by_bit(method, run, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    branch = ["--branch-from", f"{run}@400", "--reinit", method]
    quietly(train, *branch, "--steps", "560", "--run-dir", str(whole))
    quietly(train, *branch, "--steps", "480", "--run-dir", str(parts))
    quietly(train, "--resume", str(parts), "--steps", "560")
    found = differences(whole, parts)
    # the shorter run ends with an evaluation, and metrics, of its own
    assert not [line for line in found if not line.startswith(("metrics", "TensorBoard", "checkpoint: progress"))]
    assert len(lines_of(whole, "event")) == (method != "none")


def test_a_policy_after_an_injection_acts_and_can_be_evaluated(run, tmp_path):
    folder = tmp_path / "injected"
    quietly(train, "--branch-from", f"{run}@400", "--reinit", "injection", "--run-dir", str(folder))
    policy = load_policy(folder)
    observation = np.zeros(4, dtype=np.float32)
    assert policy.act(observation).shape == ()
    assert policy.act(np.stack([observation] * 3)).shape == (3,)
    assert "5 episodes" in quietly(evaluate_body, str(folder), "--episodes", "5")
    again = tmp_path / "again"
    quietly(train, "--branch-from", f"{folder}@600", "--reinit", "injection", "--steps", "700", "--run-dir", str(again))
    assert [event["method"] for event in lines_of(again, "event")] == ["injection", "injection"]
    work = work_of(again)
    assert isinstance(work.config.manager(work).method, Injection)


def test_an_evaluation_by_steps_counts_the_episodes_that_end(tmp_path):
    folder = tmp_path / "run"
    quietly(train, *TINY, "--eval-steps", "120", "--run-dir", str(folder))
    first = lines_of(folder, "evaluation")[0]
    assert sum(first["lengths"]) <= 120
    assert len(first["lengths"]) > 2
    assert first["returns"] == first["lengths"], "CartPole pays 1 for each step"


def test_an_evaluation_has_at_least_one_decision():
    words = [*TINY, "--eval-steps", "5", "--action-repeat", "4"]
    work = build(read_command_line(words, LEARNERS["dqn"]).config.resolved())
    assert isinstance(work, Reinforcement)
    assert work.evaluation.decisions == 2


def test_an_evaluation_too_short_for_an_episode_reports_the_open_ones():
    environment = gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    told = []

    def act(seen):
        return np.zeros(len(seen), np.int64)

    returns, lengths = evaluate_decisions(act, environment, [1, 2], 6, lambda: told.append("unfinished"))
    assert returns.tolist() == [3, 3]
    assert lengths.tolist() == [3, 3]
    assert told == ["unfinished"]
    evaluate_decisions(act, environment, [1, 2], 60, lambda: told.append("again"))
    assert told == ["unfinished"]


def test_episodes_that_did_not_end_are_named_in_an_evaluation(tmp_path):
    said = quietly(evaluate_body, "pretrained:cartpole", "--steps", "80")
    assert "4 episodes that did not end within --steps 80\n" in said
    assert "did not end" not in quietly(evaluate_body, "pretrained:cartpole", "--episodes", "2")
    said = quietly(train, *TINY, "--steps", "120", "--eval-steps", "8", "--run-dir", str(tmp_path / "run"))
    assert said.count("no episode ended within --eval-steps 8") == 1


def test_evaluation_explores_by_its_share_and_in_the_same_way_each_time():
    def act(observations):
        return np.zeros(len(observations), np.int64)

    first, second = (exploring(act, 0.2, spaces.Discrete(4), seed=5) for _ in range(2))
    actions = [first(np.zeros((50, 1))) for _ in range(40)]
    assert all((second(np.zeros((50, 1))) == row).all() for row in actions)
    assert 0.12 < np.mean(np.stack(actions) != 0) < 0.18, "three quarters of a fifth"


def test_a_longer_resume_keeps_the_exploration_of_the_first_plan(run, tmp_path):
    folder = tmp_path / "run"
    quietly(train, *TINY, "--run-dir", str(folder))
    quietly(train, "--resume", str(folder), "--steps", "900")
    assert read_json(folder / "config.json")["agent"]["exploration_steps"] == 60


def test_replay_ratios_above_one_make_as_many_updates(tmp_path):
    folder = tmp_path / "run"
    quietly(train, *TINY, "--replay-ratio", "8", "--steps", "200", "--run-dir", str(folder))
    assert lines_of(folder, "train")[-1]["updates"] == 8 * (200 - 40)
