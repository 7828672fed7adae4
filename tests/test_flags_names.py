"""Flags and values as users of other programs type them are accepted if they mean the same, and explained otherwise."""

import shlex
from typing import Any

import pytest

from fire_rl.commands.compare import make_grid
from fire_rl.commands.compare_options import Options, read_options
from fire_rl.training.command_line import command_of, flags_of, read_command_line
from fire_rl.training.known_flags import OTHERS, SAME
from fire_rl.training.learners import LEARNERS
from fire_rl.training.spoken import environment, method, trigger, whole_number


def given(agent: str, line: str) -> dict[str, Any]:
    return dict(read_command_line(shlex.split(line), LEARNERS[agent]).given)


@pytest.mark.parametrize(
    ("agent", "line", "meant"),
    [
        # CleanRL's sac_continuous_action.py, Stable-Baselines3's SAC, SimBa
        (
            "sac",
            "--env-id HalfCheetah-v5 --total-timesteps 1000000 --buffer-size 1e6 --gamma 0.99 --tau 0.005 "
            "--batch-size 256 --learning-starts 5e3 --seed 1",
            {
                "env": "HalfCheetah-v5", "steps": 1_000_000, "replay_capacity": 1_000_000, "gamma": 0.99,
                "target_rate": 0.005, "batch_size": 256, "learning_starts": 5_000, "seed": 1,
            },
        ),
        ("sac", "--n_envs=4 --n-critics 2 --utd 2", {"num_envs": 4, "critics": 2, "replay_ratio": 2.0}),
        ("sac", "--critic-hidden-dim 512 --actor-num-blocks 1", {"critic_width": 512, "actor_blocks": 1}),
        # CleanRL's dqn_atari.py
        (
            "dqn",
            "--env-id breakout --total-timesteps 10M --lr 1e-4 --start-e 1 --end-e 0.01 --learning-starts 80k",
            {
                "env": "Breakout", "steps": 10_000_000, "learning_rate": 1e-4, "initial_exploration": 1.0,
                "final_exploration": 0.01, "learning_starts": 80_000,
            },
        ),
        ("vision", "--dataset CIFAR-100 --model ViT-Tiny --lr 1e-3 -b 128 --data-path .",
         {"data": "cifar100", "network": "vit-tiny", "learning_rate": 1e-3, "batch_size": 128, "data_dir": "."}),
        ("language", "--max-iters 2k --block-size 64 --grad-clip 1.0 --dtype BFloat16 --eval-interval 250",
         {"steps": 2_000, "context": 64, "largest_norm": 1.0, "precision": "bfloat16", "eval_every": 250}),
    ],
)  # fmt: skip
def test_names_of_other_programs_that_mean_the_same_are_accepted(agent: str, line: str, meant: dict[str, Any]):
    assert given(agent, line) == meant


@pytest.mark.parametrize(
    ("agent", "line", "answer"),
    [
        ("sac", "--policy-lr 3e-4", "one rate here: --learning-rate"),
        ("sac", "--train-freq 4", "--replay-ratio 0.25"),
        ("dqn", "--train-frequency 4", "--replay-ratio 0.25"),
        ("sac", "--gradient-steps 8", "--replay-ratio 8"),
        ("dqn", "--tau 1.0", "--target-every"),
        ("dqn", "--target-network-frequency 1000", "counts environment steps there; --target-every counts gradient"),
        ("dqn", "--exploration-fraction 0.1", "--exploration-steps"),
        ("sac", "--polyak 0.995", "--target-rate 0.005"),
        ("sac", "--alpha 0.2", "--initial-temperature"),
        ("sac", "--cuda True", "--device cuda"),
        ("sac", "--no-cuda", "--device"),
        ("sac", "--capture-video", "--video films"),
        ("vision", "--weight-decay 5e-4", "--regularize weight-decay:strength=5e-4"),
        ("vision", "--gamma 0.9", "a flag of train_sac.py and train_dqn.py"),
        ("sac", "--epochs 10", "a flag of train_vision.py"),
        ("language", "--grad-clip 0.0", "--largest-norm None"),
        ("language", "--n-layer 6", "--network"),
        ("sac", "-seed 3", "did you mean --seed"),
        ("sac", "--totl-timesteps 3", "did you mean --steps?"),
        ("sac", "--replay-ration 2", "did you mean --replay-ratio"),
        ("sac", "--env Breakout", "use train_dqn.py --env Breakout"),
        ("sac", "--env ALE/Breakout-v5", "use train_dqn.py --env Breakout"),
        ("sac", "--env BreakoutNoFrameskip-v4", "use train_dqn.py --env Breakout"),
        ("sac", "--env minatar/breakout-v1", "use train_dqn.py --env MinAtar/Breakout-v1"),
        ("sac", "--env CIFAR10", "use train_vision.py --data cifar10"),
        ("dqn", "--env H1-Walk", "use train_sac.py --env h1-walk"),
        ("dqn", "--env HalfCheetah-v5", "use train_sac.py"),
        ("language", "--data cifar10", "use train_vision.py --data cifar10"),
        ("vision", "--data wikitext-openwebtext", "use train_language.py"),
        ("vision", "--env h1-walk", "use train_sac.py --env h1-walk"),
        ("sac", "--steps 1.5", "a whole number"),
        ("sac", "--steps 1e9999999999", "a whole number"),
        ("sac", "--steps 5x", "a whole number"),
    ],
)
def test_names_without_a_single_counterpart_are_refused_in_one_line(agent: str, line: str, answer: str):
    with pytest.raises(ValueError) as caught:
        given(agent, line)
    assert answer in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e6", "1000000"), ("500k", "500000"), ("2M", "2000000"), ("1.5M", "1500000"), ("1_000_000", "1000000"),
        ("2.5e3", "2500"), ("1K", "1000"), ("1b", "1000000000"), ("-1e3", "-1000"), ("7", "7"),
        ("1.5", "1.5"), ("1e-3", "1e-3"), ("1e999", "1e999"), ("k", "k"), ("1,000", "1,000"), ("nan", "nan"), ("", ""),
        ("0x10", "0x10"), ("1e5k", "100000000"),
    ],
)  # fmt: skip
def test_whole_numbers_may_have_the_usual_spellings(text: str, number: str):
    assert whole_number(text) == number


