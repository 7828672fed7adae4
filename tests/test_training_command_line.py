"""Flags come from a documented dataclass. Mistakes are refused in one line with the nearest valid name."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from fire_rl.agents import KINDS, SACSettings
from fire_rl.commands.train import train_sac as train
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.beginning import Request
from fire_rl.training.command_line import main, read_command_line
from fire_rl.training.learners import LEARNERS, SACRun
from fire_rl.training.reinforcement_settings import RunSettings
from fire_rl.training.settings import flag

ROOT = Path(__file__).parent.parent


def read(*arguments: str) -> Request:
    return read_command_line(arguments, LEARNERS["sac"])


def config_of(*arguments: str) -> AgentRun:
    config = read(*arguments).config
    assert isinstance(config, SACRun)
    assert isinstance(config, AgentRun)
    return config


def test_without_a_preset_settings_are_the_published_ones():
    request = read("--env", "h1-walk", "--reinit", "fire")
    config = config_of("--env", "h1-walk", "--reinit", "fire")
    run, agent = config.run, config.agent
    assert (run.steps, run.action_repeat, run.replay_ratio, run.num_envs) == (1_000_000, 2, 2.0, 1)
    assert (run.learning_starts, run.replay_capacity) == (5_000, 1_000_000)
    assert (agent.critic_width, agent.critic_blocks, agent.actor_width, agent.actor_blocks) == (512, 2, 128, 1)
    assert (agent.batch_size, agent.learning_rate, agent.weight_decay, agent.target_rate) == (256, 1e-4, 1e-2, 0.005)
    assert config.resolved().run.reinit_at == (500_000,), "once, at half the run"
    assert dict(request.given) == {"env": "h1-walk", "reinit": "fire"}


@pytest.mark.parametrize(
    ("steps", "starts", "event"),
    [
        (30_000, 1_000, 15_000),  # --preset quick
        (40_000, 5_000, 20_000),  # a quarter: still as published
        (39_998, 5_000, 24_999),
        (15_000, 5_000, 12_500),  # half would be before the first update
        (10_000, 5_000, 5_000),  # nothing is learned at all, and a note says so
    ],
)
def test_the_usual_event_is_at_half_of_the_run_or_of_the_learning_where_that_begins_late(
    steps: int, starts: int, event: int
):
    words = ("--steps", str(steps), "--learning-starts", str(starts), "--reinit", "fire")
    settings = config_of(*words).resolved().run
    assert settings.reinit_at == (event,)
    said = [text for text in settings.warnings() if "before the first update" in text]
    assert bool(said) == (steps == 10_000)


@pytest.mark.parametrize(("agent", "preset"), [(name, preset) for name in KINDS for preset in LEARNERS[name].presets])
def test_no_preset_has_its_event_moved(agent: str, preset: str):
    config = LEARNERS[agent].presets[preset].config
    assert config.altered(reinit="fire").resolved().run.reinit_at == (config.run.steps // 2,)


def test_the_beginning_of_a_period_needs_a_period():
    with pytest.raises(ValueError, match="--reinit-from given without --reinit-every"):
        read("--reinit", "fire", "--reinit-from", "5")


def test_explicit_flags_override_the_preset_wherever_they_stand():
    assert read("--steps", "777", "--preset", "quick").config.run.steps == 777
    assert config_of("--preset=quick", "--critic_width=99").agent.critic_width == 99
    assert read("--preset", "quick").config == LEARNERS["sac"].presets["quick"].config


def test_several_values_and_options_of_a_method():
    config = config_of(
        "--reinit", "fire:solver=exact", "--reinit-at", "100", "200", "--normalize-observations", "False"
    )
    assert config.run.reinit_at == (100, 200)
    assert config.run.reinit == "fire:solver=exact"
    assert config.agent.normalize_observations is False


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--replay-ration", "2"], "unknown flag --replay-ration; did you mean --replay-ratio"),
        (["--steps", "many"], "--steps 'many' given; allowed is a whole number"),
        (["--steps"], "--steps given without a value; allowed is a whole number"),
        (["--steps", "0"], "--steps 0 given; allowed is a number above 0"),
        (["--preset", "quik"], "allowed is one of paper, quick; did you mean quick"),
        (["--reinit-at", "5", "x"], "a whole number, or several"),
        (["--replay-ratio", "-1"], "--replay-ratio -1"),
        (["--replay-ratio", "nan", "--run-dir", "{}"], "--replay-ratio nan"),
        (["--batch-size", "0", "--run-dir", "{}"], "--batch-size 0"),
        (["--critics", "0", "--run-dir", "{}"], "--critics 0"),
        (["--gamma", "7", "--run-dir", "{}"], "--gamma 7"),
        (["--initial-temperature", "0", "--run-dir", "{}"], "--initial-temperature 0"),
        (["--reinit", "fir", "--run-dir", "{}"], "fire"),
        (["--reinit", "fire:solver=exakt", "--run-dir", "{}"], "exact"),
        (["--reinit", "fire:sover=exact", "--run-dir", "{}"], "solver"),
        (["--env", "h1-wakl", "--run-dir", "{}"], "h1-walk"),
        (["--env", "CartPole-v1", "--run-dir", "{}"], "discrete actions.*use train_dqn.py --env CartPole-v1"),
        (["--device", "gpu", "--run-dir", "{}"], "auto, cpu, cuda"),
        (["--device", "cuda:99", "--run-dir", "{}"], "CUDA devices"),
        (["--replay-capacity", "900000000000", "--steps", "9000000000000", "--run-dir", "{}"], "--replay-capacity"),
        (["--reinit-every", "5"], "needs a method"),
        (["h1-walk"], "flags begin with --"),
    ],
)
def test_a_mistake_is_refused_in_one_line_and_creates_nothing(arguments: list[str], complaint: str, tmp_path: Path):
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")) as caught:
        train([argument.format(folder) for argument in arguments])
    assert "\n" not in str(caught.value)
    assert not folder.exists()


@pytest.mark.parametrize("begins", [["--branch-from", "trunk@5"], ["--resume", "trunk"]])
def test_settings_that_the_earlier_run_decides_about_are_not_checked_against_a_preset(begins: list[str]):
    assert read_command_line([*begins, "--steps", "108000"], LEARNERS["vision"]).given == {"steps": 108_000}
    assert read_command_line([*begins, "--steps", "200000"], LEARNERS["language"]).given == {"steps": 200_000}
    assert read(*begins, "--reinit-when", "hessian>5").given == {"reinit_when": ("hessian>5",)}


def test_a_mistake_exits_with_code_2_and_one_line():
    done = subprocess.run([sys.executable, "train_sac.py", "--sed", "1"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "train_sac.py: unknown flag --sed; did you mean --seed or --steps?\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [("no data here", 1, "train_sac.py: no data here\n"), (None, 0, ""), (0, 0, ""), (7, 7, "")],
)
def test_code_of_a_user_that_ends_the_process_with_a_text_fails(
    ended: Any, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    with pytest.raises(SystemExit) as caught:
        main(lambda arguments: sys.exit(ended), "train_sac.py", [])
    assert caught.value.code == code
    assert capsys.readouterr().err == said


def test_help_explains_every_flag_and_every_method():
    done = subprocess.run([sys.executable, "train_sac.py", "--help-all"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    for kind in (RunSettings, SACSettings):
        for field in fields(kind):
            assert flag(field.name) in done.stdout
    for method in ("none", "reset", "shrink-perturb", "fire", "solver"):
        assert method in done.stdout
    assert "\n  fire: Project" in done.stdout, "a line for each method"
    for kind_of_name in ("h1-TASK", "balance_simple", "dmc:humanoid-walk", "humanoid_bench:h1hand", "module:ID"):
        assert kind_of_name in done.stdout
    words = " ".join(done.stdout.split())
    for explained in ("environment steps", "gradient updates", "decisions", "Units of the critic's residual stream"):
        assert explained in words


def test_every_setting_is_documented_where_it_is_defined():
    import inspect

    for kind in (RunSettings, SACSettings):
        for field in fields(kind):
            owner = next(base for base in kind.__mro__ if field.name in inspect.get_annotations(base))
            source = inspect.getsource(owner)
            declared = source.index(f"    {field.name}: ")
            following = source[declared:].split("\n")[1]
            assert following.strip().startswith('"""'), f"{owner.__name__}.{field.name} has no explanation"


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        (RunSettings(reinit="fire", reinit_at=(950_000,)), "last tenth"),
        (RunSettings(reinit="fire", reinit_at=(1_000_000,)), "will never happen"),
        (RunSettings(checkpoint_at=(2_000_000,)), "no checkpoint"),
        (RunSettings(reinit="fire", reinit_every=10**9), "causes no event"),
        (RunSettings(reinit="fire", reinit_every=10**6, reinit_from=10**6), "counted from update 1,000,000, causes no"),
        (RunSettings(reinit="fire", reinit_at=(10_000,)), "before the first update: learning begins at step 10,000"),
        (RunSettings(reinit="fire", reinit_at=(96,), num_envs=8, learning_starts=41), "learning begins at step 96"),
        (RunSettings(steps=2_000), "nothing will be learned"),
    ],
)
def test_settings_that_are_probably_a_mistake_lead_to_a_warning(settings: RunSettings, warning: str):
    assert any(warning in text for text in settings.warnings())


def test_sensible_settings_draw_no_warning():
    assert RunSettings(reinit="fire", reinit_at=(10_002,)).warnings() == []
    assert SACRun(RunSettings(reinit="fire")).resolved().run.warnings() == []
