"""Any number of robots in one task, each in its own episode: what the single and the vector environment share.

Knows no automatic reset: whoever holds a world says which robots begin again. Saved as plain arrays, see `get_state`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..randomness import generator_from_words, generator_words
from .physics import Array, Physics
from .task import EPISODE_STEPS, START_NOISE, Parts, Task

State = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Outcome:
    """What one decision led to, one entry per robot; rewards are summed over repeats, parts are the last step's."""

    rewards: Array
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    parts: Parts


class World:
    """`len(generators)` robots, each drawing its starts from its own generator."""

    def __init__(self, task: Task, generators: list[np.random.Generator], action_repeat: int, threads: int) -> None:
        self.task = task
        self.generators = generators
        self.action_repeat = action_repeat
        model = task.compile()
        self.physics = Physics(model, len(generators), threads)
        self.elapsed = np.zeros(len(generators), dtype=np.int64)
        self._start = model.key_qpos[0].copy()
        low, high = model.actuator_ctrlrange.T.astype(np.float32)
        self._low, self._span = low, high - low
        for row in range(len(generators)):
            self._place(row, self._start)

    def reset(self, row: int) -> None:
        """Begins a new episode: the keyframe with noise on every position, at rest."""
        noise = self.generators[row].uniform(-START_NOISE, START_NOISE, size=len(self._start))
        self._place(row, self._start + noise)

    def _place(self, row: int, qpos: Array) -> None:
        self.physics.time[row] = 0
        self.physics.qpos[row] = qpos
        self.physics.qvel[row] = 0
        self.elapsed[row] = 0

    def step(self, actions: ArrayLike) -> Outcome:
        """Carries out one action in [-1, 1] per robot, `action_repeat` times or until its episode is over."""
        # In float32, as in the original: in float64 a step differs from it by up to 3e-5.
        controls = (np.asarray(actions, dtype=np.float32) + 1) / 2 * self._span + self._low
        if not np.isfinite(controls.sum()):
            raise ValueError("an action holds NaN or infinity; allowed are numbers from -1 to 1")
        self.physics.step(controls)
        self.elapsed += 1
        outcome = self._judge()
        for _ in range(self.action_repeat - 1):
            rows = np.flatnonzero(~(outcome.terminated | outcome.truncated))
            if not len(rows):
                break
            outcome = self._repeat(controls, rows, outcome)
        return outcome

    def _judge(self) -> Outcome:
        rewards, parts = self.task.reward(self.physics)
        return Outcome(rewards, self.task.terminated(self.physics), self.elapsed >= EPISODE_STEPS, parts)

    def _repeat(self, controls: NDArray[np.float32], rows: NDArray[np.int64], before: Outcome) -> Outcome:
        self.physics.step_some(controls, rows)
        self.elapsed[rows] += 1
        after = self._judge()
        rewards = before.rewards.copy()
        rewards[rows] += after.rewards[rows]
        # Robots at rest are judged again from unchanged numbers: the same termination, truncation and parts.
        return Outcome(rewards, after.terminated, after.truncated, after.parts)

    def observations(self) -> Array:
        """Positions, then velocities of every robot, a new array."""
        return self.physics.state.copy()

    def get_state(self) -> State:
        """Everything that decides the future, as plain arrays with one row per robot."""
        return {
            "time": self.physics.time.copy(),
            "qpos": self.physics.qpos.copy(),
            "qvel": self.physics.qvel.copy(),
            "elapsed_steps": self.elapsed.copy(),
            "random_generator": np.stack([generator_words(generator) for generator in self.generators]),
        }

    def set_state(
        self,
        qpos: ArrayLike,
        qvel: ArrayLike,
        time: ArrayLike | None = None,
        elapsed_steps: ArrayLike | None = None,
        random_generator: ArrayLike | None = None,
    ) -> None:
        """Puts every robot where `get_state` saw it; positions and velocities alone leave the rest as it is."""
        _assign("qpos", self.physics.qpos, qpos)
        _assign("qvel", self.physics.qvel, qvel)
        if time is not None:
            _assign("time", self.physics.time, time)
        if elapsed_steps is not None:
            _assign("elapsed_steps", self.elapsed, elapsed_steps)
        if random_generator is not None:
            words = np.asarray(random_generator, dtype=np.uint64)
            self.generators[:] = [generator_from_words(row) for row in words]


def _assign(name: str, target: NDArray[np.generic], value: ArrayLike) -> None:
    values = np.asarray(value)
    if values.shape != target.shape:
        raise ValueError(f"{name} has shape {values.shape}, this environment needs {target.shape}")
    target[...] = values
