"""Each phase begins with a new optimizer, from the second phase on possibly one of another kind."""

from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.differences import differences
from fire_rl.agents.vision.classifier import make_classifier
from fire_rl.agents.vision.settings import ClassifierSettings
from tests.fixtures import phased_runs
from tests.fixtures.phased_runs import lines
from tests.fixtures.slow import slow

SIZE = "--images 100 --batch-size 16 --first-epochs 4 --epochs 2"
OFTEN = "--eval-every 5 --log-every 5 --measure-every 7 --checkpoint-every 6 --eval-training-images 40"
RUN = f"--preset quick --data digits {SIZE} {OFTEN} --threads 1 --device cpu"
ADAM_THEN_MUON = "--later-optimizer muon"

train = partial(phased_runs.train, "vision")


def learner(**settings):
    given = ClassifierSettings(network="small", **settings)
    return make_classifier("small", (1, 8, 8), 3, given, seed=0, device=torch.device("cpu"))


def trained(one, updates):
    generator = torch.Generator().manual_seed(1)
    for _ in range(updates):
        images, labels = torch.randn(12, 1, 8, 8, generator=generator), torch.randint(3, (12,), generator=generator)
        one.update([(images, labels)], [1.0])
    return {name: value.clone() for name, value in one.module.state_dict().items()}


def equal(some, others):
    return all(torch.equal(value, others[name]) for name, value in some.items())


@pytest.mark.parametrize(("first", "later"), [("adam", "muon"), ("muon", "adam")])
def test_the_first_phase_is_that_of_the_first_optimizer_and_the_second_that_of_the_later_one(first, later):
    both, before, after = (
        learner(optimizer=first, later_optimizer=later),
        learner(optimizer=first),
        learner(optimizer=later),
    )
    assert equal(trained(both, 4), trained(before, 4))
    both.begin_phase()
    after.module.load_state_dict(both.module.state_dict())
    assert equal(trained(both, 4), trained(after, 4))
    before.begin_phase()
    assert not equal(both.module.state_dict(), trained(before, 4))


def test_muon_moves_at_ten_times_the_learning_rate():
    (group,) = learner(optimizer="muon", learning_rate=4e-4).trained.optimizer.param_groups
    assert group["lr"] * group["muon_ratio"] == pytest.approx(4e-3)


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("method", [*map(slow, ("none", "redo")), "fire", "injection"])
def test_a_branch_of_a_trunk_with_adam_may_continue_with_muon_like_a_run_from_the_start(tmp_path: Path, method: str):
    train(f"{RUN} --reinit {method} {ADAM_THEN_MUON}", tmp_path / "whole")
    train(f"{RUN} --steps 4 --checkpoint-at 4", tmp_path / "trunk")
    branch = f"--branch-from {tmp_path / 'trunk'}@4 --reinit {method}"
    train(f"{branch} --steps 18 {ADAM_THEN_MUON}", tmp_path / "branch")
    train(f"{branch} --steps 18", tmp_path / "adam")
    muon, same, adam = (lines(tmp_path / name, "evaluation")[-1] for name in ("whole", "branch", "adam"))
    assert muon == same != adam


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("stopped", [slow(3), 4, slow(9)])  # before, at and after the beginning of the second phase
def test_such_a_run_that_is_resumed_equals_one_that_never_stopped(tmp_path: Path, stopped: int):
    words = f"{RUN} --reinit redo {ADAM_THEN_MUON}"
    train(words, tmp_path / "whole")
    train(f"{words} --steps {stopped}", tmp_path / "parts")
    train(f"--resume {tmp_path / 'parts'} --steps 18")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


@pytest.mark.usefixtures("unrendered")
def test_a_branch_after_the_beginning_of_the_second_phase_keeps_its_trunk_s_optimizers(tmp_path: Path):
    train(f"{RUN} --task continual --phases 3 --steps 14 --checkpoint-at 14", tmp_path / "trunk")
    branch = f"--branch-from {tmp_path / 'trunk'}@14 --steps 28"
    with pytest.raises(ValueError, match="takes effect where the second phase begins, step 4: only a branch") as error:
        train(f"{branch} {ADAM_THEN_MUON}", tmp_path / "muon")
    assert "\n" not in str(error.value)
    train(f"{branch} --later-optimizer same", tmp_path / "same")
    with pytest.raises(ValueError, match="--optimizer given with --branch-from; a branch keeps its trunk's agent"):
        train(f"{branch} --optimizer muon", tmp_path / "other")
