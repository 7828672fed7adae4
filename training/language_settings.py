"""The settings of continual language modelling: which texts, in which phases."""

import difflib
from dataclasses import dataclass

from fire_rl.data.text import TEXT_SETS, source_names

from .phased_settings import PhasedSettings
from .settings import setting

MOST_PHASES = 1_000


@dataclass(frozen=True)
class LanguageSettings(PhasedSettings):
    """What is learned from, for how long, and how it is looked at."""

    data: str = setting("wikitext-openwebtext", "trunk", "own")
    """Texts, by name, listed above; or folders of token files below --data-dir, joined by +."""
    phase_updates: tuple[int, ...] = setting((96_000, 18_623), "trunk")
    """Updates of each phase. The first learns the first text, each one after it a mixture with one text more."""
    context: int | None = setting(None, "trunk")
    """Tokens of a sequence; unset: the network's."""
    batch_size: int = setting(480, "trunk")
    """Sequences of an update."""
    at_once: int | None = setting(None, "trunk")
    """Sequences of an update that are in memory at once; unset: all. The gradients of its parts are added up."""
    eval_every: int = 931
    """Updates between evaluations; also before and after an event, unless one came less than this before."""
    eval_sequences: int = 2_000
    """Sequences of each text's validation part to evaluate on: the same each time, for every method and seed."""
    eval_at_once: int | None = setting(None, "record")
    """Of these in memory at once; unset: as many as of an update."""

    @property
    def tested_apart(self) -> bool:
        return True  # every text has a validation part

    @property
    def lengths(self) -> tuple[int, ...]:
        self.check_phases()
        return self.phase_updates

    def usual_period(self, updates: int | None) -> int | None:
        """None: every method acts where a phase begins, since nothing else is published."""
        return None

    def check_phases(self) -> None:
        """Raise ValueError, in one line, where there cannot be such phases."""
        names, count = source_names(self.data), len(self.phase_updates)
        near = difflib.get_close_matches(self.data, TEXT_SETS, 1)
        if near and self.data not in TEXT_SETS and "+" not in self.data:
            raise ValueError(
                f"--data {self.data[:80]!r} given; did you mean {near[0]}? Folders of one's own are FIRST+SECOND"
            )
        if not 1 <= count <= MOST_PHASES or min(self.phase_updates, default=0) < 1:
            raise ValueError(
                f"--phase-updates {' '.join(map(str, self.phase_updates))} given; allowed are 1 to {MOST_PHASES:,} "
                "numbers above 0"
            )
        if count > len(names):
            raise ValueError(
                f"--phase-updates has {count} numbers; {self.data} has {len(names)} texts ({', '.join(names)}), and "
                "each phase but the first brings one"
            )
        for name in ("context", "at_once", "eval_at_once"):
            if getattr(self, name) is not None:
                self._require_above_0(name)

    def check(self) -> None:
        self.check_phases()
        super().check()
        for name in ("batch_size", "eval_sequences"):
            self._require_above_0(name)
