"""Continual vision: its settings put together, and what it does beside any learning from data in phases."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from agents.supervised import Examples, Supervised, cross_entropy
from agents.vision import ClassifierSettings, make_classifier, make_network, network_for, published
from data import IMAGE_SETS, ImageData, Images, PhasedImages, embedded, read_images, with_noise
from data.phases import Phase, class_incremental, continual, warm_start
from fire import Method

from .config import Config
from .device import choose_device
from .divergence import require_numbers
from .metric import Metric
from .phased import Phased, Seeds
from .vision_settings import VisionSettings

JUDGED_AT_ONCE = 500  # images of an evaluation
ACCURACY = Metric("accuracy", form="percent")


@dataclass(frozen=True)
class VisionRun(Config):
    """All settings of the run."""

    metric: ClassVar[Metric] = ACCURACY
    subject: ClassVar[str] = "data"

    run: VisionSettings = field(default_factory=VisionSettings)
    agent: ClassifierSettings = field(default_factory=ClassifierSettings)

    @property
    def network(self) -> str:
        """The name of the network, which follows from the data where none is given."""
        return network_for(self.run.data) if self.agent.network == "auto" else self.agent.network

    @property
    def published(self) -> Mapping[str, Method]:
        return published(self.run.task, self.run.data, self.network)

    def check(self) -> None:
        self.agent.check()
        super().check()

    def resolved(self) -> "VisionRun":
        settled = self if self.run.steps else self.altered(steps=self.run.total)
        return super(VisionRun, settled.altered(network=settled.network)).resolved()

    @property
    def learning_rate(self) -> float:
        return self.agent.learning_rate

    def choices(self) -> Mapping[str, str]:
        return {
            "Images of --data": "\n".join(f"{name}: {facts.meaning}" for name, facts in IMAGE_SETS.items()),
            "Networks of --network": "\n".join(f"{name}: {kind.meaning}" for name, kind in NETWORKS.items()),
        }

    def operations(self) -> float:
        """Of one update, three times those of a pass forward, which is counted on tensors without values."""
        facts = IMAGE_SETS[self.run.data]
        with torch.device("meta"):
            network = make_network(self.network, facts.shape, facts.classes, seed=0)
            images = torch.empty(2, *facts.shape)
        with FlopCounterMode(display=False) as counter:
            network(images)
        return 3.0 * counter.get_total_flops() / 2 * self.run.batch_size


class Vision(Phased):
    """A network that learns to tell images apart, phase after phase."""

    settings: VisionSettings

    def __init__(self, config: VisionRun) -> None:
        """Read the images and build everything; raises ValueError, in one line, where the settings cannot be met."""
        settings, seeds = config.run, Seeds.spawn(config.run.seed)
        device, facts = choose_device(settings.device), settings.facts
        data = read_images(settings.data, None if settings.data_dir is None else Path(settings.data_dir))
        held, used = chosen_images(settings, data.train.labels, seeds.data)
        labels, self.noisy = noisy_labels(data.train.labels[used], facts.classes, settings.label_noise, seeds.noise)
        self.images = PhasedImages(
            Images(data.train.images[used], labels),
            facts,
            phases_of(settings, data.train.labels[used], seeds.phases),
            batch_size=settings.batch_size,
            seed=seeds.order,
            device=device,
            augment=settings.augment,
        )
        self.test, self.validation = (each.to(device) for each in (data.test, data.train.at(held)))
        self.config, self.network_seed = config, seeds.network
        super().__init__(settings, seeds, self._make_learner(device), self.images)
        self.notes = (data.source, phases_said(config, self.noisy), *self.notes)

    def second_learner(self) -> Supervised:
        return self._make_learner(self.device)

    def _make_learner(self, device: torch.device) -> Supervised:
        facts = self.settings.facts if hasattr(self, "settings") else self.config.run.facts
        return make_classifier(self.config.network, facts, self.config.agent, self.network_seed, device)

    def share_of_rate(self, update: int) -> float:
        """It rises in equal steps, one for each of a phase's first epochs."""
        rising = self.config.agent.warm_up * self.images.phases[self.images.phase_at(update)].epochs
        return min(1.0, (self.images.epoch_at(update)[0] + 1) / rising) if rising else 1.0

    @property
    def refreshes(self) -> bool:
        return self.settings.refresh_statistics

    def examples(self, count: int, *seed: int) -> Examples:
        random = np.random.default_rng([self.measure_seed, *seed])
        within = self.images.phases[self.phase].examples
        return self.images.pick(within[torch.from_numpy(random.permutation(len(within))[:count])])

    # Evaluation

    def evaluate(self, pause: Callable[[], None]) -> dict[str, Any]:
        """On the test images, on training images of the phases so far, and apart for what each phase brought."""
        images, (right, losses) = self.images, self._judged(self.test, pause)
        latest = images.phase_at(max(0, self.steps - 1))  # at a boundary still the one that was just learned
        values: dict[str, Any] = {"accuracy": float(right.mean()), "test_loss": float(losses.mean())}
        if len(self.validation.labels):
            values["validation_accuracy"] = float(self._judged(self.validation, pause)[0].mean())
        trained = [float(self._judged(sample, pause)[0].mean()) for sample in self.samples]
        shares = np.array([len(phase.fresh) for phase in images.phases[: latest + 1]], dtype=float)
        values["training_accuracy"] = float(np.average(trained[: latest + 1], weights=shares))
        values["by_phase"] = trained
        if self.settings.task == "class-incremental":
            seen = torch.isin(self.test.labels, images.phases[latest].classes.to(self.device))
            values["seen_accuracy"] = float(right[seen].mean())
            values["by_phase"] = [float(right[torch.isin(self.test.labels, new)].mean()) for new in self.new_classes]
        require_numbers("loss of an evaluation", values["test_loss"])
        return values

    def _judged(self, images: Images, pause: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Of every image, whether the network is right, and its loss."""

        def batches() -> Iterator[Examples]:
            for start in range(0, len(images.labels), JUDGED_AT_ONCE):
                pause()
                part = slice(start, start + JUDGED_AT_ONCE)
                yield self.images.normalised(images.images[part]), images.labels[part]

        with self.precise():
            right, losses = self.trained.judged(batches())
        return right.float(), losses

    @cached_property
    def samples(self) -> list[Images]:
        """Of what each phase brought, so many training images that they are --eval-training-images in all."""
        phases, random = self.images.phases, np.random.default_rng([self.measure_seed, 0])
        count = max(1, self.settings.eval_training_images // len(phases))
        drawn = [phase.fresh[torch.from_numpy(random.permutation(len(phase.fresh))[:count])] for phase in phases]
        return [self.images.at(examples) for examples in drawn]

    @cached_property
    def new_classes(self) -> list[Tensor]:
        """The classes that each phase brought."""
        seen = [phase.classes for phase in self.images.phases]
        before = [torch.empty(0, dtype=torch.int64), *seen[:-1]]
        return [now[~torch.isin(now, then)].to(self.device) for now, then in zip(seen, before, strict=True)]


# Data and phases


def chosen_images(settings: VisionSettings, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Which training images are held out, and which are trained on, by the seed.

    In class-incremental learning as many of each class, so that all seeds have phases of one length.
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    if settings.task != "class-incremental":
        used = order[: settings.images or len(order)]
        return used[: settings.held_out], used[settings.held_out :]
    of_class = [order[labels[order] == number][: settings.per_class] for number in range(settings.facts.classes)]
    return (
        torch.cat([each[: settings.held_out] for each in of_class]),
        torch.cat([each[settings.held_out :] for each in of_class]),
    )


def phases_of(settings: VisionSettings, labels: Tensor, seed: int) -> tuple[Phase, ...]:
    """The phases of the task, whose examples count through these labels."""
    classes, epochs = settings.facts.classes, settings.epochs
    if settings.task == "warm-start":
        return warm_start(
            labels, classes, share=settings.first_share, first_epochs=settings.first_epochs, epochs=epochs, seed=seed
        )
    made = continual if settings.task == "continual" else class_incremental
    return made(labels, classes, phases=settings.phase_count, epochs=epochs, seed=seed)


# Presets

PRESETS = {
    "paper": (VisionRun(), "the published warm start on CIFAR-10 with ResNet-18; --task and --data for the others"),
    "quick": (
        VisionRun().altered(
            data=embedded(), images=5_000, label_noise=0.3, batch_size=128, first_epochs=120, epochs=12,
            network="small", eval_every=40, log_every=40, measure_every=40, checkpoint_every=480,
        ),
        "a warm start on embedded images, with a network that takes a minute on one core",
    ),
}  # fmt: skip
DESCRIPTION = """Train a network on images that come in phases: a warm start, ever more images, or ever more classes.
With no preset this is the warm start of the FIRE paper, which needs CIFAR-10's files (docs/data.md) and a GPU;
--preset quick needs neither. Each phase begins with a new optimizer; a method acts where each phase but the first
begins, unless a schedule is given. --steps, --eval-every, --checkpoint-every, --reinit-at and @STEP count updates."""

