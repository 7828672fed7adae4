"""Load a run's checkpoint for a diagnosis: everything is read into memory, and no file of the run is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fire_rl.agents import SAC
from fire_rl.agents.agent import Agent
from fire_rl.agents.supervised import Supervised
from fire_rl.fire import restore_structure
from fire_rl.fire.manager import Losses
from fire_rl.place import called
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.card import is_card
from fire_rl.training.checkpoint import read_checkpoint, steps_of
from fire_rl.training.config import Config
from fire_rl.training.durable import Damaged
from fire_rl.training.error_words import in_a_line
from fire_rl.training.folder import refuse_links
from fire_rl.training.learners import LEARNERS, build, name_of, read_config
from fire_rl.training.lines import Divergence
from fire_rl.training.memory import require_memory
from fire_rl.training.policy import from_checkpoint
from fire_rl.training.pretrained import located
from fire_rl.training.reinforcement import EXAMPLES, Reinforcement
from fire_rl.training.slim import is_slimmed
from fire_rl.training.sources import refuse_changed_sources
from fire_rl.training.streams import Streams
from fire_rl.training.trust import refuse_code
from fire_rl.training.vision import Vision
from fire_rl.training.work import State, Work

COPIES = 12  # of the learner, the most that are in memory at once
EXAMINED = ("sac", "dqn", "vision")


@dataclass(frozen=True)
class LoadedRun:
    """One checkpoint of a run, with everything needed to copy its learner and to make new learners."""

    run: Path
    step: int
    config: Config
    work: Reinforcement | Vision
    manager_state: Mapping[str, Any]  # how events have changed the networks' structure
    updates: int

    @property
    def learner(self) -> Agent | Supervised:
        """The run's own learner, which must not be changed."""
        return self.work.agent if isinstance(self.work, Reinforcement) else self.work.trained

    def fork(self) -> Agent | Supervised:
        """Return a copy of the learner with target networks, optimizers and random generators; nothing is shared."""
        copied = self.first()
        restore_structure(copied.plastic(), dict(self.manager_state))
        copied.load_state_dict({name: value.clone() for name, value in self.learner.state_dict().items()})
        return copied

    def first(self) -> Agent | Supervised:
        """Return the learner as it was when this run began."""
        if isinstance(self.work, Vision):
            return self.work.second_learner()
        assert isinstance(self.config, AgentRun)
        seed = Streams.spawn(self.config.run.seed).agent
        return self.config.make_agent(self.work.environment, seed, self.work.device)

    def first_with_statistics(self) -> Agent | Supervised:
        """Return the learner as at the beginning, but with the present statistics of observations."""
        learner, ours = self.first(), self.learner
        if isinstance(learner, SAC) and isinstance(ours, SAC):
            learner.statistics.load_state_dict(ours.statistics.state_dict())
        return learner

    def drawn(self, number: int) -> Agent | Supervised:
        """Return a new learner: number 0 as at this run's beginning, the others with other random initial values."""
        return self.work.drawn(number) if number else self.first()

    def losses(self, learner: Agent | Supervised) -> Losses:
        """Return the losses of a learner's networks on the examples that the run itself would use here."""
        if isinstance(self.work, Vision):
            assert isinstance(learner, Supervised)
            return learner.losses(self.work.examples(self.work.looked_at, 0, self.updates), self.work.pass_over_data)
        assert not isinstance(learner, Supervised)
        return learner.losses(self.work.examples(EXAMPLES, self.updates), 0)


def load_run(run: Path, step: int | None, trusted: bool, progress: Callable[[str], object] = print) -> LoadedRun:
    """Load a run's checkpoint, the newest whole one if no step is given.

    Raise ValueError, in one line, if the run cannot be examined.
    """
    run = located(run)
    config = read_config(run)
    if is_card(run):
        raise ValueError(f"{run} is a card: it has only a policy, and no replay to learn from")
    if (kind := name_of(config)) not in EXAMINED:
        known = ", ".join(map(called, EXAMINED))
        raise ValueError(f"{run} is a run of {LEARNERS[kind].script}; allowed are runs of {known}")
    refuse_links(run)
    refuse_code(config, run, ("track",), trusted)
    if is_slimmed(run):
        raise ValueError(f"{run} was slimmed: its replay was deleted, so there are no transitions to learn from")
    steps = steps_of(run)
    if not steps:
        raise ValueError(f"{run} has no checkpoint: none has been written yet")
    if step is None and isinstance(last := config.reader.last(run), Divergence):
        before = f"{run}@{steps[-1]}"
        raise ValueError(f"{run} diverged {last.said}; to examine the newest checkpoint before that, give {before}")
    config = config.resolved()
    config.check()
    loaded = from_checkpoint(
        run, step, lambda found: _load(run, found, config), lambda line: progress(f"warning: {line}")
    )
    refuse_changed_sources(run, config, evaluated=True)
    return loaded


def _load(run: Path, step: int, config: Config) -> LoadedRun:
    checkpoint = read_checkpoint(run, step)
    size = sum(value.numel() * value.element_size() for value in checkpoint.learner.values())
    require_memory(COPIES * size, f"{run}: {COPIES} copies of its learner take about", torch.device("cpu"))
    work: Work = build(config)
    assert isinstance(work, Reinforcement | Vision)
    state = State(checkpoint.tensors, checkpoint.values.work, checkpoint.segments)
    manager = checkpoint.values.manager
    try:
        work.restore(run, checkpoint.learner, state, lambda: restore_structure(work.networks(), manager))
    except Damaged:
        raise
    except Exception as error:  # values from an untrusted file can cause any error
        raise Damaged(f"checkpoint at step {step:,} of {run} does not fit this version: {in_a_line(error)}") from error
    if isinstance(work, Reinforcement) and not len(work.replay):
        raise ValueError(f"{run} at step {step:,} has an empty replay: the run had not begun to learn")
    return LoadedRun(run, step, config, work, manager, checkpoint.values.progress.updates)
