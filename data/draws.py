"""Random numbers are drawn on the host, so that every device gets the same ones."""

import numpy as np

# The purposes of random numbers; each has random generators of its own.
SPLIT, NOISE, HELD_OUT, SUBSET, ORDER, MOVES, WINDOWS, VALIDATION, LOOKED_AT = range(9)


def generator(seed: int, *place: int) -> np.random.Generator:
    """Return the random generator of a seed for one purpose and place, such as (ORDER, phase, epoch).

    Generators of different places are independent.
    """
    if seed < 0:
        raise ValueError(f"seed {seed} given; allowed is 0 or more")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))
