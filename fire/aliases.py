"""Old names, kept for one version. Each means exactly the same as the new name beside it.

`Intervention` is now `Method`, `NoIntervention` is `NoMethod`, `INTERVENTIONS` is `METHODS`, `parse_intervention` is
`parse_method`, `describe_interventions` is `describe_methods`, and `interventions` is `methods`. The old
keywords and attributes of four classes are below: the classes take them from here.
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
    """A decorator: the function also takes keyword arguments by their old names, `renamed(old="new")`."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> None:
            function(*arguments, **{names.get(name, name): value for name, value in named.items()})

        return call

    return decorate


class ManagerAliases:
    """`PlasticityManager(..., intervention=...)` and `.intervention`, which is `method` now."""

    method: Method

    @property
    def intervention(self) -> Method:
        return self.method


class PositionAliases:
    """`Position(updates, environment_steps=...)` and `.environment_steps`, which is `progress` now."""

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
        return self.progress


class AtAliases:
    """`At(environment_steps=...)` and `.environment_steps`, which is `points` now."""

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
        """The schedule's own check."""

    @property
    def environment_steps(self) -> tuple[int, ...]:
        return self.points


class ReportAliases:
    """`NetworkReport.figures`, which is `outcome` now."""

    outcome: Mapping[str, float]

    @property
    def figures(self) -> Mapping[str, float]:
        return self.outcome
