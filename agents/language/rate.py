"""The learning rate in a phase: a linear warm-up, then a cosine decay, as published.

The warm-up takes a tenth of the phase, but at most 2,000 updates. Then the rate decreases to a tenth of its maximum at
the end of the phase, as in the language experiments of FIRE (arXiv 2602.08040), after nanoGPT.
"""

import math


def share_of_rate(
    update_in_phase: int, phase_updates: int, warm_up: float = 0.1, longest_warm_up: int = 2_000, least: float = 0.1
) -> float:
    """Return the learning rate of an update, as a share of the maximum. The first update of a phase has the number 0.

    `warm_up` is a share of the phase's updates, and `least` the share of the maximum at the end of the phase.
    """
    rising = min(int(warm_up * phase_updates), longest_warm_up)
    if update_in_phase < rising:
        return (update_in_phase + 1) / (rising + 1)
    if update_in_phase >= phase_updates:
        return least
    fallen = (update_in_phase - rising) / (phase_updates - rising)
    return least + (1 - least) * (1 + math.cos(math.pi * fallen)) / 2
