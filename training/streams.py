"""The run's independent random streams, spawned from its one seed."""

from dataclasses import dataclass

import numpy as np

from fire_rl import envs


@dataclass(frozen=True)
class Streams:
    """Seeds of everything that draws."""

    agent: np.random.SeedSequence
    environment: int
    replay: int
    evaluation: tuple[int, ...]
    methods: int  # of what methods draw
    measures: int  # of the examples that networks are looked at on

    @classmethod
    def spawn(cls, seed: int, evaluations: int = 1) -> "Streams":
        agent, *others = np.random.SeedSequence(seed).spawn(6)
        environment, replay, evaluation, methods, measures = (
            int(child.generate_state(1, np.uint64)[0]) for child in others
        )
        return cls(agent, environment, replay, tuple(envs.spawn_seeds(evaluation, evaluations)), methods, measures)
