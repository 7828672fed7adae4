"""Seeds for several environments from one, and random generators as plain arrays."""

from __future__ import annotations

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

WORD = 2**64


def spawn_seeds(seed: int, count: int) -> list[int]:
    """`count` independent seeds from one; never seed + i, which would give neighbouring runs shared environments."""
    return [int(child.generate_state(1, np.uint64)[0] >> 1) for child in np.random.SeedSequence(seed).spawn(count)]


def new_generator(seed: int | None) -> np.random.Generator:
    """The generator that Gymnasium makes of a seed; from the operating system's entropy without one."""
    return seeding.np_random(seed)[0]


def generator_words(generator: np.random.Generator) -> NDArray[np.uint64]:
    """A PCG64 generator's whole state as six unsigned words."""
    state = generator.bit_generator.state
    position, increment = state["state"]["state"], state["state"]["inc"]
    words = (*divmod(position, WORD), *divmod(increment, WORD), state["has_uint32"], state["uinteger"])
    return np.array(words, dtype=np.uint64)


def generator_from_words(words: NDArray[np.uint64]) -> np.random.Generator:
    """The inverse of `generator_words`."""
    position_high, position_low, increment_high, increment_low, has_uint32, uinteger = (int(word) for word in words)
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": position_high * WORD + position_low, "inc": increment_high * WORD + increment_low},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
    return np.random.Generator(bits)
