"""Old names, kept for one version. Each old name means exactly the same as its new name.

`Intervention` is now `Method`, `NoIntervention` is `NoMethod`, `INTERVENTIONS` is `METHODS`, `parse_intervention` is
`parse_method`, `describe_interventions` is `describe_methods`, and the module `interventions` is `methods`. As keyword
argument and as attribute, PlasticityManager's `intervention` is now `method`, Position's `environment_steps` is
`progress`, At's `environment_steps` is `points`, and NetworkReport's `figures` is `outcome`.
"""

from collections.abc import Callable
from functools import wraps
from operator import attrgetter
from typing import Any, TypeVar

from .methods import METHODS, Method, NoMethod
from .spelling import describe_methods, parse_method

INTERVENTIONS = METHODS
Intervention = Method
NoIntervention = NoMethod
describe_interventions = describe_methods
parse_intervention = parse_method

Kind = TypeVar("Kind")


def renamed(**names: str) -> Callable[[type[Kind]], type[Kind]]:
    """Return a class decorator that keeps the old names of arguments and attributes: `@renamed(old="new")`."""

    def decorate(kind: type[Kind]) -> type[Kind]:
        make: Callable[..., None] = kind.__init__

        @wraps(make)
        def make_by_old_names(self: Kind, *arguments: Any, **named: Any) -> None:
            make(self, *arguments, **{names.get(name, name): value for name, value in named.items()})

        kind.__init__ = make_by_old_names  # type: ignore[method-assign, assignment]
        for old, new in names.items():
            setattr(kind, old, property(attrgetter(new), doc=f"The old name of `{new}`."))
        return kind

    return decorate
