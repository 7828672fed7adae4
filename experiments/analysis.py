"""From runs to results: what `experiments.results` describes, computed."""

from collections.abc import Sequence

from .records import Run
from .results import Options, Results


def analyse(runs: Sequence[Run], options: Options) -> Results:
    """Compare runs by agent and environment, and across environments where their scores are normalised."""
    raise NotImplementedError
