"""Continual vision as a run: phases begin where they should, and a run in parts equals an uninterrupted one."""

from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.differences import differences
from fire_rl.fire import PlasticityManager
from fire_rl.training.command_line import read_command_line
from fire_rl.training.learners import LEARNERS
from fire_rl.training.vision import Vision, VisionRun, chosen_images
from tests.fixtures import phased_runs
from tests.fixtures.phased_runs import lines
from tests.fixtures.slow import slow

SIZE = "--images 100 --batch-size 16 --first-epochs 4 --epochs 2"
OFTEN = "--eval-every 5 --log-every 5 --measure-every 7 --checkpoint-every 6 --eval-training-images 40"
RUN = f"--preset quick --data digits {SIZE} {OFTEN} --threads 1 --device cpu"


train = partial(phased_runs.train, "vision")


def made(*words: str) -> Vision:
    config = read_command_line([*RUN.split(), *words], LEARNERS["vision"]).config
    assert isinstance(config, VisionRun)
    return Vision(config.resolved())


@pytest.mark.usefixtures("unrendered")
def test_a_warm_start_has_its_event_between_two_evaluations_where_the_second_phase_begins(tmp_path: Path):
    said = train(f"{RUN} --reinit fire", tmp_path / "run")
    assert "2 phases of 10 to 100 training images, 4 to 14 updates; 18 updates in all" in said
    (event,) = lines(tmp_path / "run", "event")
    assert event["position"] == {"updates": 4}
    evaluations = [(line["updates"], line["occasion"], line["phase"]) for line in lines(tmp_path / "run", "evaluation")]
    assert evaluations == [
        (0, "scheduled", 1), (4, "before event", 1), (4, "after event", 1), (5, "scheduled", 2),
        (10, "scheduled", 2), (15, "scheduled", 2), (18, "scheduled", 2),
    ]  # fmt: skip
    last = lines(tmp_path / "run", "evaluation")[-1]
    assert 0 <= last["accuracy"] <= 1
    assert len(last["by_phase"]) == 2
    assert last["training_accuracy"] == pytest.approx(0.1 * last["by_phase"][0] + 0.9 * last["by_phase"][1])


@pytest.mark.usefixtures("unrendered")
def test_a_finished_run_is_made_no_longer_than_its_phases(tmp_path: Path):
    train(f"{RUN} --steps 12", tmp_path / "run")
    assert "to continue it, give a larger --steps, such as 18\n" in train(f"--resume {tmp_path / 'run'}")
    train(f"--resume {tmp_path / 'run'} --steps 18")
    assert "finished already, at step 18\n" in train(f"--resume {tmp_path / 'run'}")


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("task", ["warm-start", slow("continual --phases 3"), "class-incremental --phases 5"])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path, task: str):
    words = f"{RUN} --task {task} --reinit redo --augment flip-crop --label-noise 0.2"
    train(words, tmp_path / "whole")
    train(f"{words} --steps 9", tmp_path / "parts")
    whole = LEARNERS["vision"].config
    assert issubclass(whole, VisionRun)
    steps = lines(tmp_path / "whole", "evaluation")[-1]["updates"]
    train(f"--resume {tmp_path / 'parts'} --steps {steps}")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(
    "method",
    ["fire", "dash", *map(slow, ("none", "reset", "shrink-perturb"))],
)
def test_a_branch_at_a_phase_equals_a_run_from_the_start(tmp_path: Path, method: str):
    words = f"{RUN} --task continual --phases 3"
    train(f"{words} --reinit {method}", tmp_path / "whole")
    train(f"{words} --steps 4 --checkpoint-at 4", tmp_path / "trunk")  # 16 and 17 images, twice
    train(f"--branch-from {tmp_path / 'trunk'}@4 --steps 28 --reinit {method}", tmp_path / "branch")
    assert [line["updates"] for line in lines(tmp_path / "branch", "event")] == ([] if method == "none" else [4, 14])
    ends = [lines(folder, "evaluation")[-1] for folder in (tmp_path / "whole", tmp_path / "branch")]
    assert ends[0] == ends[1]


def updated(work: Vision, count: int, manager: PlasticityManager) -> None:
    work.update(count, manager)


@pytest.mark.usefixtures("unrendered")
def test_a_method_with_a_period_acts_at_the_ends_of_epochs_of_the_second_phase_of_a_warm_start(tmp_path: Path):
    words = f"{RUN} --reinit redo"
    train(words, tmp_path / "whole")
    assert [line["updates"] for line in lines(tmp_path / "whole", "event")] == [11]  # 4 + 7, and not at the end, 18
    train(f"{RUN} --steps 4 --checkpoint-at 4", tmp_path / "trunk")
    train(f"--branch-from {tmp_path / 'trunk'}@4 --steps 18 --reinit redo", tmp_path / "branch")
    assert [line["updates"] for line in lines(tmp_path / "branch", "event")] == [11]
    ends = [lines(folder, "evaluation")[-1] for folder in (tmp_path / "whole", tmp_path / "branch")]
    assert ends[0] == ends[1]


