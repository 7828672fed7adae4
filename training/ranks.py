"""How many examples the rank of a network's features is measured on: no rank is higher than their number."""

from collections.abc import Mapping, Sequence

import torch

from fire_rl.fire import Network
from fire_rl.fire.measures import feature_width

EXAMPLES_A_FEATURE = 4  # on fewer the rank is too low: a new SAC critic's, of 512, is 244 on 256, 490 on 2,048
MOST_EXAMPLES = 16_384  # whatever the width: what memory holds
TRAINED_AN_EXAMPLE = 60  # so many are trained on from one measurement to the next for each of these, on a CPU


def wanted_examples(networks: Sequence[Network]) -> dict[str, int]:
    """By network, as many as measure the rank well."""
    widths = {network.name: feature_width(network) for network in networks}
    return {name: min(EXAMPLES_A_FEATURE * width, MOST_EXAMPLES) for name, width in widths.items() if width}


def affordable(wanted: Mapping[str, int], batch_size: int, measure_every: int, device: torch.device) -> dict[str, int]:
    """Those that keep a measurement below 1% of the time, by `python -m benchmarks.measures`."""
    trained = batch_size * measure_every
    cheap = device.type != "cpu"
    return {name: count for name, count in wanted.items() if cheap or count * TRAINED_AN_EXAMPLE <= trained}


def notes_on_ranks(wanted: Mapping[str, int], taken: Mapping[str, int], few: int, batch_size: int) -> list[str]:
    """Which ranks are of the few examples that other measures are of, and so too low."""
    notes = []
    for name, count in wanted.items():
        if name not in taken and count > few:
            every = -(-count * TRAINED_AN_EXAMPLE // batch_size)
            notes.append(
                f"{name}/effective_rank is of {few} examples, and so at most {few}, for "
                f"{count // EXAMPLES_A_FEATURE:,} features: more would take over 1% of the time; "
                f"--measure-every {every:,} takes {count:,}"
            )
    return notes
