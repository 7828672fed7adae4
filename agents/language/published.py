"""Presets for `parse_method`: what the language experiments of FIRE (arXiv 2602.08040) do at the start of phase 2.

Four methods were published there; the others have their defaults. FIRE takes five steps on every linear layer: query,
key and value separately, and also the output layer, although it is the token embedding, including its unused rows.
The position embedding is left unchanged. A new optimizer in each phase is part of the task, also for `none`.

The share of old weights that shrink-and-perturb keeps was tuned for each point of phase 1 at which phase 2 starts.
"""

from collections.abc import Mapping

from fire_rl.fire.methods import Fire, Method, NoMethod, Reset, ShrinkPerturb
from fire_rl.fire.nearest import choices

STEPS = 5
KEPT: Mapping[str, float] = {  # by the weights with which phase 2 starts
    "best": 0.5,  # those with the least validation loss in phase 1
    "30k": 0.2,  # those after 30,000 updates of phase 1
    "60k": 0.5,
}


def published(start: str = "best") -> Mapping[str, Method]:
    """Return every published method by its name; `start` is the point of phase 1 at which phase 2 starts."""
    if start not in KEPT:
        raise ValueError(f"start {start!r} given; allowed are {choices(start, KEPT)}")
    return {
        "none": NoMethod(),
        "reset": Reset(scope="all", optimizer="renew"),
        "shrink-perturb": ShrinkPerturb(keep=KEPT[start], scope="all", optimizer="renew"),
        "fire": Fire(solver="newton-schulz", steps=STEPS, tied="project", scope="all", optimizer="renew"),
    }
