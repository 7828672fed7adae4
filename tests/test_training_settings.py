"""The facts about a setting are on its field, a method is parsed once in a run, and help is built only for --help."""

import contextlib
import io
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from fire_rl.agents import KINDS
from fire_rl.fire import Fire, spell, spelling
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.command_line import read_command_line
from fire_rl.training.learners import LEARNERS, config_from_json, config_to_json
from fire_rl.training.lines import read_lines
from fire_rl.training.reinforcement_settings import RunSettings
from fire_rl.training.session import run
from fire_rl.training.settings import DriverSettings, Fact, names_with

TINY = [
    *("--env", "Pendulum-v1", "--action-repeat", "1", "--steps", "120", "--learning-starts", "40"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "8", "--eval-every", "60", "--eval-episodes", "1"),
    *("--threads", "1", "--device", "cpu", "--measure-every", "0", "--replay-ratio", "0.5"),
]
SCHEDULE = ("reinit_every", "reinit_at", "reinit_when")
TRACK = ("track", "track_project", "track_group", "track_tags")

# The settings for which each fact holds, listed by hand.
FACTS: dict[Fact, tuple[str, ...]] = {
    "resumable": ("steps", "threads", "device", "video", "keep_replay", "capture", *TRACK),
    "machine": ("threads", "device", "precision", "compile"),
    "trunk": ("seed", "env", "num_envs", "action_repeat", "replay_capacity", "learning_starts"),
    "own": (
        *("env", "seed", "reinit", "device", "log_every", "checkpoint_every", "checkpoint_at", "video"),
        *("keep_replay", "reinit_from", *SCHEDULE, *TRACK),
    ),
    "schedule": SCHEDULE,
    "timing": (*SCHEDULE, "reinit_from", "reinit_cooldown"),
    "method": ("reinit", *SCHEDULE, "reinit_from", "reinit_cooldown", "regularize", "seed"),
    "record": (
        *("log_every", "checkpoint_every", "checkpoint_at", "keep_replay", "measure_hessian", "video", "capture"),
        *TRACK,
    ),
    "later": (),
}


def test_each_fact_has_a_list_here():
    assert set(FACTS) == set(get_args(Fact))


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_holds_for_these_settings_and_no_other(fact: Fact):
    found = names_with(RunSettings, fact)
    assert sorted(found) == sorted(FACTS[fact])
    assert len(found) == len(set(found))
    assert names_with(RunSettings(), fact) == found, "of a value as of its class"


def test_the_settings_that_the_driver_reads_have_the_facts_of_an_agents_settings():
    theirs = {field.name for field in fields(DriverSettings)}
    for fact, names in FACTS.items():
        assert set(names_with(DriverSettings, fact)) == set(names) & theirs


def test_several_facts_are_asked_for_together():
    several = names_with(RunSettings, "resumable", "machine")
    assert sorted(several) == sorted({*FACTS["resumable"], *FACTS["machine"]})
    assert names_with(RunSettings) == ()


def test_no_setting_of_an_agent_or_a_game_may_differ_where_something_must_not():
    for name, learner in LEARNERS.items():
        for group in fields(learner.config):
            if group.name != "run":
                assert names_with(group.type, *(fact for fact in FACTS if fact != "later")) == ()
        usual = next(iter(learner.presets.values())).config
        assert usual.names_with("later") == (("later_optimizer",) if name == "vision" else ())


@pytest.mark.parametrize("agent", LEARNERS)
def test_a_config_is_read_back_as_it_was_written(agent: str):
    for preset in LEARNERS[agent].presets.values():
        config = preset.config.altered(reinit="fire", reinit_at=(5, 7), regularize=("l2-init",), seed=3)
        assert config_from_json(config_to_json(config)) == config


def test_groups_are_in_the_order_of_earlier_versions():
    groups = {agent: [group.name for group in fields(learner.config)] for agent, learner in LEARNERS.items()}
    others = {"vision": ["run", "agent"], "language": ["run", "agent"]}
    assert groups == {"sac": ["run", "agent"], "dqn": ["run", "agent", "atari"]} | others


def test_settings_are_altered_by_their_names_whatever_their_group():
    config = LEARNERS["dqn"].presets["quick"].config
    assert isinstance(config, AgentRun)
    other: Any = config.altered(seed=5, hidden_width=7, sticky=0.5)
    assert (other.run.seed, other.agent.hidden_width, other.atari.sticky) == (5, 7, 0.5)
    assert other.run == replace(config.run, seed=5)
    with pytest.raises(TypeError, match="no setting is called 'hiden_width'"):
        config.altered(hiden_width=7)


def test_altered_settings_keep_the_methods_unless_they_name_others():
    config = LEARNERS["sac"].presets["paper"].config.altered(reinit="fire")
    assert config.altered(seed=4).methods is not config.methods, "they were not parsed yet"
    assert config.altered(seed=4).methods is config.methods
    assert config.altered(reinit="redo").methods.method != config.methods.method
    assert config.altered(regularize=("parseval",)).methods.regularizers != ()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """Record what is parsed from now on: kind, text, and the preset of its name."""
    calls: list[tuple[str, str, Any]] = []
    parse = spelling._parse

    def counting(text: str, what: str, kinds: Any, presets: Any) -> Any:
        calls.append((what, text, presets.get(text.partition(":")[0])))
        return parse(text, what, kinds, presets)

    monkeypatch.setattr(spelling, "_parse", counting)
    return calls


@pytest.mark.usefixtures("unrendered")
def test_a_run_parses_its_method_once_with_what_is_published_of_its_agent(parsed: list[Any], tmp_path: Path):
    words = [*TINY, "--reinit", "fire:solver=exact", "--regularize", "l2-init", "parseval"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert run(read_command_line([*words, "--run-dir", str(tmp_path / "run")], LEARNERS["sac"])) == 0
    published = KINDS["sac"].published["fire"]
    ((_, text, known),) = [call for call in parsed if call[0] == "method"]
    assert text == "fire:solver=exact"
    assert known is published, "not what the method is without the preset"
    assert [text for what, text, _ in parsed if what == "regularizer"] == ["l2-init", "parseval"]
    (event,) = [line for line in read_lines(tmp_path / "run" / "metrics.jsonl") if line["kind"] == "event"]
    assert isinstance(published, Fire)
    assert event["method"] == spell(replace(published, solver="exact"))


@pytest.mark.usefixtures("unrendered")
def test_a_resumed_run_parses_its_method_once(parsed: list[Any], tmp_path: Path):
    words = [*TINY, "--reinit", "fire:solver=exact", "--run-dir", str(tmp_path / "run")]
    longer = ["--resume", str(tmp_path / "run"), "--steps", "160"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert run(read_command_line(words, LEARNERS["sac"])) == 0
        parsed.clear()
        assert run(read_command_line(longer, LEARNERS["sac"])) == 0
    assert [(what, text) for what, text, _ in parsed] == [("method", "fire:solver=exact")]


def test_help_is_built_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    built: list[str] = []

    def counting(*arguments: Any) -> str:
        built.append("")
        return "what there is"

    monkeypatch.setattr("fire_rl.training.command_line.describe", counting)
    read_command_line(TINY, LEARNERS["sac"])
    for wrong in (["--sed", "1"], ["--seed", "one"], ["--preset", "quik"], ["--reinit", "fyre"]):
        with contextlib.suppress(ValueError):
            run(read_command_line([*wrong, "--run-dir", str(tmp_path / "run")], LEARNERS["sac"]))
    assert built == []
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        read_command_line(["--help-all"], LEARNERS["sac"])
    assert len(built) == 1
    assert "what there is" in said.getvalue()