def test_names_in_any_case_are_accepted():
    assert environment("HALFCHEETAH-V5") == "HalfCheetah-v5"
    assert environment("my_package:H1-Walk") == "my_package:H1-Walk", "a user's own module is left as it is"
    published = command_of("sac").published
    assert method("FIRE:Solver=Exact,scope=ENCODER", published) == "fire:solver=exact,scope=encoder"
    assert method("Shrink_Perturb", published) == method("S&P", published) == "shrink-perturb"
    assert method("FIRE+L2-Init@every=2k,when=Dormant>0.3", published) == "fire+l2-init@every=2000,when=dormant>0.3"
    assert method("My_Module:MyMethod:x=A", published) == "My_Module:MyMethod:x=A"
    assert trigger("critic.Dormant/encoder.Layer>0.3") == "critic.dormant/encoder.Layer>0.3"


def test_values_are_kept_in_their_canonical_spelling():
    line = "--reinit FIRE --env H1-Walk --device CPU --precision TF32 --video yes --gamma none --preset QUICK"
    request = read_command_line(line.split(), LEARNERS["sac"])
    plain = "--reinit fire --env h1-walk --device cpu --precision tf32 --video True --gamma None --preset quick"
    assert request.config == read_command_line(plain.split(), LEARNERS["sac"]).config


def test_comparisons_take_the_same_names():
    line = "--algo SAC --env-id H1-Walk --methods None FIRE --total-timesteps 1e5 --utd 1 2 --n-jobs 2 --dry-run"
    options, passed = read_options(line.split())
    assert (options.agent, options.env, options.reinit) == ("sac", ("h1-walk",), ("none", "fire"))
    assert options.jobs == 2
    grid = make_grid(options, passed)
    assert [(axis.flag, axis.values) for axis in grid.axes] == [("--replay-ratio", ("1", "2"))]
    assert dict(grid.flags) == {"--steps": ("100000",)}
    with pytest.raises(ValueError, match="--seeds 0-4"):
        read_options(["--num-seeds", "5"])
    with pytest.raises(ValueError, match=r"--replay-ratio 0\.25"):
        read_options(["--agent", "dqn", "--train-freq", "4"])


def test_the_table_has_only_existing_flags_and_hides_none():
    hints = {agent: command_of(agent).hints for agent in LEARNERS} | {"compare": flags_of(Options)}
    for same in SAME:
        for command in {*same.commands} & {*hints}:
            assert same.ours in {**hints[command], "--threads": int}, (same.ours, command)
    for command, known in hints.items():
        names = [name for each in SAME if command in each.commands for name in each.names.split()]
        assert len(names) == len({*names}), [name for name in names if names.count(name) > 1]
        ours = {"--env", "--data"}  # the two names mean the same
        assert not ({*names} & {*known}) - ours, command
    answered = [(name, other.answer) for other in OTHERS for name in other.names.split()]
    for name, answer in answered:
        assert name.startswith("-")
        for value in ("", "x", "0", "1", "1e400", "9" * 5_000):
            assert "\n" not in (answer if isinstance(answer, str) else answer(value))
