"""Derive seeds for several environments from one, and save random generators as plain arrays."""

from collections.abc import Sequence

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

WORD = 2**64
TWISTER_WORDS = 624  # the length of a Mersenne twister's key


def spawn_seeds(seed: int, count: int) -> list[int]:
    """Return `count` independent seeds; not seed + i, because runs of neighbouring seeds would share environments."""
    return [int(child.generate_state(1, np.uint64)[0] >> 1) for child in np.random.SeedSequence(seed).spawn(count)]


def checked_seed(seed: int | None) -> int | None:
    """Return the seed as a Python integer, also if it is NumPy's; raise ValueError if it is not allowed."""
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise ValueError(f"seed is {seed}; allowed are None and whole numbers from 0 on")
    return None if seed is None else int(seed)


def seeds_for_each(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    """Return a seed for each of `count` environments: derived from a single seed, or taken from a list of them.

    None stands for no seed. Raise ValueError if the list has another length, or if a seed is not allowed.
    """
    if not isinstance(seed, (Sequence, np.ndarray)):
        one = checked_seed(seed)
        return [None] * count if one is None else [*spawn_seeds(one, count)]
    if len(seed) != count:
        raise ValueError(f"{len(seed)} seeds are given; {count} are needed, one for each environment")
    return [checked_seed(one) for one in seed]


def new_generator(seed: int | None) -> np.random.Generator:
    """Return the generator that Gymnasium makes of a seed; without one, from the operating system's entropy."""
    return seeding.np_random(seed)[0]


def generator_words(generator: np.random.Generator) -> NDArray[np.uint64]:
    """Return a PCG64 generator's whole state as six unsigned words."""
    state = generator.bit_generator.state
    position, increment = state["state"]["state"], state["state"]["inc"]
    words = (*divmod(position, WORD), *divmod(increment, WORD), state["has_uint32"], state["uinteger"])
    return np.array(words, dtype=np.uint64)


def generator_from_words(words: NDArray[np.uint64]) -> np.random.Generator:
    """Invert `generator_words`; raise ValueError for words that no generator has: some would only ever give zeros."""
    position_high, position_low, increment_high, increment_low, has_uint32, uinteger = (int(word) for word in words)
    if increment_low % 2 == 0 or has_uint32 > 1 or uinteger >= 2**32:
        raise ValueError("the words of a random generator are not the state of a PCG64")
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": position_high * WORD + position_low, "inc": increment_high * WORD + increment_low},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
    return np.random.Generator(bits)


def seed_legacy_generator(generator: np.random.RandomState, seed: int | None) -> None:
    """Seed the generator as `RandomState(seed)` does, a seed above 32 bits as two words; without a seed, from the
    operating system's entropy."""
    generator.seed(seed if seed is None or seed < 2**32 else [seed % 2**32, seed // 2**32])


def legacy_generator_words(generator: np.random.RandomState) -> NDArray[np.uint64]:
    """Return a Mersenne twister's whole state, including the stored second number of a pair of normal numbers."""
    _, key, position, has_normal, normal = generator.get_state()
    words = np.empty(len(key) + 3, dtype=np.uint64)
    words[:-3], words[-3:-1], words[-1:] = key, (position, has_normal), np.array([normal]).view(np.uint64)
    return words


def restore_legacy_generator(generator: np.random.RandomState, words: NDArray[np.uint64]) -> None:
    """Restore the state that `legacy_generator_words` returned; raise ValueError for words that no generator has.

    With an invalid position, NumPy would read past the end of the key; with a key of zeros, drawing a normal number
    would never end.
    """
    position, has_normal, normal = int(words[-3]), int(words[-2]), float(words[-1:].view(np.float64)[0])
    key = words[:-3]
    empty = not (int(key[0]) >> 31 or key[1:].any())  # the generator uses only the highest bit of the first word
    if position > TWISTER_WORDS or has_normal > 1 or not np.isfinite(normal) or (key >= 2**32).any() or empty:
        raise ValueError("the words of a random generator are not the state of a Mersenne twister")
    generator.set_state(("MT19937", words[:-3].astype(np.uint32), position, has_normal, normal))
