"""HumanoidBench's tasks for the H1 robot, written for current MuJoCo."""

from .single import HumanoidEnv
from .task import EPISODE_STEPS, Task
from .tasks import TASKS
from .vector import HumanoidVectorEnv

__all__ = ["EPISODE_STEPS", "TASKS", "HumanoidEnv", "HumanoidVectorEnv", "Task"]
