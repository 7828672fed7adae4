"""The settings of continual language modelling: the texts and their phases."""

import difflib
from dataclasses import dataclass

from fire_rl.data.text import TEXT_SETS, source_names

from .lines import MOST_PHASES
from .phased_settings import PhasedSettings
from .settings import setting


@dataclass(frozen=True)
class LanguageSettings(PhasedSettings):
    """The texts, the lengths of the phases, and the evaluations."""

    data: str = setting("wikitext-openwebtext", "trunk", "own")
    """Name of a set of texts, listed above; or names of folders of token files in --data-dir, joined by +."""
    phase_updates: tuple[int, ...] = setting((96_000, 18_623), "trunk")
    """Updates of each phase. The first phase learns the first text, each later one a mixture with one more text."""
    context: int | None = setting(None, "trunk")
    """Tokens in a sequence; unset: the network's number."""
    batch_size: int = setting(480, "trunk")
    """Sequences in an update."""
    at_once: int | None = setting(None, "trunk")
    """Sequences of an update that are in memory at once; unset: all. The gradients of the parts are added up."""
    eval_every: int = 931
    """Updates between evaluations. Events are evaluated before and after too, unless an event came less than this
    before."""
    eval_sequences: int = 2_000
    """Sequences of each text's validation part in an evaluation: the same each time, for every method and seed."""
    eval_at_once: int | None = setting(None, "record")
    """Sequences of an evaluation that are in memory at once; unset: as many as in training."""

    @property
    def tested_apart(self) -> bool:
        """True: every text has a validation part."""
        return True  # every text has a validation part

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of updates of each phase."""
        self.check_phases()
        return self.phase_updates

    def usual_period(self, updates: int | None) -> int | None:
        """Return None: every method acts at the beginning of phases, because nothing else is published."""
        return None

    def check_phases(self) -> None:
        """Raise ValueError in one line if the phases are not possible."""
        names, count = source_names(self.data), len(self.phase_updates)
        near = difflib.get_close_matches(self.data, TEXT_SETS, 1)
        if near and self.data not in TEXT_SETS and "+" not in self.data:
            raise ValueError(
                f"--data {self.data[:80]!r} given; did you mean {near[0]}? Give folders of your own as FIRST+SECOND"
            )
        if not 1 <= count <= MOST_PHASES or min(self.phase_updates, default=0) < 1:
            raise ValueError(
                f"--phase-updates {' '.join(map(str, self.phase_updates))} given; allowed are 1 to {MOST_PHASES:,} "
                "numbers above 0"
            )
        if count > len(names):
            raise ValueError(
                f"--phase-updates has {count} numbers; {self.data} has {len(names)} texts ({', '.join(names)}), and "
                "each phase after the first adds one"
            )
        for name in ("context", "at_once", "eval_at_once"):
            if getattr(self, name) is not None:
                self._require_above_0(name)

    def check(self) -> None:
        """Raise ValueError if a value is not allowed."""
        self.check_phases()
        super().check()
        for name in ("batch_size", "eval_sequences"):
            self._require_above_0(name)
