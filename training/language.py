"""Continual language modelling: all settings of a run, and the work, which extends that of learning in phases."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from fire_rl.agents.language import (
    SIZES,
    GPTSizes,
    LanguageModelSettings,
    gpt_size,
    gpt_sizes,
    make_learner,
    published,
    share_of_rate,
)
from fire_rl.agents.supervised import Examples, Supervised
from fire_rl.data.text import TEXT_SETS, PhasedText, TextSource, accumulating, read_texts, weights_of
from fire_rl.fire import Method

from .device import choose_device
from .divergence import require_numbers
from .language_settings import LanguageSettings
from .memory import gigabytes, require_memory
from .metric import Metric
from .phased import Phased, Seeds
from .phased_run import PhasedRun

LOSS = Metric("loss", unit="nats", better="lower", decimals=4)
BYTES_OF_A_TOKEN = 8  # int64, which torch's embeddings take
ROWS = 64  # the number of rows for the vocabulary is a multiple of this, which makes matrix products faster


@dataclass(frozen=True)
class LanguageRun(PhasedRun):
    """All settings of the run."""

    metric: ClassVar[Metric] = LOSS

    run: LanguageSettings = field(default_factory=LanguageSettings)
    agent: LanguageModelSettings = field(default_factory=LanguageModelSettings)

    @property
    def published(self) -> Mapping[str, Method]:
        """The methods with the values that publications use for language models."""
        return published()

    def sizes(self, vocabulary: int | None = None) -> GPTSizes:
        """Return the sizes of the network, with rows for this many different tokens, or for its usual vocabulary."""
        rows = None if vocabulary is None else -(-vocabulary // ROWS) * ROWS
        return gpt_sizes(self.agent.network, rows, self.run.context)

    def operations(self) -> float:
        """Return the floating-point operations of one gradient update."""
        return float(gpt_size(self.sizes(), self.run.batch_size).operations)

    def choices(self) -> Mapping[str, str]:
        """Return the texts and networks, for --help-all."""
        return {
            "Texts of --data": "\n".join(f"{name}: {each.meaning}" for name, each in TEXT_SETS.items()),
            "Networks of --network": "\n".join(f"{name}: {each.meaning}" for name, each in SIZES.items()),
        }


class Language(Phased):
    """A network that learns to predict the next token, text after text."""

    settings: LanguageSettings
    looked_at: ClassVar[int] = 4_096  # tokens

    def __init__(self, config: LanguageRun) -> None:
        """Read the texts and build everything; raise ValueError in one line if the settings are not possible."""
        settings, seeds, self.config = config.run, Seeds.spawn(config.run.seed), config
        device = choose_device(settings.device)
        sources = read_texts(settings.data, settings.data_folder)
        self.sizes = config.sizes(max(source.vocabulary for source in sources.values()))
        few = settings.at_once or settings.batch_size
        self.evaluated_at_once = min(settings.eval_at_once or few, settings.eval_sequences)
        most = max(few, self.evaluated_at_once)
        learned = gpt_size(self.sizes, max(settings.batch_size, most), most, settings.precision).bytes
        evaluated = len(settings.lengths) * settings.eval_sequences * 2 * self.sizes.context * BYTES_OF_A_TOKEN
        needed = self.needed = learned + evaluated
        require_memory(needed, f"{config.agent.network} on {few} sequences at once takes about", device)
        weights = weights_of(sources, settings.data)
        self.texts = PhasedText(
            sources, accumulating(weights, settings.phase_updates), context=self.sizes.context,
            batch_size=settings.batch_size, seed=seeds.order, device=device,
        )  # fmt: skip
        self.network_seed, self.bytes_per_token = seeds.network, bytes_of_a_token(sources, self.texts)
        self._evaluated: dict[str, Examples] = {}  # the fixed windows of each text, filled at the first evaluation
        super().__init__(settings, seeds, self._make_learner(device), self.texts, checksum_of(sources))
        told = f"memory: about {gigabytes(needed)} for {self.sizes.parameters:,} weights and {few} sequences at once"
        self.notes = (*(source.source for source in sources.values()), told, *self.notes)

    def second_learner(self) -> Supervised:
        """Return a second learner, made in the same way."""
        return self._make_learner(self.device)

    def _make_learner(self, device: torch.device) -> Supervised:
        return make_learner(self.sizes, self.config.agent, self.network_seed, device, self.config.run.at_once)

    def share_of_rate(self, update: int) -> float:
        """Return the share of the learning rate: in each phase it rises linearly and then falls as half a cosine."""
        phase, agent = self.texts.phase_at(update), self.config.agent
        since, updates = update - self.texts.starts[phase], self.settings.phase_updates[phase]
        return share_of_rate(since, updates, agent.warm_up, agent.longest_warm_up, agent.least_share)

    @property
    def pass_size(self) -> int:
        """The number of tokens that go through the network at once."""
        return self.sizes.context * (self.settings.at_once or self.settings.batch_size)

    def examples(self, count: int, *seed: int) -> Examples:
        """Return sequences of the present phase that have at least `count` tokens together."""
        sequences = max(2, -(-count // self.sizes.context))
        return self.texts.examples(self.phase, sequences, self.measure_seed, *seed)

    def evaluate(self, pause: Callable[[], None]) -> dict[str, Any]:
        """Evaluate on fixed sequences of every text's validation part; the loss is that of the last phase's mixture."""
        mixture = self.texts.phases[-1].mixture
        by_text = {name: self._loss_on(name, pause) for name in mixture}
        shares = np.array([mixture[name] for name in by_text]) / sum(mixture.values())
        loss = float(np.average(list(by_text.values()), weights=shares))
        require_numbers("loss of an evaluation", loss)
        values = {"loss": loss, "perplexity": math.exp(min(loss, 100.0)), "by_phase": list(by_text.values())}
        if self.bytes_per_token is not None:
            values["bits_per_byte"] = loss / math.log(2) / self.bytes_per_token
        return values

    def _loss_on(self, text: str, pause: Callable[[], None]) -> float:
        """Return the mean loss, in nats, on fixed sequences of a text."""
        if text not in self._evaluated:
            (self._evaluated[text],) = self.texts.validation(text, 1, self.settings.eval_sequences)
        tokens, following = self._evaluated[text]

        def batches() -> Iterator[Examples]:
            for part in zip(tokens.split(self.evaluated_at_once), following.split(self.evaluated_at_once), strict=True):
                pause()
                yield part

        losses = [losses.flatten() for _, _, losses in self.trained.judged(batches())]
        return float(torch.cat(losses).double().mean())


def checksum_of(sources: Mapping[str, TextSource]) -> str:
    """Return one checksum of all texts, computed from their own checksums."""
    parts = [part.sha256 for source in sources.values() for part in (source.train, source.validation)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def bytes_of_a_token(sources: Mapping[str, TextSource], texts: PhasedText) -> float | None:
    """Return the mean bytes per token in the last phase's mixture of validation parts; None if it is not known."""
    mixture = texts.phases[-1].mixture
    lengths = {name: sources[name].validation.bytes_per_token for name in mixture}
    if any(length is None for length in lengths.values()):
        return None
    return sum(mixture[name] * (length or 0.0) for name, length in lengths.items()) / sum(mixture.values())


QUICK = LanguageRun().altered(
    data="python", network="gpt-small", phase_updates=(600, 600), batch_size=16, learning_rate=2e-3, eval_every=50,
    eval_sequences=256, log_every=50, measure_every=100, checkpoint_every=600,
)  # fmt: skip
PRESETS = {
    "paper": (
        LanguageRun().altered(precision="bfloat16"),
        "the published continued training, WikiText-103 and then a mixture with OpenWebText; for several large GPUs",
    ),
    "quick": (QUICK, "texts that every Python has, byte by byte, and a small network: minutes on two CPU cores"),
}
DESCRIPTION = """Train a GPT on texts that come in phases: one text, then a mixture with another. With no preset this is
the continued training of the FIRE paper, which needs token files (`python -m fire_rl.data.prepare` makes them) and
large GPUs; --preset quick needs neither. Each phase begins with a new optimizer; a method acts at the beginning of
each phase after the first, unless a schedule is given. --steps, --eval-every, --checkpoint-every, --reinit-at and
@STEP count updates. Losses are in nats, and lower is better."""
