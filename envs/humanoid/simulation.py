"""Any number of robots in one task, each in its own episode: the common part of the single and the vector environment.

A simulation never resets a robot by itself; its owner decides which robots begin a new episode. `get_state` returns its
state as plain arrays.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..seeding import generator_from_words, generator_words
from ..state_checks import MOST, State, like, require_count, require_finite
from .physics import LARGEST, Array, Physics
from .task import EPISODE_STEPS, START_NOISE, Parts, Task

# Constants are arrays without dimensions: see `tolerances`.
ONE = np.array(1, dtype=np.float32)
ONE_STEP, LAST_STEP = np.array(1), np.array(EPISODE_STEPS)

EVERYONE = slice(None)


class Outcome(NamedTuple):
    """The results of one decision, one entry per robot; rewards are summed over the repeated steps, `parts` belong to
    the last step."""

    rewards: Array
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    parts: Parts


class Simulation:
    """`len(generators)` robots; each draws its initial states from its own random generator."""

    def __init__(self, task: Task, generators: list[np.random.Generator], action_repeat: int, threads: int) -> None:
        self.task = task
        self.generators = generators
        self.action_repeat = action_repeat
        model = task.compile()
        self.physics = Physics(
            model, len(generators), threads, {name: kept.shape for name, kept in task.memory.items()}
        )
        self.elapsed = np.zeros(len(generators), dtype=np.int64)
        self._start = model.key_qpos[0].copy()
        low, high = model.actuator_ctrlrange.T.astype(np.float32)
        self._low, self._half_span = low, (high - low) / 2
        self._action_shape = (len(generators), model.nu)
        self._everyone = np.arange(len(generators))
        for row in range(len(generators)):
            self._place(row, self._start)
            self.physics.settle(row)

    def reset(self, row: int) -> None:
        """Begin a new episode: the keyframe with noise on every position, at rest, then the task's own changes."""
        generator = self.generators[row]
        self._place(row, self._start + generator.uniform(-START_NOISE, START_NOISE, size=len(self._start)))
        self.task.place(self.physics, row, generator)
        self.physics.settle(row)

    def _place(self, row: int, qpos: Array) -> None:
        self.physics.time[row] = 0
        self.physics.qpos[row] = qpos
        self.physics.qvel[row] = 0
        for kept in self.physics.memory.values():
            kept[row] = 0
        self.elapsed[row] = 0

    def step(self, actions: ArrayLike) -> Outcome:
        """Take one action in [-1, 1] per robot, `action_repeat` times or until the robot's episode is over."""
        controls = self._controls(actions)
        outcome = self._advance(controls, self._everyone)
        for _ in range(self.action_repeat - 1):
            running = np.flatnonzero(~(outcome.terminated | outcome.truncated))
            if not len(running):
                break
            before, outcome = outcome.rewards, self._advance(controls, running)
            # Robots whose episode is over are not stepped. `_advance` evaluates them again from unchanged states, so
            # everything but their reward may be taken from the new outcome.
            before[running] += outcome.rewards[running]
            outcome = outcome._replace(rewards=before)
        return outcome

    def _controls(self, actions: ArrayLike) -> NDArray[np.float32]:
        # In float32, as in the original: with float64 a step would differ from the original's by up to 3e-5.
        actions = np.asarray(actions, dtype=np.float32)
        if actions.shape != self._action_shape:
            raise ValueError(f"the actions have shape {actions.shape}, {self._action_shape} is needed")
        controls = (actions + ONE) * self._half_span + self._low
        # The first test is fast, but may fail by overflow; the second one is exact.
        if not math.isfinite(np.vdot(controls, controls)) and not np.isfinite(controls).all():
            raise ValueError("an action holds NaN or infinity; allowed are numbers from -1 to 1")
        return controls

    def _advance(self, controls: NDArray[np.float32], running: NDArray[np.int64]) -> Outcome:
        if len(running) == self.physics.count:
            self.physics.step(controls)
            self.elapsed += ONE_STEP
            self.task.keep(self.physics, EVERYONE)
        else:
            self.physics.step_some(controls, running)
            self.elapsed[running] += ONE_STEP
            self.task.keep(self.physics, running)
        return self.judge()

    def judge(self) -> Outcome:
        """Return the rewards of the last step, and which robots' episodes are over."""
        rewards, parts = self.task.reward(self.physics)
        return Outcome(rewards, self.task.terminated(self.physics), self.elapsed >= LAST_STEP, parts)

    def observations(self) -> Array:
        """Return the observations of all robots as a new array."""
        return self.task.observe(self.physics)

    def get_state(self) -> State:
        """Return everything that determines the observation and what follows, as arrays with a row per robot."""
        return {name: values.copy() for name, values in self._arrays().items()} | {
            "random_generator": np.stack([generator_words(generator) for generator in self.generators])
        }

    def set_state(self, given: Mapping[str, ArrayLike]) -> None:
        """Restore a state of `get_state`. If only positions and velocities are given, the rest stays as it is."""
        wanted = self._checked(given)
        if "random_generator" in wanted:
            self.generators[:] = [generator_from_words(words) for words in wanted.pop("random_generator")]
        readings = wanted.pop("readings", None)
        arrays = self._arrays()
        for name, values in wanted.items():
            arrays[name][:] = values
        for row in range(len(self.generators)):
            self.physics.settle(row)
        if readings is not None:  # after a step, the readings are one physics step older than the positions
            self.physics.last_readings[:] = readings

    def _checked(self, given: Mapping[str, ArrayLike]) -> State:
        """Return the given parts of a state as arrays; raise ValueError, before any change is made, if one is wrong."""
        present = self.get_state()
        if unknown := sorted(given.keys() - present.keys()):
            raise ValueError(f"{unknown[0][:80]!r} is not part of the state; its parts are {', '.join(present)}")
        if missing := sorted({"qpos", "qvel"} - given.keys()):
            raise ValueError(f"a state holds {', '.join(present)}; {missing[0]!r} is missing")
        wanted = {name: like(name, value, present[name]) for name, value in given.items()}
        counts = {"elapsed_steps": MOST} | {
            name: kept.highest for name, kept in self.task.memory.items() if kept.highest is not None
        }
        for name, values in wanted.items():
            require_finite(name, values)
            if name in ("qpos", "qvel") and (largest := np.abs(values).max()) > LARGEST:
                raise ValueError(f"{name} holds a number of size {largest:g}; allowed is up to {LARGEST:g}")
            if name in counts:
                require_count(name, values, counts[name])
        for words in wanted.get("random_generator", ()):
            generator_from_words(words)
        return wanted

    def _arrays(self) -> State:
        physics = self.physics
        return {
            "time": physics.time,
            "qpos": physics.qpos,
            "qvel": physics.qvel,
            "readings": physics.last_readings,
            "elapsed_steps": self.elapsed,
            **physics.memory,
        }


def named(positions_and_velocities: Sequence[ArrayLike], state: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
    """Return a state by name; positions and velocities may be given without names, as in `MujocoEnv.set_state`."""
    if len(positions_and_velocities) > 2:
        raise ValueError(f"{len(positions_and_velocities)} arrays without names are given; allowed are qpos and qvel")
    return {**dict(zip(("qpos", "qvel"), positions_and_velocities, strict=False)), **state}
