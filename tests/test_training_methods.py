"""Methods, regularizers, triggers and measures in whole runs, from the command line to the record."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.differences import differences
from fire_rl.commands.train import train_dqn, train_sac
from fire_rl.fire import METHODS, hidden_layers, take_inventory
from fire_rl.fire.regularizers import REGULARIZERS
from fire_rl.replay import AdaptiveRatio
from fire_rl.training import load_policy
from fire_rl.training.files import Lines, read_json
from fire_rl.training.lines import Rhythm, final_score
from fire_rl.training.metric import RETURN
from tests.fixtures import calling
from tests.fixtures.phased_runs import lines as lines_of

DQN = [
    *("--env", "CartPole-v1", "--num-envs", "2", "--learning-starts", "40", "--hidden-width", "16"),
    *("--batch-size", "8", "--target-every", "50", "--eval-every", "300", "--eval-episodes", "2", "--log-every", "100"),
    *("--checkpoint-every", "130", "--exploration-steps", "60", "--threads", "1", "--device", "cpu"),
    *("--learning-rate", "1e-2"),
]
SAC = [
    *("--env", "Pendulum-v1", "--learning-starts", "40", "--critic-width", "8", "--actor-width", "8"),
    *("--batch-size", "16", "--eval-every", "300", "--eval-episodes", "2", "--log-every", "100"),
    *("--checkpoint-every", "130", "--threads", "1", "--device", "cpu", "--learning-rate", "1e-2"),
    *("--replay-ratio", "0.5"),
]
# Six panels of measures at every checkpoint take long to render. One test below renders them.
unrendered = pytest.mark.usefixtures("unrendered")
SCRIPTS = {"sac": (train_sac, SAC), "dqn": (train_dqn, DQN)}


def quietly(kind: str, *arguments: str) -> str:
    script, tiny = SCRIPTS[kind]
    continues = {"--resume", "--branch-from"} & set(arguments)
    return calling.quietly(script, *([] if continues else tiny), *arguments)


@unrendered
@pytest.mark.parametrize(
    ("kind", "method", "regularizers"),
    [("dqn", "redo:tau=0.3", ["l2-init", "spectral"]), ("sac", "cbp:replacement_rate=0.05,maturity=5", ["parseval"])],
)
def test_a_run_resumed_in_the_middle_of_methods_with_memory_is_exact(
    kind: str, method: str, regularizers: list[str], tmp_path: Path
):
    flags = ["--reinit", method, "--regularize", *regularizers, "--measure-every", "50"]
    if kind == "dqn":
        flags += ["--reinit-when", "q.dormant>0.01", "--reinit-cooldown", "120"]
    quietly(kind, *flags, "--steps", "360", "--run-dir", str(tmp_path / "whole"))
    quietly(kind, *flags, "--steps", "230", "--run-dir", str(tmp_path / "parts"))
    quietly(kind, "--resume", str(tmp_path / "parts"), "--steps", "360")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []
    last = lines_of(tmp_path / "whole", "measures")[-1]
    events = [line["environment_steps"] for line in lines_of(tmp_path / "whole", "event")]
    if kind == "dqn":
        assert events[0] < 230 < events[-1], "the trigger remembers its last event"
    else:
        assert events == []
        assert sum(value for name, value in last.items() if "replaced" in name) > 0


def test_a_trigger_makes_events_when_the_measure_says_so_and_they_say_why(tmp_path: Path):
    flags = ["--steps", "600", "--reinit", "redo:tau=0.3", "--reinit-when", "dormant>0.01", "--reinit-cooldown", "120"]
    output = quietly("dqn", *flags, "--measure-every", "50", "--run-dir", str(tmp_path / "run"))
    measures, events = (lines_of(tmp_path / "run", kind) for kind in ("measures", "event"))
    total = measures[-1]["updates"]
    assert [line["updates"] for line in measures] == list(range(50, total + 1, 50))
    assert (tmp_path / "run" / "measures.png").read_bytes().startswith(b"\x89PNG")
    due, since = [], 0
    for line in measures:
        if line["q/dormant"] > 0.01 and line["updates"] - since >= 120:
            due.append(line["updates"])
            since = line["updates"]
    assert due, "there is no event, so the test shows nothing"
    assert [event["updates"] for event in events] == due
    for event in events:
        assert event["cause"] == "dormant>0.01"
        figures = event["networks"][0]["figures"]
        assert figures["units encoder.1"] == figures["units head.1"] == 16
        assert 0 <= figures["reset head.1"] <= 16
    assert f"{events[0]['method']} because dormant>0.01 in" in output
    assert "q reset encoder.1: " in output


# Two environments, 50 steps without learning, 4 updates a step: an event is just before each multiple of 50.
EVENTS_BEFORE_MULTIPLES_OF_50 = (
    *("--eval-every", "100", "--replay-ratio", "4", "--learning-starts", "50", "--reinit", "reset"),
    *("--reinit-every", "200"),
)


@unrendered
def test_a_run_whose_events_all_coincide_with_evaluations_is_judged_by_the_values_before_them(tmp_path: Path):
    output = quietly("dqn", *EVENTS_BEFORE_MULTIPLES_OF_50, "--steps", "410", "--run-dir", str(tmp_path / "run"))
    evaluations = lines_of(tmp_path / "run", "evaluation")
    events = [line["environment_steps"] for line in lines_of(tmp_path / "run", "event")]
    scheduled = [line["environment_steps"] for line in evaluations if line["occasion"] == "scheduled"]
    spoiled = [step for step in scheduled if step - 2 in events]
    assert len(spoiled) >= 3, (events, scheduled)
    before = {line["environment_steps"] for line in evaluations if line["occasion"] == "before event"}
    assert {step - 2 for step in spoiled} <= before
    lines = [(line["environment_steps"], line["return"], line["occasion"]) for line in evaluations]
    value = next(value for step, value, occasion in lines if (step, occasion) == (398, "before event"))
    value = (value + lines[-1][1]) / 2
    assert final_score(lines, Rhythm(100, 2)) == (value, 2)
    assert f"final return {RETURN.said(value)}: mean of the 2 scheduled evaluations in the last tenth" in output


@unrendered
def test_an_event_after_the_last_update_is_left_to_the_continuation(tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    output = quietly("dqn", *EVENTS_BEFORE_MULTIPLES_OF_50, "--steps", "400", "--run-dir", str(parts))
    assert "is due after" not in output, "events closer together than evaluations are not said"
    first = [line["updates"] for line in lines_of(parts, "event")]
    assert lines_of(parts, "evaluation")[-1]["occasion"] == "scheduled", "nothing was reset before it"
    quietly("dqn", "--resume", str(parts), "--steps", "460")
    quietly("dqn", *EVENTS_BEFORE_MULTIPLES_OF_50, "--steps", "460", "--run-dir", str(whole))
    updates = [line["updates"] for line in lines_of(whole, "event")]
    assert [line["updates"] for line in lines_of(parts, "event")] == updates
    assert updates[: len(first)] == first
    assert len(updates) == len(first) + 2
    assert lines_of(parts, "evaluation")[-1]["returns"] == lines_of(whole, "evaluation")[-1]["returns"]
    said = "reset:optimizer=keep is due after the last update: it acts if the run continues"
    rare = (*EVENTS_BEFORE_MULTIPLES_OF_50, "--eval-every", "50", "--steps")
    assert said in quietly("dqn", *rare, "200", "--run-dir", str(tmp_path / "said"))
    assert said not in quietly("dqn", *rare, "202", "--run-dir", str(tmp_path / "not"))


@unrendered
def test_a_branch_may_begin_a_method_that_acts_after_every_step(tmp_path: Path):
    trunk, branch = tmp_path / "trunk", tmp_path / "branch"
    quietly("dqn", "--steps", "300", "--checkpoint-at", "200", "--run-dir", str(trunk))
    quietly(
        "dqn", "--branch-from", f"{trunk}@200", "--reinit", "snr", "--regularize", "l2-init", "--run-dir", str(branch)
    )
    assert not (trunk / "measures.png").exists(), "there was no measurement"
    settings = read_json(branch / "config.json")["run"]
    assert (settings["reinit"], settings["reinit_at"], settings["regularize"]) == ("snr", [], ["l2-init"])
    assert lines_of(branch, "event") == []
    load_policy(branch)


@unrendered
def test_a_measurement_shows_the_networks_just_before_the_event_of_its_update(tmp_path: Path):
    flags = ["--reinit", "fire:scope=all", "--reinit-every", "50", "--measure-every", "50", "--steps", "260"]
    quietly("dqn", *flags, "--run-dir", str(tmp_path / "run"))
    measures, events = (lines_of(tmp_path / "run", kind) for kind in ("measures", "event"))
    assert [line["updates"] for line in events] == [50, 100, 150, 200]
    assert [line["updates"] for line in measures][:4] == [50, 100, 150, 200]
    for line, event in zip(measures, events, strict=False):
        found = max(matrix["deviation_before"] for matrix in event["networks"][0]["matrices"])
        assert max(value for name, value in line.items() if "deviation/" in name) == pytest.approx(found, rel=1e-6)
        assert line["q/sfe"] > 0, "since the event before"


def test_the_metrics_of_a_diverged_network_are_strict_json(tmp_path: Path):
    lines = Lines(tmp_path / "lines.jsonl")
    lines.append({"a": math.nan, "b": [1.0, math.inf], "c": {"d": -math.inf}, "e": "NaN"})
    assert (tmp_path / "lines.jsonl").read_text() == '{"a": null, "b": [1.0, null], "c": {"d": null}, "e": "NaN"}\n'


@unrendered
@pytest.mark.parametrize("method", ["cbp:replacement_rate=0.05,maturity=5", "snr"])
def test_units_are_watched_on_a_branch_of_an_injected_trunk(method: str, tmp_path: Path):
    trunk, whole, parts = (tmp_path / name for name in ("trunk", "whole", "parts"))
    quietly(
        "dqn", "--steps", "260", "--reinit", "injection", "--reinit-at", "100", "--checkpoint-at", "200",
        "--run-dir", str(trunk),
    )  # fmt: skip
    branch = ["--branch-from", f"{trunk}@200", "--reinit", method]
    quietly("dqn", *branch, "--steps", "400", "--run-dir", str(whole))
    quietly("dqn", *branch, "--steps", "300", "--run-dir", str(parts))
    quietly("dqn", "--resume", str(parts), "--steps", "400")
    assert differences(whole, parts) == []


@unrendered
def test_a_branch_acts_once_and_does_not_inherit_the_trunk_s_schedule(tmp_path: Path):
    trunk, once, often = (tmp_path / name for name in ("trunk", "once", "often"))
    flags = ["--reinit", "redo", "--reinit-every", "60", "--checkpoint-at", "200", "--steps", "260"]
    quietly("dqn", *flags, "--run-dir", str(trunk))
    quietly("dqn", "--branch-from", f"{trunk}@200", "--reinit", "reset", "--run-dir", str(once))
    quietly("dqn", "--branch-from", f"{trunk}@200", "--reinit", "redo", "--run-dir", str(often))
    assert [line["environment_steps"] for line in lines_of(once, "event") if "reset" in line["method"]] == [200]
    assert read_json(once / "config.json")["run"]["reinit_every"] is None
    assert read_json(often / "config.json")["run"]["reinit_every"] == 1000, "as redo is published"


@unrendered
def test_an_adaptive_replay_ratio_is_raised_once_the_critic_has_settled_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fire_rl.training.reinforcement_settings.UPDATES_PER_CHECK", 50)
    monkeypatch.setattr("fire_rl.training.reinforcement_settings.AdaptiveRatio", partial(AdaptiveRatio, tolerance=1.0))
    flags = ["--replay-ratio", "adaptive", "--measure-every", "25"]
    quietly("dqn", *flags, "--steps", "400", "--run-dir", str(tmp_path / "whole"))
    quietly("dqn", *flags, "--steps", "130", "--run-dir", str(tmp_path / "parts"))
    quietly("dqn", "--resume", str(tmp_path / "parts"), "--steps", "400")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []
    raised, last = lines_of(tmp_path / "whole", "ratio"), lines_of(tmp_path / "whole", "train")[-1]
    assert [(line["updates"], line["replay_ratio"]) for line in raised] == [(50, 2.0)]
    assert raised[0]["decisions"] == 40 + 2 * 50, "half an update for each decision until then"
    assert last["updates"] == 50 + 2 * (last["decisions"] - raised[0]["decisions"]), "no debt, and two from then on"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--reinit", "cbp", "--reinit-every", "5"], "--reinit-every given; cbp acts after every update and takes no"),
        (["--reinit-when", "dormant>0.2"], "--reinit-when needs a method: give --reinit fire, for example"),
        (["--reinit", "fire", "--reinit-when", "dorment>0.2"], "measure 'dorment' is unknown; .* nearest is dormant"),
        (["--reinit", "fire", "--reinit-when", "critik.sfe>1"], "network 'critik' is unknown; known are q"),
        (["--reinit", "fire", "--reinit-when", "dormant"], "such as dormant>0.25"),
        (["--reinit", "fire", "--reinit-when", "dormant/encoder.11>0.1"], "named 'encoder.11'; nearest is encoder.1"),
        (["--reinit", "fire", "--reinit-when", "hessian>1"], "measured only with --measure-hessian True"),
        (["--reinit", "fire", "--reinit-when", "sfe>1", "--measure-every", "0"], "--reinit-when needs measures"),
        (["--measure-hessian", "True", "--measure-every", "0"], "--measure-hessian needs measures"),
        (
            ["--replay-ratio", "adaptive", "--measure-every", "0"],
            "--replay-ratio adaptive needs measures; --measure-every 0",
        ),
        (["--replay-ratio", "adaptative"], "--replay-ratio 'adaptative' given; allowed is a number or adaptive"),
        (["--reinit", "l2-init"], "method 'l2-init' acts at every gradient step: give it as a regularizer"),
        (["--regularize", "fire"], "regularizer 'fire' is a method: give it as a method"),
        (["--regularize", "l2-initt"], "regularizer 'l2-initt' is unknown; known are l2-init, .* nearest is l2-init"),
        (["--regularize", "l2-init:strenght=1"], "has no field 'strenght'.* nearest is strength"),
        (["--reinit-cooldown", "-1"], "--reinit-cooldown -1 given; allowed is 0 or above"),
    ],
)
def test_a_mistake_is_refused_in_one_line_and_creates_nothing(arguments: list[str], complaint: str, tmp_path: Path):
    with pytest.raises(ValueError, match=complaint) as caught:
        train_dqn(["--env", "CartPole-v1", "--device", "cpu", *arguments, "--run-dir", str(tmp_path / "run")])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_help_lists_every_method_regularizer_and_measure(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        train_sac(["--help-all"])
    text = capsys.readouterr().out
    for name in (*METHODS, *REGULARIZERS, "dormant", "effective_rank"):
        assert f"  {name}: " in text


# Long enough for an event and a recovery, short enough for all of them: networks, batches and schedules of the presets.
QUICK = {
    "sac": ["--preset", "quick", "--steps", "5000", "--eval-every", "2500", "--eval-episodes", "2"],
    "dqn": ["--preset", "quick", "--steps", "12000", "--eval-every", "6000", "--eval-episodes", "2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sac", "dqn"])
@pytest.mark.parametrize("method", [*METHODS, *(f"+{name}" for name in REGULARIZERS)])
def test_every_method_completes_on_the_quick_presets_with_a_right_record(kind: str, method: str, tmp_path: Path):
    regularizer = method.removeprefix("+") if method.startswith("+") else None
    chosen = ["--regularize", regularizer] if regularizer else ["--reinit", method]
    script, _ = SCRIPTS[kind]
    assert script([*QUICK[kind], *chosen, "--threads", "1", "--device", "cpu", "--run-dir", str(tmp_path)]) == 0
    events, measures = lines_of(tmp_path, "event"), lines_of(tmp_path, "measures")
    middle = read_json(tmp_path / "config.json")["run"]["reinit_at"]  # of the run, or of its learning part
    acts = regularizer is None and METHODS[method].acts_at_events
    if acts and (period := METHODS[method].usual_period):
        total = measures[-1]["updates"]
        assert [event["updates"] for event in events] == list(range(period, total, period))  # none at the end
    else:
        assert [event["environment_steps"] for event in events] == (middle if acts else [])
    agent = load_policy(tmp_path).agent
    networks = {network.name: network for network in agent.plastic()}
    assert measures
    for name, network in networks.items():
        assert 0 <= measures[-1][f"{name}/dormant"] <= 1
        layers = {layer.name for layer in hidden_layers(network.module)}
        assert {key.removeprefix(f"{name}/dormant/") for key in measures[-1] if key.startswith(f"{name}/dormant/")} == (
            layers
        )
    for event in events:
        assert event["method"].partition(":")[0] == method
        assert {network["name"] for network in event["networks"]} == set(networks)
        for network in event["networks"]:
            now = {matrix.name for matrix in take_inventory(networks[network["name"]].module).matrices}
            assert method == "injection" or {matrix["name"] for matrix in network["matrices"]} == now
            changed = sum(matrix["squared_frobenius_error"] for matrix in network["matrices"])
            untouched = method == "injection" or (method == "redo" and not any_reset(network))
            assert changed == 0 if untouched else changed > 0


def any_reset(network: dict[str, Any]) -> bool:
    return any(value for name, value in network["figures"].items() if name.startswith("reset "))