@pytest.mark.usefixtures("unrendered")
def test_a_method_with_a_period_acts_at_the_ends_of_each_phase_s_own_epochs(tmp_path: Path):
    words = f"{RUN} --task continual --phases 3 --reinit redo"
    train(words, tmp_path / "run")
    run = read_command_line(words.split(), LEARNERS["vision"]).config.run
    assert run.phase_starts[-1] + 2 * run.epoch_lengths[-1] == 28
    assert (run.phase_starts, run.epoch_lengths) == ((4, 14), (2, 5, 7))
    assert [line["updates"] for line in lines(tmp_path / "run", "event")] == [2, 4, 9, 14, 21]  # none at the end, 28


@pytest.mark.usefixtures("unrendered")
def test_a_run_that_is_extended_has_the_events_of_the_phases_that_it_then_reaches(tmp_path: Path):
    words = f"{RUN} --task continual --phases 3 --reinit fire"
    train(f"{words} --steps 9", tmp_path / "run")
    train(f"--resume {tmp_path / 'run'} --steps 28")
    assert [line["updates"] for line in lines(tmp_path / "run", "event")] == [4, 14]
    for words in ("--resume {}", "--branch-from {}@28"):
        with pytest.raises(ValueError, match="--steps 9999 given; allowed are at most 28, the updates of all phases"):
            train(f"{words.format(tmp_path / 'run')} --steps 9999")


@pytest.mark.usefixtures("unrendered")
def test_other_data_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    train(f"{RUN} --steps 9", tmp_path / "run")
    monkeypatch.setattr("fire_rl.training.vision.checksum_of", lambda data, used: "another")
    with pytest.raises(ValueError, match="other data than digits is now"):
        train(f"--branch-from {tmp_path / 'run'}@9 --steps 18", tmp_path / "branch")
    assert not (tmp_path / "branch" / "config.json").exists()


def test_each_phase_begins_with_an_optimizer_that_is_new(monkeypatch: pytest.MonkeyPatch):
    work = made()
    config = work.config
    manager = config.manager(work)
    counts = []
    for _ in range(18):
        work.advance(lambda count: updated(work, count, manager))
        state = next(iter(work.trained.trained.optimizer.state.values()))
        counts.append(int(state["step"]))
    assert counts == [*range(1, 5), *range(1, 15)]


def test_the_learning_rate_rises_once_an_epoch():
    work = made("--first-epochs", "20", "--epochs", "10")
    shares = [work.share_of_rate(update) for update in range(20)]
    assert shares == [0.5, *[1.0] * 19]
    assert [work.share_of_rate(20 + update) for update in (0, 6, 7, 8)] == [1.0] * 4
    assert [made("--warm-up", "0.5", "--epochs", "10").share_of_rate(4 + 7 * epoch) for epoch in range(6)] == (
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    )


def test_class_incremental_phases_have_equal_lengths_for_all_seeds():
    for seed in range(3):
        work = made("--task", "class-incremental", "--phases", "5", "--seed", str(seed), "--holdout", "0.2")
        assert [len(phase.examples) for phase in work.images.phases] == [16, 32, 48, 64, 80]
        assert len(work.validation) == 20
        assert work.images.starts[1:] == work.settings.phase_starts


def test_images_that_are_held_out_are_not_trained_on():
    settings = made("--holdout", "0.25").settings
    labels = torch.arange(1_438) % 10
    used, held = chosen_images(settings, labels, 3)
    assert (len(used), len(held)) == (75, 25)
    assert len(set(used.tolist()) | set(held.tolist())) == 100


def test_the_evaluated_accuracy_is_that_of_the_network():
    work = made("--task", "class-incremental", "--phases", "5")
    values = work.evaluate(lambda: None)
    images, labels = work.test.pick(work.all_tested)
    module = work.trained.module.eval()
    with torch.no_grad():
        right = module(images).argmax(-1) == labels
    assert values["accuracy"] == pytest.approx(right.float().mean().item())
    first = torch.isin(labels, work.images.phases[0].classes)
    assert values["seen_accuracy"] == values["by_phase"][0] == pytest.approx(right[first].float().mean().item())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--data cifa10", "did you mean cifar10"),
        ("--phases 3", "a warm start has 2"),
        ("--task class-incremental --phases 3", "allowed are 2, 5, 10"),
        ("--images 5", r"digits are 10 \(one for each class\) to 1,438"),
        ("--images 2000", r"digits are 10 \(one for each class\) to 1,438"),
        ("--steps 19", "at most 18"),
        ("--first-share 0", "between 0 and 1"),
        ("--first-share 0.001", "fewer than two images"),
        ("--label-noise 1.5", "from 0 to 1"),
        ("--epochs 0", "above 0"),
        ("--batch-size 1", "fewer than two images"),
        ("--first-share 0.999", "no new image"),
        ("--phases 0", "a warm start has 2"),
        ("--holdout 0.001", "less than one image"),
        ("--holdout nan", "finite number"),
        ("--optimizer muon --beta1 0.5", "does not take it"),
        ("--optimizer muon --learning-rate 0", "above 0"),
        ("--later-optimizer muon --learning-rate 0", "above 0"),
        ("--later-optimizer sgd", "same, adam, muon"),
    ],
)
def test_settings_that_make_no_phases_are_refused_in_one_line(words: str, said: str):
    with pytest.raises(ValueError, match=said) as error:
        read_command_line([*RUN.split(), *words.split()], LEARNERS["vision"])
    assert "\n" not in str(error.value)


