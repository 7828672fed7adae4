"""The number of examples on which the rank of a network's features is measured; a rank is at most this number."""

from collections.abc import Mapping, Sequence

import torch

from fire_rl.fire import Network
from fire_rl.fire.measures import feature_width

# Examples per feature; with fewer the measured rank is too low. A new SAC critic with 512 features has a rank of 244 on
# 256 examples and of 490 on 2,048.
EXAMPLES_A_FEATURE = 4
MOST_EXAMPLES = 16_384  # the largest number of examples for any width, because of memory
# On a CPU, one example is measured for at least this many examples trained on between two measurements.
TRAINED_AN_EXAMPLE = 60


def wanted_examples(networks: Sequence[Network]) -> dict[str, int]:
    """Return for each network the number of examples with which its rank is measured well."""
    widths = {network.name: feature_width(network) for network in networks}
    return {name: min(EXAMPLES_A_FEATURE * width, MOST_EXAMPLES) for name, width in widths.items() if width}


def affordable(wanted: Mapping[str, int], batch_size: int, measure_every: int, device: torch.device) -> dict[str, int]:
    """Return the networks for which a measurement takes less than 1% of the time, with their numbers of examples.

    The limit was measured with `python -m benchmarks.measures`.
    """
    trained = batch_size * measure_every
    cheap = device.type != "cpu"
    return {name: count for name, count in wanted.items() if cheap or count * TRAINED_AN_EXAMPLE <= trained}


def notes_on_ranks(wanted: Mapping[str, int], taken: Mapping[str, int], few: int, batch_size: int) -> list[str]:
    """Return notes on ranks that are measured only on the few examples of the other measures, and so are too low."""
    notes = []
    for name, count in wanted.items():
        if name not in taken and count > few:
            every = -(-count * TRAINED_AN_EXAMPLE // batch_size)
            notes.append(
                f"{name}/effective_rank is measured on {few} examples, and so is at most {few}, for "
                f"{count // EXAMPLES_A_FEATURE:,} features: more examples would take over 1% of the time; "
                f"with --measure-every {every:,} it is measured on {count:,}"
            )
    return notes
