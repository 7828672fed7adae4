"""Atari games are preprocessed as in other packages, bit by bit; their names, settings and scores."""

import importlib.util
import json
import zlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from fire_rl import envs
from fire_rl.envs import PUBLISHED_ATARI, AtariSettings, atari_names
from fire_rl.envs.atari_scores import RANDOM_AND_HUMAN

ale_py = pytest.importorskip("ale_py")
FIXTURES = Path(__file__).with_name("fixtures")
REFERENCE = json.loads((FIXTURES / "atari_reference.json").read_text())
KINDS = {"standard": AtariSettings(), "published": PUBLISHED_ATARI}

make: Any = envs.make


def played(env, actions):
    """Return observation, reward, ends and info of each decision. The beginning of an episode is a line of its own."""
    observation, info = env.reset()
    lines: list[Any] = [(observation, 0, False, False, info)]
    for action in actions:
        lines.append(env.step(action))
        if lines[-1][2] or lines[-1][3]:
            observation, info = env.reset()
            lines.append((observation, 0, False, False, info))
    return lines


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("game", ["Breakout", "Asterix", "BeamRider"])
def test_games_equal_gymnasiums_and_those_of_the_published_order_bit_by_bit(game, kind):
    """The latter are converted to gray before scaling, see the recording script. Later episodes are included."""
    recorded = REFERENCE[game][kind]
    env = make(game, seed=REFERENCE["seed"], atari=KINDS[kind])
    actions = np.random.default_rng(REFERENCE["seed"]).integers(0, env.action_space.n, REFERENCE["decisions"])
    lines = played(env, actions.tolist())
    assert {str(at): line[1] for at, line in enumerate(lines) if line[1]} == recorded["rewards"]
    assert [at for at, line in enumerate(lines) if line[2]] == recorded["terminated"]
    assert [at for at, line in enumerate(lines) if line[3]] == recorded["truncated"]
    lives = [line[4]["lives"] for line in lines]
    assert {str(at): n for at, n in enumerate(lives) if not at or n != lives[at - 1]} == recorded["lives"]
    assert "".join(f"{zlib.crc32(line[0].tobytes()):08x}" for line in lines) == recorded["stacks"]


@pytest.mark.parametrize("frame_skip", [3, 4])
def test_games_are_cut_off_where_ales_own_environments_are(frame_skip):
    env = make("Breakout", seed=0, atari=AtariSettings(frame_skip=frame_skip, episode_frames=40, sticky=0))
    gym.register_envs(ale_py)
    original = gym.make("ALE/Breakout-v5", frameskip=frame_skip, max_num_frames_per_episode=40)
    env.reset()
    original.reset(seed=0)
    ends = [(env.step(0)[2:4], original.step(0)[2:4]) for _ in range(env.spec.max_episode_steps)]
    assert all(one == other for one, other in ends)
    assert ends[-1][0] == (False, True)
    assert not any(any(one) for one, _ in ends[:-1])


def test_the_usual_limit_is_half_an_hour_also_in_the_published_choices():
    assert make("Breakout").spec.max_episode_steps == 27_000
    assert make("Breakout", atari=PUBLISHED_ATARI).spec.max_episode_steps == 27_000


def test_a_spec_makes_the_environment_again():
    settings = AtariSettings(frame_skip=5, sticky_per="decision", noop_max=3)
    spec = make("MsPacman", atari=settings).spec
    assert spec.id == "MsPacman"
    again: Any = gym.make(gym.envs.registration.EnvSpec.from_json(spec.to_json()))
    assert again.unwrapped.settings == settings
    assert again.metadata["render_fps"] == 12


def test_the_screen_is_the_consoles_own_and_drawing_changes_nothing():
    """Compare with ale-py's own emulator of the same seed, which takes the same steps."""
    console = ale_py.ALEInterface()
    console.setFloat("repeat_action_probability", 0.25)
    console.setInt("random_seed", 3)
    rom: Any = ale_py.roms.get_rom_path("asterix")
    console.loadROM(rom)
    console.reset_game()
    seen, unseen = (make("Asterix", seed=3, render_mode=mode) for mode in ("rgb_array", None))
    with pytest.raises(gym.error.ResetNeeded):
        seen.render()
    assert np.array_equal(seen.reset()[0], unseen.reset()[0])
    assert np.array_equal(seen.render(), console.getScreenRGB())
    assert unseen.render() is None
    assert seen.metadata["render_fps"] == 15
    for action in np.random.default_rng(0).integers(0, 9, 40).tolist():
        assert np.array_equal(seen.step(action)[0], unseen.step(action)[0])
        for _ in range(4):
            console.act(console.getMinimalActionSet()[action])
        assert np.array_equal(seen.render(), console.getScreenRGB())