def test_a_single_remaining_image_joins_the_batch_before_it():
    work = made("--images", "97", "--task", "continual", "--phases", "2")
    sizes = [len(work.images.batch(update)[1]) for update in range(work.images.total)]
    assert sizes == [*[16, 16, 16] * 2, *[16, 16, 16, 16, 16, 17] * 2]


@pytest.mark.usefixtures("unrendered")
def test_a_method_that_never_acted_is_noted(tmp_path: Path):
    said = train(f"{RUN} --reinit cbp", tmp_path / "run")
    assert "cbp" in said
    assert "has done nothing in this run: replaced units: 0" in said
    said = train(f"{RUN} --reinit cbp:maturity=2,replacement_rate=0.1", tmp_path / "other")
    assert "has done nothing" not in said


def test_what_happens_to_the_statistics_of_batchnorm_after_an_event_is_said():
    assert "running statistics are estimated again from ten batches" in " ".join(made("--reinit", "fire").notes)
    kept = made("--reinit", "fire", "--refresh-statistics", "False")
    assert "running statistics stay those of the old weights" in " ".join(kept.notes)
    for words in (["--reinit", "none"], ["--reinit", "cbp"], ["--reinit", "fire", "--network", "vit-tiny"]):
        assert "running statistics" not in " ".join(made(*words).notes)


@pytest.mark.usefixtures("unrendered")
def test_an_event_that_changes_no_weight_leaves_the_evaluation_as_it_was(tmp_path: Path):
    for method in ("none", "shrink-perturb:keep=1"):  # all of the weights are kept
        train(f"{RUN} --reinit {method}", tmp_path / method[:4])
    events = lines(tmp_path / "shri", "event")
    assert len(events) == 1
    assert not any(matrix["squared_frobenius_error"] for line in events for matrix in line["networks"][0]["matrices"])
    ends = [lines(tmp_path / name, "evaluation")[-1] for name in ("none", "shri")]
    assert ends[0] == ends[1]


def test_a_period_that_stands_for_epochs_is_said():
    words = ("--task", "continual", "--phases", "3", "--reinit", "redo")
    for given in ((), ("--reinit-every", "7")):
        said = " ".join(made(*words, *given).notes)
        assert "acts at the end of every epoch (2 or 5 or 7 updates); --reinit-every 7 stands for this rule" in said
    assert "every epoch" not in " ".join(made(*words, "--reinit-every", "6").notes)
    assert "every epoch" not in " ".join(made("--reinit", "fire").notes)


def test_a_processor_that_makes_muon_slow_is_said(monkeypatch: pytest.MonkeyPatch):
    for supported in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda supported=supported: supported)
        said = " ".join(made("--later-optimizer", "muon").notes)
        assert ("Muon: this processor has no instructions" in said) is not supported
        assert "no instructions" not in " ".join(made().notes)


def test_a_folder_with_fewer_images_than_needed_is_answered_with_what_is_possible():
    settings = made("--images", "100").settings
    with pytest.raises(ValueError, match="100 are needed: give --images 40 or fewer"):
        chosen_images(settings, torch.arange(40) % 10, 0)
    with pytest.raises(ValueError, match="9 training images here, fewer than its 10 classes") as error:
        chosen_images(settings, torch.arange(9), 0)
    assert "--images" not in str(error.value)  # any number of images would be refused


def test_flags_that_a_task_does_not_use_are_named_without_saying_that_they_were_given():
    words = [*RUN.split(), "--task", "continual", "--phases", "3"]
    (said,) = read_command_line(words, LEARNERS["vision"]).config.run.warnings()
    assert said == "no effect with continual, which has no short first phase: --first-epochs"


def test_a_folder_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no such folder"):
        made("--data-dir", "/nowhere/at/all")


def test_the_memory_of_a_run_is_printed_and_refused_where_it_is_not_free(monkeypatch: pytest.MonkeyPatch):
    work = made()
    assert any(note.startswith("memory: about 0.0 GB for small") for note in work.notes)
    more = made("--batch-size", "50")
    assert work.weight().memory < more.weight().memory
    monkeypatch.setattr("fire_rl.training.memory.available_memory", lambda: 1_000_000)
    with pytest.raises(
        ValueError, match=r"small on 16 images at once, with those of digits, takes about 0\.0 GB of memory"
    ):
        made()
