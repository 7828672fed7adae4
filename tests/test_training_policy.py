"""A trained policy can be loaded and evaluated, and what a run prints at its start and end is correct."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fire_rl import envs
from fire_rl.commands import evaluate as evaluate_script
from fire_rl.commands.train import train_sac as train
from fire_rl.envs.world import to_environment
from fire_rl.fire import Every, Network, PlasticityManager, Position, Reset
from fire_rl.replay import TransitionReplay
from fire_rl.training import load_policy
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.checkpoint import folder_of
from fire_rl.training.cost import duration_in_words, say_what_it_costs
from fire_rl.training.driver import Driver
from fire_rl.training.learners import SACRun, build, read_config
from fire_rl.training.lines import Reader, read_lines
from fire_rl.training.log import RunLog
from fire_rl.training.policy import split_run
from fire_rl.training.reinforcement import Reinforcement
from fire_rl.training.reinforcement_settings import RunSettings
from fire_rl.training.restoring import restore
from fire_rl.training.work import Rates
from tests.fixtures.calling import quietly

pytestmark = pytest.mark.usefixtures("unrendered_module")
TINY = [
    *("--steps", "200", "--learning-starts", "40", "--critic-width", "8", "--actor-width", "8", "--batch-size", "16"),
    *("--eval-every", "100", "--eval-episodes", "2", "--log-every", "50", "--checkpoint-every", "100"),
    *("--threads", "1", "--device", "cpu", "--replay-capacity", "1000", "--replay-ratio", "0.5"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "walk"
    quietly(train, *TINY, "--run-dir", str(folder))
    return folder


def test_a_loaded_policy_repeats_the_run_s_last_evaluation(run: Path):
    last = [line for line in read_lines(run / "metrics.jsonl") if line["kind"] == "evaluation"][-1]
    policy = load_policy(run)
    returns, lengths = Reinforcement(policy.config).evaluation.run(policy.act)
    assert returns.tolist() == last["returns"]
    assert (2 * lengths).tolist() == last["lengths"], "lengths are logged in environment steps"


def test_a_policy_acts_on_one_observation_or_many(run: Path):
    policy = load_policy(run, step=100)
    assert policy.step == 100
    environment = envs.make("h1-walk", seed=0)
    observation, _ = environment.reset()
    action = policy.act(observation)
    assert environment.action_space.contains(action)
    many = policy.act(np.stack((observation, observation)))
    assert many.shape == (2, 19)
    np.testing.assert_allclose(many[1], action, rtol=1e-5, atol=1e-6)


def test_a_policy_of_a_damaged_newest_checkpoint_comes_from_the_one_before(run: Path, tmp_path: Path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (folder_of(copy, 200) / "agent.safetensors").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="step 200 is damaged"):
        assert load_policy(copy).step == 100


def test_a_policy_trained_on_a_gpu_acts_on_a_cpu(run: Path):
    policy = load_policy(run)
    state = policy.agent.state_dict()
    state["generator.acting"] = torch.arange(16, dtype=torch.uint8)  # the size of a CUDA generator's state
    policy.agent.load_state_dict(state)
    first = policy.agent.random_actions(2)
    policy.agent.load_state_dict(state)
    assert np.array_equal(first, policy.agent.random_actions(2)), "the new generator is the same each time"


@pytest.mark.parametrize(("where", "complaint"), [("nowhere", "is not a run"), ("{run}@7", "there are: 100, 200")])
def test_a_folder_without_a_policy_is_refused(run: Path, where: str, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        evaluate_script.body([where.format(run=run)])


@pytest.mark.parametrize(
    ("text", "run", "step"),
    [
        ("runs/walk", "runs/walk", None),
        ("runs/walk@500_000", "runs/walk", 500_000),
        ("/home/alice@example.com/walk", "/home/alice@example.com/walk", None),
        ("/home/alice@example.com/walk@7", "/home/alice@example.com/walk", 7),
    ],
)
def test_a_run_s_path_may_have_an_at_sign(text: str, run: str, step: int | None):
    assert split_run(text) == (Path(run), step)


def test_a_run_s_name_may_end_like_a_step(tmp_path: Path):
    (tmp_path / "walk@5").mkdir()
    assert split_run(f"{tmp_path}/walk@5") == (tmp_path / "walk", 5)
    (tmp_path / "walk@5" / "config.json").touch()
    assert split_run(f"{tmp_path}/walk@5") == (tmp_path / "walk@5", None)
    with pytest.raises(ValueError, match="allowed is RUN or RUN@STEP"):
        split_run("walk@five")


def test_a_checkpoint_is_evaluated_from_the_command_line(run: Path):
    said = quietly(evaluate_script.body, f"{run}@100", "--episodes", "3")
    assert "checkpoint at step 100: 3 episodes" in said
    assert "standard error" in said


def test_the_last_lines_name_the_files_and_folders(tmp_path: Path):
    folder = tmp_path / "run"
    said = quietly(train, *TINY, "--run-dir", str(folder))
    for place in ("curve.png", "metrics.jsonl", "checkpoints", "tensorboard --logdir", "--resume", "--branch-from"):
        assert place in said
    assert "replay: 0.00 GB on the CPU" in said


def test_actions_reach_the_environment_in_its_own_bounds():
    space = envs.make("Pendulum-v1").action_space
    scale = to_environment(space)
    scaled = scale(np.array([[-1.0], [0.0], [1.0]], dtype=np.float32))
    np.testing.assert_allclose(scaled, [[-2], [0], [2]])
    assert space.contains(scaled[0])


def test_replay_holds_true_next_observations_at_truncation(tmp_path: Path):
    tiny = [*TINY, "--env", "Pendulum-v1", "--action-repeat", "1", "--run-dir", str(tmp_path / "run")]
    tiny[tiny.index("200")] = "201"
    quietly(train, *tiny)
    config = read_config(tmp_path / "run")
    assert isinstance(config, AgentRun)
    work = Reinforcement(config)
    restore(tmp_path / "run", 201, Driver(tmp_path / "run", config, work))
    assert isinstance(work.replay, TransitionReplay)
    observations, _, _, following, terminated = work.replay.rows[:201].split(work.replay.widths, dim=1)
    assert not terminated.any(), "a time limit is no termination"
    torch.testing.assert_close(following[:199], observations[1:200])
    jump = (following[199] - observations[200]).abs().max()
    assert jump > 1e-3, "after the last step comes not the first observation of the next episode"
    # Pendulum's own dynamics: one step changes the angular velocity by at most 1.2 and keeps the angle's norm.
    assert following[199, :2].norm().item() == pytest.approx(1.0, abs=1e-5)
    assert (following[199, 2] - observations[199, 2]).abs() <= 1.2 + 1e-4


def test_the_published_setting_on_a_cpu_warns_of_its_duration(capsys: pytest.CaptureFixture[str]):
    config = SACRun(RunSettings(threads=1, device="cpu", eval_episodes=1, steps=1_000_000))
    say_what_it_costs(config.run, build(config))
    said = capsys.readouterr().out
    assert "updates/s" in said
    assert "--preset quick" in said


def test_a_speed_that_is_not_limited_is_left_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    config = SACRun(RunSettings(threads=1, device="cpu", eval_episodes=1))
    monkeypatch.setattr(Reinforcement, "rates", lambda work: Rates(3.1, float("inf")))  # as with data in phases
    say_what_it_costs(config.run, build(config))
    assert "on this CPU: 3.1 updates/s, so about" in capsys.readouterr().out


def test_a_short_run_does_not_warn_of_its_duration(capsys: pytest.CaptureFixture[str]):
    config = SACRun(RunSettings(threads=1, device="cpu", eval_episodes=1, steps=1_000))
    say_what_it_costs(config.run, build(config))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("seconds", "words"), [(1500, "25 minutes"), (36_000, "10 hours"), (432_000, "5.0 days")])
def test_durations_are_printed_in_usual_units(seconds: float, words: str):
    assert duration_in_words(seconds) == words


def test_the_warm_up_has_no_updates_and_learning_has_as_many_as_asked(tmp_path: Path):
    folder = tmp_path / "run"
    arguments = [*TINY, "--run-dir", str(folder), "--replay-ratio", "0.5", "--num-envs", "3"]
    quietly(train, *arguments)
    for line in read_lines(folder / "metrics.jsonl"):
        if line["kind"] == "train":
            # Learning begins at the first step of all environments that finds 40 decisions made: the 42nd.
            assert line["updates"] == max(0, line["decisions"] - 42) // 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "no run given"),
        (["{run}", "--episode", "3"], "did you mean --episodes"),
        (["{run}", "--episodes", "0"], "--episodes 0"),
        (["{run}", "--episodes", "many"], "a whole number"),
    ],
)
def test_a_wrong_evaluation_is_refused_in_one_line(run: Path, arguments: list[str], complaint: str):
    with pytest.raises(ValueError, match=complaint) as caught:
        evaluate_script.body([argument.format(run=run) for argument in arguments])
    assert "\n" not in str(caught.value)


def test_an_event_on_a_diverged_network_is_logged(tmp_path: Path):
    layer = torch.nn.Linear(4, 3)
    network = Network("critic", layer, torch.nn.Linear(4, 3).state_dict())
    with torch.no_grad():
        layer.weight.fill_(float("nan"))
    event = PlasticityManager([network], Reset(), Every(1)).act(Position(1, 1))
    log = RunLog(tmp_path, Reader())
    log.write("event", {"environment_steps": 1}, event.to_json())
    log.network_report(event.networks[0], 1)
    log.close()
    assert read_lines(tmp_path / "metrics.jsonl")[0]["method"] == "reset"


def test_an_observation_of_another_shape_is_refused_in_words():
    policy = load_policy("pretrained:cartpole")
    for wrong in (np.zeros(3), np.zeros((2, 5)), np.zeros((1, 1, 4))):
        with pytest.raises(ValueError, match=r"observations have the shape \(4,\), or a batch"):
            policy.act(wrong)
    assert policy.act(np.zeros(4)).shape == ()
    assert policy.act(np.zeros((3, 4))).shape == (3,)