def test_a_reset_in_the_middle_of_a_game_begins_another_one():
    env, runs = make("Breakout", seed=0), []
    for _ in range(2):
        env.reset()
        runs.append(np.array([env.step(action)[0] for action in np.tile([2, 3], 20)]))
    assert not np.array_equal(runs[0], runs[1])


@pytest.mark.parametrize("name", ["Breakout", "MsPacman", "UpNDown", "Qbert", "Tetris", "Hero"])
def test_games_are_found_by_ale_pys_names(name):
    assert envs.is_atari(name)
    assert name in envs.names()


def test_all_games_that_ale_py_registers_have_their_names():
    gym.register_envs(ale_py)
    registered = {name[4:-3] for name in gym.registry if name.startswith("ALE/")}
    assert set(atari_names.games()) == registered
    assert not any(name.startswith("ALE/") or "NoFrameskip" in name for name in envs.names()), "one name each"


@pytest.mark.parametrize("build", [make, lambda name: envs.make_vec(name, 2)])
@pytest.mark.parametrize(
    ("wrong", "right"),
    [("ALE/Breakout-v5", "'Breakout'"), ("BreakoutNoFrameskip-v4", "'Breakout'"),
     ("MsPacmanDeterministic-v0", "MsPacman"), ("Seaquest-v4", "Seaquest"), ("Pong-ram-v4", "Pong"),
     ("ALE/Brekout-v5", "Breakout"), ("ALE/Pong", "'Pong'"),
     ("Brakout", "Breakout"), ("breakout", "Breakout"), ("Mspacman", "MsPacman")],
)  # fmt: skip
def test_other_spellings_are_refused_in_one_line_with_the_right_name(build, wrong, right):
    with pytest.raises(ValueError, match=wrong) as error:
        build(wrong)
    assert right in str(error.value)
    assert "\n" not in str(error.value)


def test_gymnasiums_own_blackjack_is_not_taken_for_the_game_of_that_name():
    assert make("Blackjack-v1").spec.id == "Blackjack-v1"
    assert envs.is_atari("Blackjack")


def test_without_ale_py_a_game_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(atari_names, "find_spec", lambda name: None if name == "ale_py" else find(name))
    monkeypatch.setattr(atari_names, "games", atari_names.games.__wrapped__)
    assert "Breakout" in atari_names.games()
    with pytest.raises(ValueError, match=r"'Breakout' needs the module 'ale_py', which is missing: .*make setup"):
        make("Breakout")


@pytest.mark.parametrize("wrong", [{"action_repeat": 2}, {"render_mode": "human"}])
def test_options_that_atari_does_not_have_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make("Breakout", **wrong)


def test_an_action_repeat_is_refused_in_favour_of_the_frame_skip():
    with pytest.raises(ValueError, match=r"action_repeat is 2; Breakout .*--frame-skip"):
        envs.make_vec("Breakout", 2, action_repeat=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("frame_skip", 0), ("frame_skip", 1.5), ("screen_size", 0), ("stack", 0), ("first_stack", "black"),
     ("sticky", -0.1), ("sticky", 1), ("sticky", float("nan")), ("sticky_per", "second"), ("noop_max", -1),
     ("noop_max", 10**6), ("episode_frames", 0), ("stack", True)],
)  # fmt: skip
def test_wrong_settings_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} is .*allowed") as error:
        replace(AtariSettings(), **{name: value}).check()
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=name):
        make("Breakout", atari=replace(AtariSettings(), **{name: value}))


def test_the_default_is_todays_standard_and_the_published_choice_differs_in_one_field():
    assert AtariSettings() == AtariSettings(4, 84, 4, "repeat", 0.25, "frame", 0, False, False, False, 108_000)
    names = [field.name for field in fields(AtariSettings)]
    assert [name for name in names if getattr(PUBLISHED_ATARI, name) != getattr(AtariSettings(), name)] == [
        "sticky_per"
    ]


def test_scores_are_those_of_a_second_list():
    """Dopamine's list has 0 for a random policy in VideoPinball, and no human score of two games."""
    listed = json.loads((FIXTURES / "atari_scores.json").read_text())
    ours = {name.lower(): scores for name, scores in RANDOM_AND_HUMAN.items()}
    assert len(ours) == 57
    assert {name: scores[0] for name, scores in ours.items()} | {"videopinball": 0.0} == listed["random"]
    assert {name: scores[1] for name, scores in ours.items() if name not in ("defender", "surround")} == listed["human"]
    assert set(RANDOM_AND_HUMAN) <= set(atari_names.games())


def test_scores_are_normalised_between_a_random_policy_and_a_human():
    assert envs.references("Asterix") == (210.0, 8503.3)
    assert envs.normalised_score("Asterix", 8503.3) == 1
    assert envs.normalised_score("Skiing", -17098.1) == 0
    assert envs.normalised_score("Tetris", 10.0) is None
    assert envs.normalised_score("MinAtar/Breakout-v1", 10.0) is None
