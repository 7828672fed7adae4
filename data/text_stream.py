"""Batches of text: windows of token streams, drawn at random in training and fixed in validation.

The windows of a batch depend only on seeds and the batch's number, and are drawn on the host. So there is no state to
save, and every device gets the same windows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .draws import LOOKED_AT, VALIDATION, WINDOWS, generator
from .phases import phase_at
from .tokens import Tokens, Values

VALIDATION_SEED = 20_260_101  # the same for all runs, whatever their own seeds are
COPIED_AT_ONCE = 1 << 26  # tokens that are copied at a time
SHARE_OF_MEMORY = 0.5  # the share of a device's free memory that tokens may take

Integers = NDArray[np.int64]


class TextBatch(NamedTuple):
    """Tokens, and for each the token that follows it: both int64, (windows, context)."""

    tokens: Tensor
    following: Tensor


def _check_weights(mixture: Mapping[str, float]) -> None:
    if not mixture or not all(0 < weight < float("inf") for weight in mixture.values()):
        raise ValueError(f"mixture {dict(mixture)} given; allowed is at least one source, with weights above 0")


@dataclass(frozen=True)
class TextPhase:
    """A part of a run that trains on a mixture of sources: each window comes from one source, chosen by weight."""

    mixture: Mapping[str, float]
    updates: int

    def __post_init__(self) -> None:
        _check_weights(self.mixture)
        if self.updates < 1:
            raise ValueError(f"a phase of {self.updates} updates given; allowed are 1 and more")


def accumulating(sources: Mapping[str, float], updates: Sequence[int]) -> tuple[TextPhase, ...]:
    """Return phases that each have one source more than the phase before.

    `sources` gives the weights of the sources, `updates` the lengths of the phases.
    """
    if len(updates) > len(sources):
        raise ValueError(
            f"{len(updates)} phases given, but there are only {len(sources)} sources: {', '.join(sources)}"
        )
    names = tuple(sources)
    return tuple(
        TextPhase({name: sources[name] for name in names[: number + 1]}, length)
        for number, length in enumerate(updates)
    )


class Storage(Protocol):
    """Tokens of several sources; `at` returns windows of them as int64."""

    def at(self, which: Integers, starts: Integers, context: int) -> TextBatch:
        """Return the windows of the sources `which` that begin at `starts`."""
        ...


class OnHost:
    """Tokens in the host's memory or in a mapped file; a batch's windows are copied one by one, then to the device."""

    def __init__(self, parts: Sequence[Values], device: torch.device) -> None:
        self.parts = [np.asarray(part) for part in parts]  # slicing a plain array is faster than slicing a memmap
        self.device = device

    def at(self, which: Integers, starts: Integers, context: int) -> TextBatch:
        """Return the windows of the sources `which` that begin at `starts`."""
        windows = np.empty((len(which), context + 1), np.uint16)
        for row, (source, start) in enumerate(zip(which.tolist(), starts.tolist(), strict=True)):
            windows[row] = self.parts[source][start : start + context + 1]
        return _as_batch(torch.from_numpy(windows.view(np.int16)).to(self.device, non_blocking=True))


class OnDevice:
    """Tokens of all sources in one tensor on the device, two bytes each; a batch is read by one indexing operation.

    torch supports few operations on unsigned 16-bit integers, so the same bits are stored as signed ones.
    """

    def __init__(self, parts: Sequence[Values], device: torch.device) -> None:
        self.device = device
        self.begins = np.cumsum([0, *(len(part) for part in parts)])
        self.tokens = torch.empty(int(self.begins[-1]), dtype=torch.int16, device=device)
        for part, begin in zip(parts, self.begins.tolist(), strict=False):
            for start in range(0, len(part), COPIED_AT_ONCE):
                some = np.array(part[start : start + COPIED_AT_ONCE]).view(np.int16)
                self.tokens[begin + start : begin + start + len(some)] = torch.from_numpy(some).to(device)

    def at(self, which: Integers, starts: Integers, context: int) -> TextBatch:
        """Return the windows of the sources `which` that begin at `starts`."""
        first = torch.from_numpy(self.begins[which] + starts).to(self.device, non_blocking=True)
        return _as_batch(self.tokens[first[:, None] + torch.arange(context + 1, device=self.device)])


def _as_batch(windows: Tensor) -> TextBatch:
    """Make a batch of windows that have one token more than the context, with 16 bits per token."""
    return TextBatch(*(part.to(torch.int64).bitwise_and_(0xFFFF) for part in (windows[:, :-1], windows[:, 1:])))


def stored(parts: Sequence[Values], device: torch.device) -> Storage:
    """Store the tokens on the device if it is a GPU with enough free memory, else on the host."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if 2 * sum(map(len, parts)) <= SHARE_OF_MEMORY * free:
            return OnDevice(parts, device)
    return OnHost(parts, device)


