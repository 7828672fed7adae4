"""Compares the updates of a network for images with the least time that its products need on this machine.

    python -m benchmarks.vision_update [--network resnet18] [--threads 2] [--batch-size 64]

The least time, called the floor, is the time of all convolutions and products of one update, each at the best rate
measured for its shape in this run; norms, activations and the optimizer are not included. The peer is a plain loop like
that of the publication's code: a DataLoader that converts and normalises one image after the other, and an Adam that is
not fused. Ratio = floor time / update time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Literal

import torch
import tyro
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fire_rl.agents.supervised import Examples
from fire_rl.agents.vision import NETWORKS, ClassifierSettings, channels_innermost, make_classifier, make_network
from fire_rl.data import IMAGE_SETS, Images, ImageSet, PhasedImages, continual
from fire_rl.training.memory import keep_large_blocks

from .convolutions import RecordProducts, works
from .floors import Floor
from .timing import CLOCKS, one_of_many

SET = {"resnet18": "cifar10", "vit-tiny": "cifar100", "vgg16": "tinyimagenet", "small": "fashion"}
IMAGES = 2_000  # random images


@dataclass(frozen=True)
class Options:
    """Which network is timed, and how."""

    network: str = "resnet18"
    """One of the networks of train_vision.py; the images have the shape of those in its publication."""
    threads: int = 2
    """CPU threads."""
    batch_size: int = 64
    """Images of an update; 256 in the publication."""
    rounds: int = 5
    """Alternating rounds of updates, products and the peer; the best time of each is used."""
    device: str = "cpu"
    """cpu or cuda."""
    clock: Literal["wall", "processor"] = "wall"
    """processor: the processor time of this process, for a machine that is busy with other processes. Use it with one
    thread or with OMP_WAIT_POLICY=passive in the environment, because threads use processor time while they wait."""


class Plain(Dataset[tuple[Tensor, int]]):
    """A data set whose images are converted and normalised one by one, on the CPU."""

    def __init__(self, images: Images, facts: ImageSet) -> None:
        self.images, self.labels = images.images.numpy(), images.labels.tolist()
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (facts.mean, facts.std))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.images[index]).float().div(255)
        return (image - self.mean) / self.std, self.labels[index]


def plain_update(
    module: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator[Any], device: torch.device
) -> None:
    """Do one update of the plain loop."""
    images, labels = (each.to(device) for each in next(batches))
    loss = nn.functional.cross_entropy(module(images), labels)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 0.5)
    optimizer.step()


def again(loader: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches of one pass after the other."""
    while True:
        yield from loader


def made_up(facts: ImageSet) -> Images:
    """Return random images with random labels."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (IMAGES, *facts.shape), dtype=torch.uint8, generator=random)
    return Images(images, torch.randint(facts.classes, (IMAGES,), generator=random))


def main(options: Options) -> None:
    """Time everything, and print the table."""
    if options.network not in NETWORKS:
        raise SystemExit(f"--network {options.network} given; allowed are {', '.join(NETWORKS)}")
    if not 2 <= options.batch_size <= IMAGES:
        raise SystemExit(f"--batch-size {options.batch_size} given; allowed are 2 to {IMAGES:,}")
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    device, facts = torch.device(options.device), IMAGE_SETS[SET[options.network]]
    images = made_up(facts)
    phases = continual(images.labels, facts.classes, phases=1, epochs=1_000_000, seed=0)
    innermost, clock = channels_innermost(options.network, device), CLOCKS[options.clock]
    stream = PhasedImages(
        images, facts, phases, batch_size=options.batch_size, seed=0, device=device, channels_last=innermost
    )
    learner = make_classifier(options.network, facts.shape, facts.classes, ClassifierSettings(), 0, device)
    numbers, held = count(), stream.batch(0)

    def update(examples: Examples) -> None:
        learner.update([examples], [1.0])

    with RecordProducts() as record:
        update(held)
    module = make_network(options.network, facts.shape, facts.classes, seed=0).to(device)
    loader = again(DataLoader(Plain(images, facts), options.batch_size, shuffle=True, drop_last=True))
    calls: dict[str, Callable[[], Any]] = {
        "update": lambda: update(held),
        "update, with its batch": lambda: update(stream.batch(next(numbers))),
        "plain loop, DataLoader": partial(plain_update, module, torch.optim.Adam(module.parameters()), loader, device),
    }
    least, times = Floor(works(record, device), 0.0, device), dict.fromkeys(calls, float("inf"))
    for _ in range(options.rounds):
        for name, call in calls.items():
            times[name] = min(times[name], one_of_many(call, device, clock))
        least.measure(clock=clock)
    floor, flops = least.arithmetic(), least.flops
    print(
        f"{options.network}, images {facts.shape}, batch {options.batch_size}, {options.threads} threads, {device}, "
        f"{options.clock} time"
    )
    rate = f"{flops / 1e9:.1f} GFLOP at {flops / floor / 1e9:.0f} GFLOP/s"
    print(f"{'floor of the products':28s} {1e3 * floor:8.1f} ms  {options.batch_size / floor:7.1f} images/s  ({rate})")
    for name, value in times.items():
        share = f"ratio {floor / value:.2f}"
        print(f"{name:28s} {1e3 * value:8.1f} ms  {options.batch_size / value:7.1f} images/s  ({share})")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
