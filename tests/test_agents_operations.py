"""How many operations a block of updates takes, and a decision beside its graphs: on a GPU, each is a launch."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fire_rl.agents import DQN, SAC, DQNSettings, SACSettings
from fire_rl.agents.captured import WARM_UP, Captured
from fire_rl.agents.from_host import FromHost
from fire_rl.replay import FrameReplay, TransitionReplay
from fire_rl.training.sums import Sums
from tests.fixtures.counted import Counted
from tests.fixtures.pretended_cuda import CARD

Made = tuple[SAC | DQN, TransitionReplay | FrameReplay, np.ndarray]


def sac() -> Made:
    agent = SAC(5, 2, SACSettings(critic_width=8, actor_width=8), seed=np.random.SeedSequence(0))
    return agent, TransitionReplay(40, 5, 2), np.ones((1, 5))


def dqn(double: bool = False) -> Made:
    settings = DQNSettings(network="minatar", hidden_width=8, double=double)
    agent = DQN((4, 10, 10), 3, settings, seed=np.random.SeedSequence(0), exploration_decisions=1)
    return agent, FrameReplay(40, 1, (4, 10, 10)), np.ones((1, 4, 10, 10), np.uint8)


def double_dqn() -> Made:
    return dqn(double=True)


def store(made: Made, actions: np.ndarray | None = None) -> None:
    agent, replay, observation = made
    observation[:] += 1
    no = np.zeros(1, bool)
    replay.add(observation, agent.random_actions(1) if actions is None else actions, np.ones(1), observation, no, no)


# The counts are those of torch 2.13. If a change raises one, look at what it adds before you raise the limit.
@pytest.mark.parametrize(("make", "updates", "most"), [(sac, 2, 503), (dqn, 4, 182), (double_dqn, 4, 381)])
def test_a_block_of_updates_takes_no_more_operations(make: Callable[[], Made], updates: int, most: int) -> None:
    made = agent, replay, _ = make()
    store(made)
    generator = torch.Generator()
    agent.update(replay.draw(updates, 8, generator))
    drawn = replay.draw(updates, 8, generator)
    with Counted() as counted:
        agent.update(drawn)
    assert counted.names.total() <= most, counted.names


IN_EACH = Counter({
    "equal": 1,  # is the observation on the device already?
    "copy_": 4,  # the observation into pinned memory and to the device, the action into pinned memory, what is stored
    "randint": 1,  # drawn on the host
    "_foreach_copy_": 1,  # what was drawn, into the graph's input
    "clone": 1,  # the metrics, out of the graph
    "_foreach_mul": 1, "_foreach_add_": 1,  # the sums of the metrics
})  # fmt: skip
OF_SAC = Counter({"equal": 1})  # the running statistics take the observation first
OF_DQN = Counter({
    "copy_": 1,  # frames and notes
    "remainder": 1, "floor_divide": 1, "add": 1, "full": 1, "cat": 1,  # places, on the host
    "div": 1,  # the mean of the metrics
})  # fmt: skip


@pytest.mark.parametrize(("make", "own"), [(sac, OF_SAC), (dqn, OF_DQN)])
def test_a_captured_decision_takes_few_operations_beside_its_graphs(
    make: Callable[[], Made], own: Counter[str], cuda: list[str]
) -> None:
    made = agent, replay, observation = make()
    agent.captured = Captured(CARD)
    agent.captured.on, agent.from_host = True, FromHost(agent.captured)
    generator, sums = torch.Generator(), Sums()

    def decide() -> None:
        agent.observe(observation)
        actions = agent.act(observation, explore=isinstance(agent, SAC))
        sums.add(agent.update(replay.draw(2, 8, generator)), 2)
        store(made, actions)

    store(made)
    for _ in range(WARM_UP + 2):
        decide()
    cuda.clear()
    with Counted() as counted:
        decide()
    assert cuda.count("launch") == (3 if isinstance(agent, SAC) else 2)
    assert not counted.names - (IN_EACH + own)
