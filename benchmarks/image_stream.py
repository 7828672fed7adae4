"""Times batches of images, with and without augmentation, and the reading of data sets.

    python -m benchmarks.image_stream [--threads 1] [--device cpu]

Images have CIFAR's size. A batch is compared, in turns, with two floors: gathering the same bytes, and gathering them
and writing them as float32; and with a plain implementation, which is a gather followed by three operations.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import torch
import tyro

from fire_rl.data import IMAGE_SETS, Images, PhasedImages, embedded, read_images, warm_start
from fire_rl.training.memory import keep_large_blocks

FACTS, COUNT = IMAGE_SETS["cifar10"], 50_000


@dataclass(frozen=True)
class Options:
    """The options; there are 50,000 random images, and the batch sizes are the published and the quick one."""

    batch_sizes: tuple[int, ...] = (128, 256)
    """Images of a batch."""
    threads: int = 1
    """CPU threads."""
    device: str = "cpu"
    """cpu or cuda."""
    repetitions: int = 200
    """Timings of each thing that is compared."""
    data: tuple[str, ...] = (embedded(),)
    """Data sets whose reading is timed."""
    data_dir: Path | None = None
    """The folder of their files."""


def main(options: Options) -> None:
    """Print a line for each size and memory format of a batch, and one for each data set."""
    torch.set_num_threads(options.threads)
    keep_large_blocks()
    images = Images(torch.randint(0, 256, (COUNT, *FACTS.shape), dtype=torch.uint8), torch.arange(COUNT) % 10)
    for size, last in itertools.product(options.batch_sizes, (False, True)):
        compare(images, size, last, options)
    for name in options.data:
        start = time.perf_counter()
        read = read_images(name, options.data_dir)
        print(f"read in {time.perf_counter() - start:.1f} s: {read.source}")


def compare(images: Images, size: int, channels_last: bool, options: Options) -> None:
    """Print the microseconds of a batch beside its floors."""
    phases = warm_start(images.labels, FACTS.classes, share=0.1, first_epochs=1, epochs=100, seed=0)

    def stream_of(augment: str) -> PhasedImages:
        return PhasedImages(
            images, FACTS, phases, batch_size=size, seed=0, device=options.device, augment=augment,
            channels_last=channels_last,
        )  # fmt: skip

    plain, augmented = stream_of("none"), stream_of("flip-crop")
    rows = images.images.view(COUNT, -1).to(options.device)
    four = images.images.to(options.device)
    mean, std = (torch.tensor(values, device=options.device)[:, None, None] for values in (FACTS.mean, FACTS.std))
    first = plain.starts[1] + 1  # within an epoch; drawing the order of an epoch is timed separately
    chosen = [plain.examples_at(first + number) for number in range(64)]

    def by_hand(number: int) -> torch.Tensor:
        return (four.index_select(0, chosen[number]).float() / 255 - mean) / std

    figures = in_turns(
        {
            "batch": lambda number: plain.batch(first + number),
            "gather": lambda number: rows.index_select(0, chosen[number]),
            "gather, float32": lambda number: rows.index_select(0, chosen[number]).float(),
            "by hand": by_hand,
            "flip-crop": lambda number: augmented.batch(first + number),
        },
        options,
    )
    drawn = in_turns({"order": lambda number: plain._drawn(1, number)}, options)["order"]
    layout = "channels last" if channels_last else "contiguous"
    told = ", ".join(f"{name} {value:.0f}" for name, value in figures.items())
    print(
        f"batch of {size}, {layout}: {told} us; an epoch's order {drawn:.0f} us ({drawn / (COUNT / size):.1f} a batch)"
    )


def in_turns(calls: dict[str, Callable[[int], object]], options: Options) -> dict[str, float]:
    """Return the microseconds of each call: the first decile, on which other processes have little influence."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(options.repetitions + 3):
        for name, call in calls.items():
            start = time.perf_counter()
            call(number % 64)
            if options.device != "cpu":
                torch.cuda.synchronize()
            taken[name].append((time.perf_counter() - start) * 1e6)
    return {name: quantiles(times[3:], n=10)[0] for name, times in taken.items()}


if __name__ == "__main__":
    main(tyro.cli(Options))
