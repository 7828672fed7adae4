"""Many robots of one scene, stepped together by MuJoCo's native threads, with their physical quantities by name.

The state of a robot is (time, qpos, qvel) and the numbers that its task stores for it. Nothing else affects later
steps, because the solver's warm start is set to zero at the beginning of every environment step. So a saved state
continues exactly, and the number of threads does not change the results.
"""

from collections.abc import Mapping

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from .robot import LINKS
from .scene import PHYSICS_STEPS

Array = NDArray[np.float64]

FULL_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS
# MuJoCo resets a robot with a larger position, velocity or acceleration. No step leads to such a position or velocity.
LARGEST = mujoco.mjMAXVAL


class Physics:
    """`count` robots: their states and sensor readings as arrays (count, ...), advanced together."""

    def __init__(
        self, model: mujoco.MjModel, count: int, threads: int, memory: Mapping[str, tuple[int, ...]] | None = None
    ) -> None:
        self.model = model
        self.count = count
        self.datas = [mujoco.MjData(model) for _ in range(threads)]
        self._rollout = Rollout(nthread=threads if threads > 1 else 0)  # 0: on the calling thread
        self._models = [model] * count
        self._states = np.zeros((count, mujoco.mj_stateSize(model, FULL_STATE)))
        if self._states.shape[1] != 1 + model.nq + model.nv:
            raise ValueError("this scene has more state than time, positions and velocities, and it would not be saved")
        self._controls = np.zeros((count, PHYSICS_STEPS, model.nu))
        self._trajectories = np.zeros((count, PHYSICS_STEPS, self._states.shape[1]))
        self._readings = np.zeros((count, PHYSICS_STEPS, model.nsensordata))
        self._warm_start = np.zeros((count, model.nv))
        self._addresses = {model.sensor(i).name: int(model.sensor_adr[i]) for i in range(model.nsensor)}
        self._first_force = self._addresses[f"{LINKS[0].name}_force"]  # the other motors follow in order

        self.time = self._states[:, 0]
        self.qpos = self._states[:, 1 : 1 + model.nq]
        self.qvel = self._states[:, 1 + model.nq :]
        self.state = self._states[:, 1:]  # positions, then velocities: the observation
        self.last_readings = self._readings[:, -1]
        # The numbers that the task stores for each robot, such as a goal, (count, ...); zero when an episode begins.
        self.memory = {name: np.zeros((count, *shape)) for name, shape in (memory or {}).items()}

    def step(self, controls: NDArray[np.float32]) -> None:
        """Advance every robot by one environment step (ten physics steps) with constant controls (count, nu)."""
        self._controls[:] = controls[:, None]
        self._advance(self._models, self._states, self._warm_start, self._controls, self._trajectories, self._readings)
        self._states[:] = self._trajectories[:, -1]

    def step_some(self, controls: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Do the same as `step` for the robots in `rows` only; `controls` has rows for all robots."""
        held = np.repeat(controls[rows, None].astype(np.float64), PHYSICS_STEPS, axis=1)
        trajectories, readings = self._trajectories[rows], self._readings[rows]
        self._advance(
            self._models[: len(rows)], self._states[rows], self._warm_start[rows], held, trajectories, readings
        )
        self._states[rows], self._readings[rows] = trajectories[:, -1], readings

    def _advance(self, models: list[mujoco.MjModel], states: Array, warm_start: Array, controls: Array,
                 trajectories: Array, readings: Array) -> None:  # fmt: skip
        self._rollout.rollout(
            models,
            self.datas,
            states,
            controls,
            nstep=PHYSICS_STEPS,
            initial_warmstart=warm_start,
            state=trajectories,
            sensordata=readings,
            skip_checks=True,  # the arrays were made here with the right shapes and types
        )

    def read_data(self) -> None:
        """Read the state of a single robot from its `MjData`, where a user may have changed it."""
        mujoco.mj_getState(self.model, self.datas[0], self._states[0], FULL_STATE)

    def data_differs(self) -> bool:
        """Whether the `MjData` of a single robot holds another state than the last one read from it."""
        state = np.empty_like(self._states[0])
        mujoco.mj_getState(self.model, self.datas[0], state, FULL_STATE)
        return not np.array_equal(state, self._states[0])

    def settle(self, row: int) -> None:
        """Compute a robot's sensor readings from its state, in the first `MjData` (the `data` of a single robot)."""
        data = self.datas[0]
        mujoco.mj_resetData(self.model, data)
        mujoco.mj_setState(self.model, data, self._states[row], FULL_STATE)
        mujoco.mj_forward(self.model, data)
        self.last_readings[row] = data.sensordata

    def close(self) -> None:
        """Stop the threads."""
        self._rollout.close()

    def address(self, sensor: str) -> int:
        """Return the column at which a declared sensor's readings begin."""
        return self._addresses[sensor]

    # Physical quantities at the last physics step: one number or vector per robot.

    def reading(self, sensor: str, width: int = 1) -> Array:
        """Return the readings of a declared sensor: (count,), or (count, width) if it reads a vector."""
        start = self.address(sensor)
        return self.last_readings[:, start] if width == 1 else self.last_readings[:, start : start + width]

    @property
    def head_height(self) -> Array:
        """Height of the head's site, metres."""
        return self.last_readings[:, self._addresses["head_position"] + 2]

    @property
    def torso_upright(self) -> Array:
        """Cosine of the angle between the torso's axis and the vertical."""
        return self.last_readings[:, self._addresses["torso_z_axis"] + 2]

    @property
    def center_of_mass_velocity(self) -> Array:
        """Velocity of the whole robot's centre of mass, m/s, (count, 3)."""
        return self.reading("center_of_mass_velocity", 3)

    @property
    def forward_velocity(self) -> Array:
        """Velocity of the whole robot's centre of mass along x, m/s."""
        return self.last_readings[:, self._addresses["center_of_mass_velocity"]]

    @property
    def actuator_forces(self) -> Array:
        """Torques of the motors, N m, (count, 19)."""
        return self.last_readings[:, self._first_force : self._first_force + self.model.nu]

    @property
    def pelvis_height(self) -> Array:
        """Height of the pelvis after the step, metres."""
        return self.qpos[:, 2]
