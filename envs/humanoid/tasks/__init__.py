"""The H1's tasks by name; one file per family."""

from __future__ import annotations

from ..task import Task
from . import balance, crawl, locomotion

TASKS: dict[str, Task] = {task.name: task for family in (locomotion, crawl, balance) for task in family.TASKS}
