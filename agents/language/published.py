"""What the language experiments of FIRE (arXiv 2602.08040) do where phase 2 begins: presets for `parse_method`.

Four methods were published there; the others have their defaults. FIRE takes five steps on every linear layer: query,
key and value each by itself, and the output layer, though it is the token embedding too, the rows that no token has
included. The position embedding stays. A new optimizer at each phase is part of the task, for `none` as well.

The share of the old weights that shrink-and-perturb keeps was tuned for each point of phase 1 where phase 2 begins.
"""

from collections.abc import Mapping

from fire_rl.fire.methods import Fire, Method, NoMethod, Reset, ShrinkPerturb
from fire_rl.fire.nearest import nearest

STEPS = 5
KEPT: Mapping[str, float] = {  # by the weights that phase 2 begins with
    "best": 0.5,  # those of the least validation loss of phase 1
    "30k": 0.2,  # those after 30,000 updates of phase 1
    "60k": 0.5,
}


def published(start: str = "best") -> Mapping[str, Method]:
    """Every published method by its name; `start` is the point of phase 1 where phase 2 begins."""
    if start not in KEPT:
        raise ValueError(
            f"start {start!r} given; allowed are {', '.join(KEPT)}; nearest is {nearest(start, list(KEPT))}"
        )
    return {
        "none": NoMethod(),
        "reset": Reset(scope="all", optimizer="renew"),
        "shrink-perturb": ShrinkPerturb(keep=KEPT[start], scope="all", optimizer="renew"),
        "fire": Fire(solver="newton-schulz", steps=STEPS, tied="project", scope="all", optimizer="renew"),
    }
