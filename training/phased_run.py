"""The settings of a run that learns from data in phases, for any kind of data."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from fire_rl.fire import Schedule

from .config import Config
from .phased_settings import PhasedSettings


@dataclass(frozen=True)
class PhasedRun(Config):
    """The common part of such runs. If no length is given, a run is as long as all its phases."""

    subject: ClassVar[str] = "data"

    run: PhasedSettings
    agent: Any  # the settings of the learner

    def check(self) -> None:
        """Raise ValueError if a setting of the run or of the learner is not allowed."""
        self.agent.check()
        super().check()

    def resolved(self) -> Self:
        """Return the settings with the length of the run and the schedule written out."""
        settled = self if self.run.steps else self.altered(steps=self.run.total)
        return super(PhasedRun, settled).resolved()

    def schedule(self) -> Schedule:
        """Return the schedule; a method with a usual period acts at the ends of epochs, if the data have epochs."""
        by_epochs = self.repeats_by_itself and self.run.epoch_lengths
        return self.run.schedule_of_epochs() if by_epochs else super().schedule()

    @property
    def learning_rate(self) -> float:
        """The highest learning rate."""
        return float(self.agent.learning_rate)
