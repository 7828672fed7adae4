"""Diagnosis of runs: both agents, vision, remedies and pages; nothing of the run changes."""

import hashlib
import json
import re
import shlex
import shutil
from dataclasses import replace

import pytest
import torch

from benchmarks.diagnosis import dormant
from fire_rl.agents.captured import products_in
from fire_rl.commands.diagnose import _recovery, body
from fire_rl.commands.train import train
from fire_rl.experiments.diagnosis.advice import advice_on
from fire_rl.experiments.diagnosis.examination import Asked, examine_run
from fire_rl.experiments.diagnosis.figures import label_apart
from fire_rl.experiments.diagnosis.loaded_run import load_run
from fire_rl.experiments.diagnosis.page import NUMBERS, PAGE
from fire_rl.experiments.diagnosis.remedies import Effect, Remedy, Returns, frontier, methods_of
from fire_rl.experiments.diagnosis.subjects import Share, same_choice, same_values
from fire_rl.experiments.report.drawing import WIDTH, PageImage, canvas
from fire_rl.fire.diagnosis import Diagnosis
from fire_rl.fire.probe import Probe
from fire_rl.fire.scores import Reading, Score
from fire_rl.training.checkpoint import folder_of, steps_of
from fire_rl.training.command_line import read_command_line
from fire_rl.training.learners import LEARNERS
from fire_rl.training.probes import networks_of

