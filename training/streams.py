"""The seeds of a run's independent random generators, derived from the run's seed."""

from dataclasses import dataclass

import numpy as np

from fire_rl import envs


@dataclass(frozen=True)
class Streams:
    """The seeds of all random generators of a run."""

    agent: np.random.SeedSequence
    environment: int
    replay: int
    evaluation: tuple[int, ...]
    methods: int  # for plasticity methods
    measures: int  # for the examples of plasticity measures

    @classmethod
    def spawn(cls, seed: int, evaluations: int = 1) -> "Streams":
        """Derive all seeds from a run's seed, with `evaluations` seeds for the episodes of an evaluation."""
        agent, *others = np.random.SeedSequence(seed).spawn(6)
        numbers = [int(child.generate_state(1, np.uint64)[0]) for child in others]
        environment, replay, evaluation, methods, measures = numbers
        return cls(agent, environment, replay, tuple(envs.spawn_seeds(evaluation, evaluations)), methods, measures)
