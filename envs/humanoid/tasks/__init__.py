"""The H1's fourteen tasks by name; one file per family."""

from ..task import Task
from . import balance, climb, crawl, locomotion, maze, obstacles, reach, sit

FAMILIES = (locomotion, reach, obstacles, crawl, maze, sit, balance, climb)
TASKS: dict[str, Task] = {task.name: task for family in FAMILIES for task in family.TASKS}