COMMON = ("--threads", "1", "--device", "cpu", "--eval-episodes", "2", "--measure-every", "0")
WORDS = {
    "sac": (
        *("--env", "Pendulum-v1", "--action-repeat", "1", "--steps", "150", "--learning-starts", "60", *COMMON),
        *("--critic-width", "8", "--actor-width", "8", "--batch-size", "16", "--checkpoint-every", "100"),
        *("--eval-every", "1000", "--replay-capacity", "1000"),
    ),
    "dqn": (
        *("--env", "CartPole-v1", "--steps", "300", "--num-envs", "2", "--learning-starts", "40", *COMMON),
        *("--hidden-width", "16", "--batch-size", "8", "--target-every", "50", "--eval-every", "1000"),
        *("--learning-rate", "1e-3", "--checkpoint-every", "200", "--replay-capacity", "1000"),
    ),
    "vision": (
        *(
            "--preset",
            "quick",
            "--data",
            "digits",
            "--images",
            "500",
            "--epochs",
            "1",
            "--first-epochs",
            "1",
            "--threads",
            "1",
        ),
        *("--device", "cpu", "--measure-every", "0", "--eval-every", "1000"),
    ),
}
QUICK = (
    *("--updates", "12", "--seeds", "3", "--rates", "0.01", "--episodes", "2", "--recovery", "12"),
    *("--remedies", "fire", "redo", "shrink-perturb:keep=0.5", "shrink-perturb:keep=0.9"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each agent, whose curves are not drawn."""
    threads, made = torch.get_num_threads(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fire_rl.training.reporter.draw_curve", lambda *_: None)
        for kind in ("sac", "dqn"):
            made[kind] = tmp_path_factory.mktemp(kind) / "run"
            train(kind, [*WORDS[kind], "--run-dir", str(made[kind])])
    yield made
    torch.set_num_threads(threads)


@pytest.fixture
def place(runs, tmp_path):
    def copied(kind):
        return shutil.copytree(runs[kind], tmp_path / kind)

    return copied


@pytest.fixture
def without_pictures(monkeypatch):
    """The page is composed, and its pictures are one pixel."""
    monkeypatch.setattr("fire_rl.training.reporter.draw_curve", lambda *_: None)
    picture = PageImage("data:,", "a picture of some numbers", 1, 1)
    for name in ("scores_figure", "curves_figure", "plane_figure"):
        monkeypatch.setattr(f"fire_rl.experiments.diagnosis.page.{name}", lambda *_: picture)
    monkeypatch.setattr("fire_rl.experiments.diagnosis.page.returns_figure", lambda *_: None)


def digests(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["sac", "dqn"])
def test_a_run_is_examined_and_stays_as_it_is(kind, runs, without_pictures, capsys):
    run = runs[kind]
    before = digests(run)
    assert body([str(run), *QUICK]) == 0
    after = digests(run)
    assert {path.name for path in after.keys() - before.keys()} == {PAGE, NUMBERS}
    assert all(after[path] == digest for path, digest in before.items())
    found = json.loads((run / NUMBERS).read_text(), parse_constant=pytest.fail)
    assert set(found["networks"]) == ({"actor", "critic"} if kind == "sac" else {"q"})
    assert [each["name"] for each in found["remedies"]] == ["untouched", "fresh", *QUICK[QUICK.index("fire") :]]
    untouched, _, fire, *_ = found["remedies"]
    for name, network in found["networks"].items():
        assert untouched["networks"][name]["kept"]["value"] == pytest.approx(1.0)
        assert fire["networks"][name]["squared_frobenius_error"] > 0
        assert {"fit", "replace"} <= set(network["readings"])
        assert "flipped" in network["next"] or network["next"] == {}
    keeps = [each["networks"][name]["kept"]["value"] for each in found["remedies"][-2:] for name in found["networks"]]
    assert all(-1.0 <= value <= 1.0 for value in keeps)
    assert untouched["return"]["mean"] == pytest.approx(untouched["return"]["mean"])
    said = capsys.readouterr().out
    command = found["advice"]["command"]
    assert found["verdict"].partition(" ")[0] in said
    assert command in said
    if "train_" in command:
        read_command_line(shlex.split(command)[2:], LEARNERS[kind])


@pytest.mark.parametrize("kind", ["sac", "dqn"])
def test_a_fork_is_the_learner_and_shares_nothing_with_it(kind, runs):
    loaded = load_run(runs[kind], None, False)
    copied, state = loaded.fork(), loaded.learner.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in copied.state_dict().items())
    before = {name: value.clone() for name, value in state.items()}
    for network in copied.plastic():
        for parameter in network.module.parameters():
            parameter.data.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in loaded.learner.state_dict().items())
    initial = networks_of(loaded.learner)
    for name, network in networks_of(
        loaded.drawn(0)
    ).items():  # the run's own first weights, as its checkpoint has them
        assert all(torch.equal(value, initial[name].initial[key]) for key, value in network.module.state_dict().items())


@pytest.mark.parametrize("kind", ["sac", "dqn"])
def test_verdicts_on_known_cases(kind, runs):
    loaded = load_run(runs[kind], None, False)
    modules = {name: network.module for name, network in networks_of(loaded.learner).items()}
    fresh = {name: network.module for name, network in networks_of(loaded.drawn(77)).items()}
    asked = Asked(Probe(50, (3e-3,), 4, points=5), {}, 0, 0)
    for change, expected in ((lambda module: module, "nothing"), (dormant, "fitting")):
        for name, module in modules.items():
            module.load_state_dict(change(fresh[name]).state_dict())
        found = examine_run(loaded, asked, lambda line: None)
        verdicts = {diagnosis.lost for diagnosis in found.diagnoses.values()}
        assert expected in verdicts
        assert verdicts <= {expected, "at its own rate"} | ({"unlearning"} if expected == "fitting" else set())


def test_every_checkpoint_is_examined_where_all_are_asked_for(place, without_pictures):
    run = place("dqn")
    assert body([str(run), "--all", *QUICK[:-5], "--remedies", "none"]) == 0
    assert {path.name for path in run.glob("diagnosis-*")} == {f"diagnosis-{step}" for step in steps_of(run)}
    assert not json.loads((run / f"diagnosis-{steps_of(run)[0]}" / NUMBERS).read_text())["remedies"]


def test_a_run_of_images_is_examined(tmp_path, without_pictures):
    pytest.importorskip("sklearn")
    run, out = tmp_path / "run", tmp_path / "out"
    train("vision", [*WORDS["vision"], "--run-dir", str(run)])
    assert body([str(run), "--out", str(out), *QUICK[:-4], "fire"]) == 0
    found = json.loads((out / NUMBERS).read_text())
    assert found["remedies"][0]["return"] is None
    assert list(found["networks"]) == ["classifier"]


def test_a_diagnosis_is_in_float32(monkeypatch):
    def noted(*_):
        raise ValueError([torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32])

    monkeypatch.setattr("fire_rl.commands.diagnose.load_run", noted)
    with products_in("tf32"), pytest.raises(ValueError, match=r"\[False, False\]"):
        body(["runs/any"])


def test_the_page_needs_nothing_from_elsewhere_and_escapes_names(place):
    run = place("dqn")
    named = run.rename(run.with_name("<b>&run"))
    body([str(named), *QUICK])
    text = (named / PAGE).read_text()
    assert "<b>&run" not in text
    assert "&lt;b&gt;&amp;run" in text
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert "<script" not in text
    assert text.count("<img") == 4


def test_the_frontier_is_what_no_other_point_beats():
    points = {"a": (1.0, 0.2), "b": (0.5, 0.9), "c": (0.4, 0.8), "d": (0.1, 1.0), "e": (0.05, 0.95)}
    assert frontier(points) == ["d", "b", "a"]


def test_what_is_kept():
    values = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    others = torch.randn(400, 5, generator=torch.Generator().manual_seed(1))
    assert same_choice(values, values).value == 1.0
    assert same_choice(values, others).low < 0.0 < same_choice(values, others).high
    assert same_values(values, values) == (1.0, 1.0, 1.0)
    changed = values.clone()
    changed[:, 0] = values[:, 0].mean()
    assert same_values(values, changed).value == pytest.approx(0.8, abs=0.03)


def test_kappa_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    draw = torch.Generator().manual_seed(3)
    values, others = torch.randn(300, 4, generator=draw), torch.randn(300, 4, generator=draw)
    mixed = torch.where(torch.rand(300, 1, generator=draw) < 0.6, values, others)
    expected = metrics.cohen_kappa_score(values.argmax(1), mixed.argmax(1))
    assert same_choice(values, mixed).value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "2"), "seeds=2 given; allowed are 3 to 11"),
        (("--rates", "0"), "allowed are learning rates above 0"),
        (("--updates", "5"), "--updates 5 given; allowed are 10"),
        (("--episodes", "-1"), "--episodes -1"),
        (("--remedies", "fier"), "nearest is fire"),
        (("--remedies", "cbp"), "--remedies cbp given: it acts at every step"),
        (("--remedies", "dash", "injection:hidden=0"), "--remedies injection:hidden=0 given: .*no field"),
        (("--threads", "0"), "--threads 0 given"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_written(words, said, runs, tmp_path):
    with pytest.raises(ValueError, match=said):
        body([str(runs["dqn"]), "--out", str(tmp_path / "out"), *words])
    assert not (tmp_path / "out").exists()


def test_runs_that_cannot_be_examined_are_refused(place, tmp_path):
    with pytest.raises(ValueError, match="no run given"):
        body([])
    with pytest.raises(ValueError, match="is not a run"):
        body([str(tmp_path)])
    with pytest.raises(ValueError, match="is a card: it has only a policy"):
        body(["pretrained:cartpole"])
    run = place("dqn")
    with pytest.raises(ValueError, match="has no checkpoint at step 70; there are: 200, 300"):
        body([f"{run}@70"])
    with pytest.raises(ValueError, match="--all given with"):
        body([f"{run}@200", "--all"])
    line = json.dumps({"kind": "diverged", "environment_steps": 300, "updates": 9, "quantity": "loss", "value": "nan"})
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(line + "\n")
    with pytest.raises(ValueError, match=r"diverged at step 300 \(loss is nan\)"):
        body([str(run)])
    for path in (run / "replay").glob("*"):
        path.unlink()
    with pytest.raises(ValueError, match="replay"):
        body([f"{run}@200"])
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ValueError, match=r"was slimmed|no checkpoint"):
        body([f"{run}@200"])


def test_the_cheapest_remedy_is_advised(runs):
    loaded = load_run(runs["dqn"], None, False)
    modules = networks_of(loaded.learner)
    modules["q"].module.load_state_dict(dormant(modules["q"].module).state_dict())
    asked = Asked(Probe(40, (3e-3,), 3, points=5), methods_of(loaded, ["reset", "shrink-perturb:keep=0.99"]), 0, 0)
    found = examine_run(loaded, asked, lambda line: None)
    assert found.diagnoses["q"].lost == "fitting"
    assert found.advice.choice == "reset"
    assert "--reinit reset" in found.advice.command
    assert advice_on(loaded, found.diagnoses, [], asked.probe).choice == "try remedies"


def test_advice_follows_what_was_shown(runs):
    loaded, probe = load_run(runs["sac"], None, False), Probe(40, (3e-3,), 3, points=5)

    def reading(value, width=0.05, own=None):
        slow = None if own is None else Score(own, own - 0.1, own + 0.1, 1e-4, 1e-4)
        return Reading("", Score(value, value - width, value + width, 3e-3, 3e-3), slow, (), (), {}, {})

    def diagnosed(lost, fit, replace):
        readings = {"fit": fit, "replace": replace}
        return {"critic": Diagnosis("critic", lost, "", "", readings, probe, 1e-4)}

    def remedy(name, critic, actor):
        share = Share(0.5, 0.4, 0.6)
        effects = {key: Effect(share, None, {"fit": reading(1.0), "replace": each}, 1.0)
                   for key, each in (("critic", critic), ("actor", actor))}  # fmt: skip
        return Remedy(name, effects, None, None)

    def choice(diagnoses, remedies):
        return advice_on(loaded, diagnoses, remedies, probe).choice

    good, wide, bad = reading(1.0), reading(0.6, 0.6), reading(0.5)
    lost = diagnosed("unlearning", good, bad)
    assert choice(lost, [remedy("wide", wide, good), remedy("mends", good, good)]) == "mends"
    assert choice(lost, [remedy("ruins the actor", good, bad), remedy("mends", good, good)]) == "mends"
    close = [replace(remedy(name, good, good), returned=Returns.of(each))
             for name, each in (("first", [1.0, 3.0]), ("second", [1.0, 2.0]), ("far", [-100.0, -100.1]))]  # fmt: skip
    said = advice_on(loaded, lost, close, probe)
    assert said.choice == "first"
    assert "; that of second is not clearly lower (" in said.reason
    again = advice_on(loaded, diagnosed("not settled", good, wide), [], probe)
    assert (again.choice, again.command.split()[-2:]) == ("measure again", ["--seeds", "11"])
    slow = diagnosed("at its own rate", reading(1.0, own=1.0), reading(1.0, own=0.5))
    assert choice(slow, []) == "learning rate 0.003"
    older = load_run(runs["sac"], steps_of(runs["sac"])[0], False)
    left = advice_on(older, diagnosed("nothing", good, good), [], probe)
    assert "the run has gone on since, to step 150" in left.reason
    assert "--resume" not in left.command


def test_the_recovery_has_copies_of_the_target(runs):
    assert _recovery(load_run(runs["dqn"], None, False)) == 500  # a copy every 50 updates
    slow = load_run(runs["dqn"], None, False)
    assert _recovery(replace(slow, config=slow.config.altered(target_every=1_000))) == 2_000
    assert _recovery(load_run(runs["sac"], None, False)) == 500


def test_a_checkpoint_that_cannot_be_examined_is_skipped(place, without_pictures, capsys):
    run = place("dqn")
    (folder_of(run, 200) / "agent.safetensors").write_bytes(b"nothing")
    assert body([str(run), "--all", *QUICK[:-5], "--remedies", "none"]) == 0
    assert capsys.readouterr().out.count("warning: skipped: ") == 1
    assert {path.name for path in run.glob("diagnosis-*")} == {"diagnosis-300"}


def test_an_unwritable_folder_is_refused_before_anything_is_measured(runs, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/out cannot be written to: Not a directory"):
        body([str(runs["dqn"]), "--out", str(tmp_path / "file" / "out"), *QUICK])
    assert "probed" not in capsys.readouterr().out


def test_one_episode_has_no_interval():
    assert str(Returns.of([21.0])) == "21.0"
    assert str(Returns.of([1.0, 2.0, 3.0])) == "2.0 (-0.5 to 4.5)"  # 4.303 / sqrt(3)


def test_names_of_remedies_that_coincide_do_not_cover_each_other():
    figure, (axes,) = canvas(WIDTH, 300)
    spots = {"fresh": (0.0, 1.0), "fire": (0.0, 0.99), "reset": (0.0, 1.0), "untouched": (1.0, 0.5), "redo": (1.0, 0.5)}
    axes.set(xlim=(-0.05, 1.25), ylim=(0.45, 1.05))
    figure.draw_without_rendering()
    names = [label.get_window_extent() for label in label_apart(axes, spots, dict.fromkeys(spots, "black"))]
    points = axes.transData.transform(list(spots.values()))
    assert not any(one.overlaps(other) for place, one in enumerate(names) for other in names[:place])
    assert not any(name.contains(*point) for name in names for point in points)
    assert all(axes.bbox.contains(*corner) for name in names for corner in name.corners())
