"""Continual vision: all settings of a run, and the work, which extends that of learning in phases."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fire_rl.agents.supervised import Examples, Supervised
from fire_rl.agents.vision import (
    NETWORKS,
    ClassifierSettings,
    bytes_in_training,
    channels_innermost,
    make_classifier,
    make_network,
    network_for,
    published,
)
from fire_rl.data import (
    IMAGE_SETS,
    ImageData,
    Images,
    NormalisedImages,
    Phase,
    PhasedImages,
    class_incremental,
    continual,
    embedded,
    held_out,
    read_images,
    subset,
    warm_start,
    with_noise,
)
from fire_rl.fire import Method
from fire_rl.fire.statistics import modules_with_statistics

from .device import choose_device, notes_on_bfloat16
from .divergence import require_numbers
from .memory import gigabytes, require_memory
from .metric import Metric
from .phased import PROBES, Phased, Seeds
from .phased_run import PhasedRun
from .probes import BATCH_SIZE, BATCHES, FRESH, probed_with, whole_batches
from .vision_settings import VisionSettings
from .work import Probes

JUDGED_AT_ONCE = 500  # images in a batch of an evaluation
ACCURACY = Metric("accuracy", form="percent")


@dataclass(frozen=True)
class VisionRun(PhasedRun):
    """All settings of the run."""

    metric: ClassVar[Metric] = ACCURACY

    run: VisionSettings = field(default_factory=VisionSettings)
    agent: ClassifierSettings = field(default_factory=ClassifierSettings)

    @property
    def network(self) -> str:
        """The name of the network; if none is given, it is chosen by the data."""
        return network_for(self.run.data) if self.agent.network == "auto" else self.agent.network

    @property
    def published(self) -> Mapping[str, Method]:
        """The methods with the values that publications use for this task, data and network."""
        return published(self.run.task, self.run.data, self.network)

    def resolved(self) -> Self:
        """Return the settings with the network, the length and the schedule written out."""
        return super(VisionRun, self.altered(network=self.network)).resolved()

    def choices(self) -> Mapping[str, str]:
        """Return the images and networks, for --help-all."""
        return {
            "Images of --data": "\n".join(f"{name}: {facts.meaning}" for name, facts in IMAGE_SETS.items()),
            "Networks of --network": "\n".join(f"{name}: {kind.meaning}" for name, kind in NETWORKS.items()),
        }

    def operations(self) -> float:
        """Return the operations of one update: three times those of a forward pass, which is counted without data."""
        facts = IMAGE_SETS[self.run.data]
        with torch.device("meta"):
            network = make_network(self.network, facts.shape, facts.classes, seed=0)
            images = torch.empty(2, *facts.shape)
        with FlopCounterMode(display=False) as counter:
            network(images)
        return 3.0 * counter.get_total_flops() / 2 * self.run.batch_size


class Vision(Phased):
    """A network that learns to classify images, phase after phase."""

    settings: VisionSettings

    def __init__(self, config: VisionRun) -> None:
        """Read the images and build everything; raise ValueError in one line if the settings are not possible."""
        settings, seeds = config.run, Seeds.spawn(config.run.seed)
        device, facts = choose_device(settings.device), settings.facts
        innermost = channels_innermost(config.network, device)
        self.needed = memory_for(config, device)
        given = f"{config.network} on {settings.batch_size} images at once, with those of {settings.data}, takes about"
        require_memory(self.needed, given, device)
        data = read_images(settings.data, settings.data_folder)
        used, held = chosen_images(settings, data.train.labels, seeds.data)
        labels = data.train.labels[used]
        self.images = PhasedImages(
            Images(data.train.images[used], with_noise(labels, facts.classes, settings.label_noise, seeds.noise)),
            facts,
            phases_of(settings, labels, seeds.phases),
            batch_size=settings.batch_size,
            seed=seeds.order,
            device=device,
            augment=settings.augment,
            channels_last=innermost,
        )
        self.test = NormalisedImages(data.test, facts, device=device, channels_last=innermost)
        self.validation = NormalisedImages(data.train.at(held), facts, device=device, channels_last=innermost)
        self.all_tested, self.tested_classes = torch.arange(len(data.test.labels)), data.test.labels
        self.config, self.network_seed = config, seeds.network
        super().__init__(settings, seeds, self._make_learner(device), self.images, checksum_of(data, used))
        self.samples = samples_of(self.images.phases, settings.eval_training_images, seeds.measures)
        self.new_classes = new_classes(self.images.phases)
        told = f"memory: about {gigabytes(self.needed)} for {config.network}, its batches and the images"
        self.notes = (data.source, phases_in_words(settings), told, *self._notes_on_training(), *self.notes)

    def _notes_on_training(self) -> Iterator[str]:
        if "muon" in self.config.agent.optimizers:
            yield from notes_on_bfloat16("Muon", self.device)
        if self.config.repeats_by_itself and (lengths := self.config.run.epoch_lengths):
            said = " or ".join(str(length) for length in dict.fromkeys(lengths))
            given = f"--reinit-every {self.config.run.reinit_every} stands for this rule"
            yield f"{self.config.run.reinit} acts at the end of every epoch ({said} updates); {given}"
        if self.config.methods.method.acts_at_events and modules_with_statistics(self.trained.module):
            said = "are estimated again from ten batches" if self.refreshes else "stay those of the old weights"
            given = f"--refresh-statistics {self.refreshes}"
            yield f"after an event that changes weights, BatchNorm's running statistics {said} ({given})"

    def second_learner(self) -> Supervised:
        """Return a second learner, made in the same way."""
        return self._make_learner(self.device)

    def _make_learner(self, device: torch.device, seed: int | None = None) -> Supervised:
        facts, settings, seed = self.config.run.facts, self.config.agent, self.network_seed if seed is None else seed
        return make_classifier(self.config.network, facts.shape, facts.classes, settings, seed, device)

    def check_probes(self) -> None:
        """Raise ValueError if a phase has too few images for a probe."""
        whole_batches(min((phase.examples for phase in self.images.phases), key=len))

    def probes(self, updates: int) -> Probes:
        """Return what is needed to probe the network, on images of the present phase."""
        images = whole_batches(self.examples(BATCHES * BATCH_SIZE, PROBES, updates)[0])
        return probed_with(self.trained, self.trained.probed(images), self.drawn)

    def drawn(self, number: int) -> Supervised:
        """Return a new learner with other random initial values than the run's own."""
        return self._make_learner(self.device, FRESH + number)

    def share_of_rate(self, update: int) -> float:
        """Return the share of the learning rate: it rises in equal steps, one for each of a phase's first epochs."""
        rising = self.config.agent.warm_up * self.images.phases[self.images.phase_at(update)].epochs
        return min(1.0, (self.images.epoch_at(update)[0] + 1) / rising) if rising else 1.0

    @property
    def refreshes(self) -> bool:
        """Whether running statistics are estimated again after an event."""
        return self.settings.refresh_statistics

    def examples(self, count: int, *seed: int) -> Examples:
        """Return random training images of the present phase."""
        random = np.random.default_rng(np.random.SeedSequence(self.measure_seed, spawn_key=seed))
        within = self.images.phases[self.phase].examples
        return self.images.pick(within[torch.from_numpy(random.permutation(len(within))[:count])])

    def pass_over_data(self) -> Iterator[Examples]:
        """Yield all images of the present phase once, in the order of its first epoch."""
        first = self.images.starts[self.phase]
        for update in range(first, first + self.images.phases[self.phase].per_epoch(self.settings.batch_size)):
            yield self.images.batch(update)

    # Evaluation

    def evaluate(self, pause: Callable[[], None]) -> dict[str, Any]:
        """Evaluate on the test images, on training images of the phases so far, and on each phase's new data."""
        phases = self.images.phases
        latest = self.learned_phase(self.steps)
        right, losses = self._judged(self.test, self.all_tested, pause)
        values: dict[str, Any] = {"accuracy": _mean(right), "test_loss": _mean(losses)}
        if len(self.validation):
            every = torch.arange(len(self.validation))
            values["validation_accuracy"] = _mean(self._judged(self.validation, every, pause)[0])
        trained = [_mean(self._judged(self.images, sample, pause)[0]) for sample in self.samples]
        sizes = [len(phase.fresh) for phase in phases[: latest + 1]]
        values["training_accuracy"] = float(np.average(trained[: latest + 1], weights=sizes))
        values["by_phase"] = trained
        if self.settings.task == "class-incremental":
            values["seen_accuracy"] = _mean(right[torch.isin(self.tested_classes, phases[latest].classes)])
            values["by_phase"] = [_mean(right[torch.isin(self.tested_classes, new)]) for new in self.new_classes]
        require_numbers("loss of an evaluation", values["test_loss"])
        return values

    def _judged(self, images: NormalisedImages, chosen: Tensor, pause: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Return for each of these images whether the network is right, and its loss."""

        def batches() -> Iterator[Examples]:
            for part in chosen.split(JUDGED_AT_ONCE):
                pause()
                yield images.pick(part)

        found = [(scores.argmax(-1) == labels, losses) for scores, labels, losses in self.trained.judged(batches())]
        right, losses = (torch.cat(each).cpu() for each in zip(*found, strict=True))
        return right.float(), losses


def _mean(values: Tensor) -> float:
    return float(values.mean())


# Data and phases


def memory_for(config: VisionRun, device: torch.device) -> int:
    """Return the bytes that images and an update take on the device; on a CPU this includes the images as read."""
    facts = config.run.facts
    images = (2 if device.type == "cpu" else 1) * facts.train + facts.test
    learning = bytes_in_training(config.network, facts.shape, facts.classes, config.run.batch_size)
    return learning + images * math.prod(facts.shape)


def chosen_images(settings: VisionSettings, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Choose by the seed which training images are trained on and which are held out, with all classes in proportion.

    In class-incremental learning every class has the same number, so that phases have the same length for all seeds.
    """
    wanted, classes = settings.images or settings.facts.train, settings.facts.classes
    if len(labels) < classes:
        raise ValueError(
            f"{settings.data} has {len(labels):,} training images here, fewer than its {classes} classes: is the "
            "folder complete?"
        )
    if len(labels) < wanted:
        raise ValueError(
            f"{settings.data} has {len(labels):,} training images here, but {wanted:,} are needed: give "
            f"--images {len(labels)} or fewer"
        )
    if settings.task == "class-incremental":
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
        of_class = [order[labels[order] == number] for number in range(classes)]
        used = torch.cat([each[settings.held_out : settings.per_class] for each in of_class])
        return used, torch.cat([each[: settings.held_out] for each in of_class])
    used = subset(labels, wanted, seed)
    if not settings.held_out:
        return used, used[:0]
    kept, held = held_out(labels[used], settings.holdout, seed)
    return used[kept], used[held]


def checksum_of(data: ImageData, used: Tensor) -> str:
    """Return one checksum of the images that are trained on and of the test images."""
    found = hashlib.sha256()
    for tensor in (*data.train.at(used), *data.test):
        values: Any = tensor.contiguous().numpy()
        found.update(values)
    return found.hexdigest()


def phases_of(settings: VisionSettings, labels: Tensor, seed: int) -> tuple[Phase, ...]:
    """Return the phases of the task; their examples are indices into these labels."""
    classes, epochs = settings.facts.classes, settings.epochs
    if settings.task == "warm-start":
        return warm_start(
            labels, classes, share=settings.first_share, first_epochs=settings.first_epochs, epochs=epochs, seed=seed
        )
    made = continual if settings.task == "continual" else class_incremental
    return made(labels, classes, phases=settings.phase_count, epochs=epochs, seed=seed)


def phases_in_words(settings: VisionSettings) -> str:
    """Describe the phases in one line."""
    lengths, sizes = settings.lengths, settings.sizes
    ends = f"{sizes[0]:,} to {sizes[-1]:,} training images, {lengths[0]:,} to {lengths[-1]:,} updates"
    return f"{settings.task}: {len(lengths)} phases of {ends}; {sum(lengths):,} updates in all"


def samples_of(phases: Sequence[Phase], count: int, seed: int) -> list[Tensor]:
    """Choose training images to evaluate on from each phase's new examples, about `count` in all."""
    random, each = np.random.default_rng(seed), max(1, count // len(phases))
    return [phase.fresh[torch.from_numpy(random.permutation(len(phase.fresh))[:each])] for phase in phases]


def new_classes(phases: Sequence[Phase]) -> list[Tensor]:
    """Return the new classes of each phase."""
    seen = [phase.classes for phase in phases]
    before = [seen[0][:0], *seen[:-1]]
    return [now[~torch.isin(now, then)] for now, then in zip(seen, before, strict=True)]


# Presets

QUICK = VisionRun().altered(
    data=embedded(),
    images=5_000 if embedded() == "fashion" else None,  # digits has fewer images than that
    label_noise=0.3,
    batch_size=128,
    first_epochs=120,
    epochs=12,
    network="small",
    eval_every=40,
    log_every=40,
    measure_every=40,
    checkpoint_every=480,
)
PRESETS = {
    "paper": (VisionRun(), "the published warm start on CIFAR-10 with ResNet-18; --task and --data for the others"),
    "quick": (QUICK, "a warm start on images that need no download, with a small network: a minute on one CPU core"),
}
DESCRIPTION = """Train a network on images that come in phases: a warm start, a growing number of images, or a growing
number of classes. With no preset this is the warm start of the FIRE paper, which needs CIFAR-10's files (--data-dir)
and a GPU; --preset quick needs neither. Each phase begins with a new optimizer; a method acts at the beginning of each
phase after the first, unless a schedule is given. --steps, --eval-every, --checkpoint-every, --reinit-at and @STEP
count updates."""
