"""Old names, kept for one version. Each old name means exactly the same as its new name.

`Intervention` is now `Method`, `NoIntervention` is `NoMethod`, `INTERVENTIONS` is `METHODS`, `parse_intervention` is
`parse_method`, `describe_interventions` is `describe_methods`, and the module `interventions` is `methods`. Four
classes inherit their old keyword arguments and attributes from the classes below.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, overload

from .methods import METHODS, Method, NoMethod
from .spelling import describe_methods, parse_method

INTERVENTIONS = METHODS
Intervention = Method
NoIntervention = NoMethod
describe_interventions = describe_methods
parse_intervention = parse_method


def renamed(**names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that lets a function take keyword arguments by their old names: `renamed(old="new")`."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> None:
            function(*arguments, **{names.get(name, name): value for name, value in named.items()})

        return call

    return decorate


class ManagerAliases:
    """The old keyword and attribute `intervention` of PlasticityManager; the new name is `method`."""

    method: Method

    @property
    def intervention(self) -> Method:
        """The old name of `method`."""
        return self.method


class PositionAliases:
    """The old keyword and attribute `environment_steps` of Position; the new name is `progress`."""

    updates: int
    progress: int

    @overload
    def __init__(self, updates: int, progress: int) -> None: ...
    @overload
    def __init__(self, updates: int, *, environment_steps: int) -> None: ...
    @renamed(environment_steps="progress")
    def __init__(self, updates: int, progress: int) -> None:
        object.__setattr__(self, "updates", updates)
        object.__setattr__(self, "progress", progress)

    @property
    def environment_steps(self) -> int:
        """The old name of `progress`."""
        return self.progress


class AtAliases:
    """The old keyword and attribute `environment_steps` of At; the new name is `points`."""

    points: tuple[int, ...]

    @overload
    def __init__(self, points: tuple[int, ...]) -> None: ...
    @overload
    def __init__(self, *, environment_steps: tuple[int, ...]) -> None: ...
    @renamed(environment_steps="points")
    def __init__(self, points: tuple[int, ...]) -> None:
        object.__setattr__(self, "points", points)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check the points; the schedule overrides this."""

    @property
    def environment_steps(self) -> tuple[int, ...]:
        """The old name of `points`."""
        return self.points


class ReportAliases:
    """The old attribute `figures` of NetworkReport; the new name is `outcome`."""

    outcome: Mapping[str, float]

    @property
    def figures(self) -> Mapping[str, float]:
        """The old name of `outcome`."""
        return self.outcome