class TextWindows:
    """Windows of some token streams, drawn at random from a mixture of them, or one after the other."""

    def __init__(self, parts: Mapping[str, Tokens], context: int, device: torch.device, part_of: str) -> None:
        if context < 1:
            raise ValueError(f"a context of {context} given; allowed are 1 and more")
        shortest = min(parts, key=lambda name: len(parts[name]))
        if (least := len(parts[shortest])) <= context:
            raise ValueError(
                f"a context of {context:,} tokens given; the {part_of} part of {shortest} has {least:,} tokens, so "
                + (f"at most {least - 1:,} are allowed" if least > 1 else "it is too short for any")
            )
        self.context = context
        self.names = tuple(parts)
        self.lengths = np.array([len(part) for part in parts.values()], dtype=np.int64)
        self.storage = stored([part.values for part in parts.values()], device)

    def chances(self, mixture: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the cumulative probabilities of the sources, in their order."""
        _check_weights(mixture)
        if unknown := sorted(set(mixture) - set(self.names)):
            raise ValueError(f"no source is called {unknown[0]!a}; there are {', '.join(self.names)}")
        sums = np.cumsum([mixture.get(name, 0.0) for name in self.names])
        return sums / sums[-1]

    def drawn(self, chances: NDArray[np.float64], count: int, random: np.random.Generator) -> TextBatch:
        """Draw windows at random positions, with replacement; a window may contain the borders of documents."""
        # The random numbers are below 1, which is the last of the chances, so that a source is always found.
        which = np.searchsorted(chances, random.random(count), side="right")
        return self.storage.at(which, random.integers(0, self.lengths[which] - self.context), self.context)

    def whole(self, name: str, count: int) -> Iterator[TextBatch]:
        """Yield a source from its beginning to its end, in batches of adjacent windows.

        Every token except the first is predicted exactly once. If the length is not a multiple of the context, the last
        batch is a single shorter window, so a mean over all batches must be weighted by the number of tokens.
        """
        source = self.names.index(name)
        predicted = int(self.lengths[source]) - 1
        full = predicted // self.context
        for first in range(0, full, count):
            starts = np.arange(first, min(first + count, full), dtype=np.int64) * self.context
            yield self.storage.at(np.full(len(starts), source), starts, self.context)
        if rest := predicted % self.context:
            yield self.storage.at(np.array([source]), np.array([full * self.context]), rest)


class Source(Protocol):
    """A source of tokens for training and for validation."""

    @property
    def train(self) -> Tokens:
        """The tokens for training."""

    @property
    def validation(self) -> Tokens:
        """The tokens for validation."""


class PhasedText:
    """The batches of a run that goes through phases of text, on its device."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        phases: Sequence[TextPhase],
        *,
        context: int,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        if not phases:
            raise ValueError("no phase given; allowed are one and more")
        if batch_size < 1:
            raise ValueError(f"a batch of {batch_size} windows given; allowed are 1 and more")
        self.phases, self.batch_size, self.seed = tuple(phases), batch_size, seed
        where = torch.device(device)
        train = {name: source.train for name, source in sources.items()}
        validation = {name: source.validation for name, source in sources.items()}
        self._train = TextWindows(train, context, where, "training")
        self._validation = TextWindows(validation, context, where, "validation")
        self._chances = tuple(self._train.chances(phase.mixture) for phase in self.phases)
        ends = np.cumsum([phase.updates for phase in self.phases]).tolist()
        self.starts: tuple[int, ...] = (0, *ends[:-1])  # the update at which each phase begins
        self.total: int = ends[-1]

    def phase_at(self, update: int) -> int:
        """Return the index of the phase that an update belongs to; both count from 0."""
        return phase_at(self.starts, self.total, update)

    def batch(self, update: int) -> TextBatch:
        """Return the batch that an update trains on."""
        return self._train.drawn(
            self._chances[self.phase_at(update)], self.batch_size, generator(self.seed, WINDOWS, update)
        )

    def examples(self, phase: int, count: int, *seed: int) -> TextBatch:
        """Return random training windows of a phase, for measuring and not for training.

        The numbers in `seed` together determine which windows these are.
        """
        return self._train.drawn(self._chances[phase], count, generator(self.seed, LOOKED_AT, *seed))

    def validation(
        self,
        mixture: str | Mapping[str, float],
        batches: int,
        batch_size: int | None = None,
        seed: int = VALIDATION_SEED,
    ) -> Iterator[TextBatch]:
        """Yield random windows of the validation part of a source or a mixture: the same ones in all runs."""
        chances = self._validation.chances({mixture: 1.0} if isinstance(mixture, str) else mixture)
        for number in range(batches):
            yield self._validation.drawn(chances, batch_size or self.batch_size, generator(seed, VALIDATION, number))

    def whole_validation(self, source: str, batch_size: int | None = None) -> Iterator[TextBatch]:
        """Yield the whole validation part of a source once; see `TextWindows.whole`."""
        return self._validation.whole(source, batch_size or self.batch_size)
