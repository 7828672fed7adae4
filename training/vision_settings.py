"""The settings of continual vision: the images and their phases."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from fire_rl.agents.limits import check_limits
from fire_rl.data import IMAGE_SETS, ImageSet
from fire_rl.fire.nearest import did_you_mean

from .lines import MOST_PHASES
from .phased_settings import PhasedSettings
from .settings import flag, setting

PHASES = {"warm-start": 2, "continual": 10, "class-incremental": 20}  # as published
OF_WARM_STARTS = ("first_share", "first_epochs")


@dataclass(frozen=True)
class VisionSettings(PhasedSettings):
    """The images, their phases, and the evaluations."""

    data: str = setting("cifar10", "trunk", "own")
    """Name of the set of images; names are listed above."""
    task: Literal["warm-start", "continual", "class-incremental"] = setting("warm-start", "trunk")
    """warm-start: a share of the images, then all of them; continual: a growing number of images, in equal steps;
    class-incremental: a growing number of classes."""
    first_share: float = setting(0.1, "trunk")
    """warm-start: share of the images in the first phase."""
    first_epochs: int = setting(1_000, "trunk")
    """warm-start: epochs of the first phase."""
    epochs: int = setting(100, "trunk")
    """Epochs of each phase, except the first phase of a warm start."""
    phases: int | None = setting(None, "trunk")
    """Number of phases; unset, as published: 2 for warm-start, 10 for continual, 20 for class-incremental."""
    images: int | None = setting(None, "trunk")
    """Training images that are used, drawn by the seed; unset: all."""
    holdout: float = field(default=0.0, metadata={"facts": frozenset({"trunk"}), "bounds": (0.0, 0.9)})
    """Share of the training images that is never trained on, for choosing settings (validation_accuracy)."""
    label_noise: float = field(default=0.0, metadata={"facts": frozenset({"trunk"}), "bounds": (0.0, 1.0)})
    """Share of the training labels that are replaced by random ones from all classes; the same in every phase."""
    augment: Literal["none", "flip-crop"] = setting("none", "trunk")
    """none, as published; flip-crop: images are randomly mirrored, and shifted by up to four pixels."""
    refresh_statistics: bool = True
    """After an event, estimate BatchNorm's running statistics again from ten batches of the phase that begins, because
    the present ones belong to the old weights."""
    eval_training_images: int = setting(2_000, "record")
    """Training images that are evaluated besides the test images: in all phases together, equally many from each."""

    @property
    def facts(self) -> ImageSet:
        """The known facts about the set of images."""
        return IMAGE_SETS[self.data]

    @property
    def phase_count(self) -> int:
        """The number of phases."""
        return PHASES[self.task] if self.phases is None else self.phases

    @property
    def per_class(self) -> int:
        """The number of training images of each class in class-incremental learning, the same for all classes."""
        facts = self.facts
        return min((self.images or facts.train) // facts.classes, facts.smallest_class or facts.train // facts.classes)

    @property
    def held_out(self) -> int:
        """The number of training images that are held out: per class in class-incremental learning, else in all."""
        whole = self.per_class if self.task == "class-incremental" else self.images or self.facts.train
        return round(self.holdout * whole)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of training images in each phase."""
        count = self.phase_count
        if self.task == "class-incremental":
            return tuple(
                number * (self.facts.classes // count) * (self.per_class - self.held_out)
                for number in range(1, count + 1)
            )
        whole = (self.images or self.facts.train) - self.held_out
        if self.task == "continual":
            return tuple(number * whole // count for number in range(1, count + 1))
        return round(self.first_share * whole), whole

    @property
    def tested_apart(self) -> bool:
        """Whether each phase has test images of its own."""
        return self.task == "class-incremental"

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of updates of each phase."""
        self.check_phases()
        epochs = [self.epochs] * self.phase_count
        if self.task == "warm-start":
            epochs[0] = self.first_epochs
        return tuple(each * length for length, each in zip(self.epoch_lengths, epochs, strict=True))

    @property
    def usual_beginning(self) -> int:
        """The update from which a usual period counts: in a warm start the second phase's first, as published."""
        return self.phase_starts[0] if self.task == "warm-start" else self.reinit_from

    def usual_period(self, updates: int | None) -> int | None:
        """Return the length of an epoch of the last phase. As a period it stands for the end of every epoch, as
        published (`PhasedRun.schedule`)."""
        return None if updates is None else self.epoch_lengths[-1]

    def check_phases(self) -> None:
        """Raise ValueError in one line if the phases are not possible."""
        if self.data not in IMAGE_SETS:
            raise unknown_data(self.data)
        for name in ("batch_size", "first_epochs", "epochs"):
            self._require_above_0(name)
        facts, count, used = self.facts, self.phase_count, self.images
        if used is not None and not facts.classes <= used <= facts.train:
            raise ValueError(
                f"--images {used} given; allowed with {self.data} are {facts.classes} (one for each class) to "
                f"{facts.train:,}"
            )
        if not 0 < self.first_share < 1:
            raise ValueError(f"--first-share {self.first_share} given; allowed is a share between 0 and 1, such as 0.1")
        if self.task == "warm-start" and count != PHASES[self.task]:
            raise ValueError(f"--phases {count} given; a warm start has 2: a share of the images, then all of them")
        if not 2 <= count <= MOST_PHASES:
            raise ValueError(f"--phases {count} given; allowed are 2 to {MOST_PHASES:,}")
        if self.task == "class-incremental" and facts.classes % count:
            dividers = [number for number in range(2, facts.classes + 1) if facts.classes % number == 0]
            raise ValueError(
                f"--phases {count} given; the {facts.classes} classes of {self.data} come in equal parts: allowed are "
                f"{', '.join(map(str, dividers))}"
            )
        if any(later <= earlier for earlier, later in pairwise(self.sizes)):
            raise ValueError(f"a phase would add no new image: give more {flag('images')}, or a smaller first share")
        if min(self.sizes) < 2 or self.batch_size < 2:
            raise ValueError(
                f"a batch would have fewer than two images, which BatchNorm cannot normalise: the first phase has "
                f"{min(self.sizes)}, --batch-size is {self.batch_size}"
            )

    def check(self) -> None:
        """Raise ValueError if a value is not allowed."""
        check_limits(self)
        self.check_phases()
        if self.holdout and not self.held_out:
            raise ValueError(f"--holdout {self.holdout} given; that is less than one image: give 0, or a larger share")
        super().check()
        self._require_above_0("eval_training_images")

    def warnings(self) -> list[str]:
        """Return warnings about settings that are allowed but probably not intended."""
        found = super().warnings()
        usual = type(self)()
        if self.task != "warm-start":
            idle = [flag(name) for name in OF_WARM_STARTS if getattr(self, name) != getattr(usual, name)]
            if idle:
                found.append(f"no effect with {self.task}, which has no short first phase: {', '.join(idle)}")
        if self.label_noise and self.task == "class-incremental":
            found.append("--label-noise draws labels from all classes, so that classes appear before their phase")
        return found


def unknown_data(name: str) -> ValueError:
    """Return the error for an unknown set of images, with the nearest name."""
    meant = did_you_mean(name, IMAGE_SETS)
    return ValueError(f"--data {name[:80]!r} given; allowed is one of {', '.join(IMAGE_SETS)}{meant}")
