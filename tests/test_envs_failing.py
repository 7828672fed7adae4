"""A user's own environments that fail when they are made: one line says what was raised, and where."""

import itertools
from pathlib import Path

import pytest

from fire_rl import envs

BEGINNING = """
import sys
import gymnasium as gym
import numpy as np

class Task(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Box(-1, 1, (1,))
    def __init__(self, render_mode=None):
        {init}
    def reset(self, seed=None, options=None):
        {reset}
    def step(self, action):
        {step}

{end}
"""
WELL = "return np.zeros(2, dtype=np.float32), {}"
STEPS = "return np.zeros(2, dtype=np.float32), 0.0, False, False, {}"
NUMBERS = itertools.count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module with such an environment. Return its name, which no other module has."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(init: str = "pass", reset: str = WELL, step: str = STEPS, end: str = "") -> str:
        name = f"failing_{next(NUMBERS)}"
        end = end or f"gym.register('Failing{name}-v0', entry_point='{name}:Task')"
        Path(tmp_path / f"{name}.py").write_text(BEGINNING.format(init=init, reset=reset, step=step, end=end))
        return name

    return write


def complaints(module: str) -> set[str]:
    """Return the messages for one environment and for a vector."""
    found = set()
    for make in (lambda name: envs.make(name), lambda name: envs.make_vec(name, 2)):
        with pytest.raises(ValueError) as error:
            make(f"{module}:Failing{module}-v0")
        found.add(str(error.value))
    return found


@pytest.mark.parametrize(
    ("parts", "complaint", "line"),
    [
        ({"init": "raise RuntimeError('no\\n simulator')"}, "cannot be made here: RuntimeError: no simulator", 10),
        ({"init": "int('seven')"}, "cannot be made here: ValueError: invalid literal for int() with base 10:", 10),
        ({"init": "sys.exit('not here')"}, "cannot be made here: SystemExit: not here", 10),
        ({"init": "raise OSError"}, "cannot be made here: OSError: no message", 10),
        ({"init": "self.__init__()"}, "cannot be made here: RecursionError: maximum recursion depth exceeded", 10),
        ({"reset": "return {}['start']"}, "cannot be reset: KeyError: 'start'", 12),
        ({"reset": "return np.zeros((2, 3)) @ np.zeros(2)"}, "cannot be reset: ValueError: matmul", 12),
        ({"step": "return {}['next']"}, "cannot be stepped: KeyError: 'next'", 14),
        ({"step": "sys.exit('no more')"}, "cannot be stepped: SystemExit: no more", 14),
        ({"end": "raise TypeError('of the module')"}, "cannot be made here: TypeError: of the module", 16),
        ({"end": "x = = 1"}, "cannot be made here: SyntaxError: invalid syntax", 16),
    ],
)  # fmt: skip
def test_an_environment_that_fails_when_it_is_made_says_where(module, tmp_path, parts, complaint, line):
    name = module(**parts)
    (said,) = complaints(name)
    assert said.startswith(f"environment '{name}:Failing{name}-v0' {complaint}")
    assert f"{tmp_path / name}.py:{line})" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"reset": "return None"}, "cannot unpack non-iterable NoneType object; reset() has to return two things"),
        ({"reset": "return np.zeros(99), {}"}, "returns an observation of shape (99,), and its observation_space has"),
        ({"step": "return np.zeros(2, dtype=np.float32), 0.0, False, {}"},
         "cannot be stepped: ValueError: not enough values to unpack (expected 5, got 4)"),
        ({"step": "return np.zeros(2, dtype=np.float32), 0.0, False, {}"},
         "; step() has to return five things: observation, reward, terminated, truncated, info"),
        ({"step": "return None"}, "; step() has to return five things: observation, reward, terminated"),
        ({"step": "return np.zeros(3, dtype=np.float32), 0.0, False, False, {}"},
         "its step() returns an observation of shape (3,), and its observation_space has shape (2,)"),
        ({"step": "return np.zeros(2, dtype=np.float32), np.zeros(1), False, False, {}"},
         "cannot be used: its step() returns the reward array([0.]); allowed is one number"),
        ({"step": "return np.zeros(2, dtype=np.float32), None, False, False, {}"},
         "cannot be used: its step() returns the reward None; allowed is one number"),
        ({"step": "return np.zeros(2, dtype=np.float32), 0.0, False, False, {'final_obs': 1}"},
         "cannot be used: the info of its step() has an entry 'final_obs', which Gymnasium's vectors use"),
        ({"reset": "return np.zeros(2, dtype=np.float32), {'final_info': {}}"},
         "cannot be used: the info of its reset() has an entry 'final_info', which Gymnasium's vectors use"),
        ({"init": "self.observation_space = None"}, "cannot be made here: TypeError: "),
        ({"end": "gym.register('Failing' + __name__ + '-v0', entry_point=__name__ + ':Nothing')"},
         "cannot be made here: AttributeError: "),
        ({"end": "gym.register('Failing' + __name__ + '-v0', entry_point=lambda render_mode=None: 7)"},
         "cannot be made here: TypeError: The environment must inherit from the gymnasium.Env class"),
        ({"end": "import a_module_of_nobody"}, "needs the Python module 'a_module_of_nobody', which is missing"),
    ],
)  # fmt: skip
def test_gymnasiums_errors_are_reported_in_one_line_too(module, parts, complaint):
    (said,) = complaints(module(**parts))
    assert complaint in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "parts",
    [
        {"init": "self.action_space = gym.spaces.Discrete(9)",
         "reset": "return np.zeros(2, dtype=np.float32), {'action_mask': np.eye(9, dtype=np.int8)[4]}",
         "step": "assert action == 4; " + STEPS},
        {"init": "self.action_space = gym.spaces.Discrete(2); self.action_space.owner = (none for none in ())",
         "step": "raise ValueError('not in the trial')"},
    ],
)  # fmt: skip
def test_the_trial_step_is_a_legal_one_or_none(module, parts):
    name = module(**parts)
    envs.make(f"{name}:Failing{name}-v0")


def test_an_environment_that_works_is_made_and_its_trial_leaves_no_trace(module, capfd):
    counting = "type(self).count = getattr(self, 'count', 0) + 1; self.own = getattr(self, 'own', 0) + 1; " + WELL
    name = module(reset=counting, step="assert self.own; self.action_space.sample(); " + STEPS)
    vector = envs.make_vec(f"{name}:Failing{name}-v0", 2)
    assert [getattr(env.unwrapped, "own", 0) for env in vector.unwrapped.envs] == [0, 0]  # type: ignore[attr-defined]
    envs.make(f"{name}:Failing{name}-v0")
    assert vector.unwrapped.envs[0].unwrapped.count == 1, "one trial for all"  # type: ignore[attr-defined]
    assert capfd.readouterr().out == ""
