"""Random numbers, drawn on the host, so that every device gets the same ones."""

import numpy as np

# What is drawn; each has streams of its own.
SPLIT, NOISE, HELD_OUT, SUBSET, ORDER, MOVES, WINDOWS, VALIDATION, LOOKED_AT = range(9)


def generator(seed: int, *place: int) -> np.random.Generator:
    """The stream of a seed for one purpose and place, such as (ORDER, phase, epoch); no two of them are alike."""
    if seed < 0:
        raise ValueError(f"seed {seed} given; allowed is 0 or more")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))
