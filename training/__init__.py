"""One run of any learner: settings, training loop, evaluation, log, checkpoints."""

from typing import TYPE_CHECKING, Any

from .policy import Policy, load_policy

if TYPE_CHECKING:
    from .call import run
    from .result import Result

__all__ = ["Policy", "Result", "load_policy", "run"]


def __getattr__(name: str) -> Any:
    """Import `run` and `Result` at their first use, because they import everything that a run needs."""
    if name == "run":
        from .call import run

        return run
    if name == "Result":
        from .result import Result

        return Result
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
