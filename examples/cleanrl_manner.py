"""DQN in one file, in the style of CleanRL, with any method: python -m examples.cleanrl_manner --method fire

The lines that are added for plasticity are between `# plasticity` and `# end`; the rest is an ordinary script.
"""

import argparse
import copy
import random
from collections import deque

import gymnasium
import numpy as np
import torch
from torch.nn import functional

# plasticity
from fire_rl import Every, Network, Never, PlasticityManager, Position, parse_method, parse_regularizer
from fire_rl.fire.integrations.hooks import attach

# end

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--learning-starts", type=int, default=200)
parser.add_argument("--batch-size", type=int, default=64)
# plasticity
parser.add_argument("--method", default="fire")
parser.add_argument("--every", type=int, default=600)
parser.add_argument("--regularizer", nargs="*", default=[])
# end
arguments = parser.parse_args()

random.seed(0)
torch.manual_seed(0)
environment = gymnasium.make("CartPole-v1")
environment.action_space.seed(0)
network = torch.nn.Sequential(
    torch.nn.Linear(4, 120), torch.nn.ReLU(), torch.nn.Linear(120, 84), torch.nn.ReLU(), torch.nn.Linear(84, 2)
)
target = copy.deepcopy(network).requires_grad_(False)
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
replay: deque[tuple[np.ndarray, int, float, np.ndarray, bool]] = deque(maxlen=10_000)
updates = 0


def compute_loss(size: int) -> torch.Tensor:
    """Return the temporal-difference loss on transitions drawn from the replay."""
    sample = zip(*random.choices(replay, k=size), strict=True)
    observations, actions, rewards, following, ended = (torch.as_tensor(np.array(values)) for values in sample)
    values = network(observations).gather(1, actions.unsqueeze(1)).squeeze(1)
    wanted = rewards + 0.99 * target(following).amax(1) * ~ended
    return functional.mse_loss(values, wanted.float())


# plasticity
initial = {name: value.clone() for name, value in network.state_dict().items()}
record = Network("q", network, initial, optimizer, target, encoder=("0", "2"), head=("4",))
method = parse_method(arguments.method)
regularizers = [parse_regularizer(text) for text in arguments.regularizer]
schedule = Every(arguments.every) if method.acts_at_events else Never()
manager = PlasticityManager([record], method, schedule, regularizers, unit="environment steps")
attach(manager)  # for regularizers, and for methods that act at every step
# end

returns: list[float] = []
total = 0.0
observation, _ = environment.reset(seed=0)
for step in range(1, arguments.steps + 1):
    if random.random() < max(0.05, 1 - 2 * step / arguments.steps):
        action = int(environment.action_space.sample())
    else:
        action = int(network(torch.as_tensor(observation)).argmax())
    following, reward, terminated, truncated, _ = environment.step(action)
    replay.append((observation, action, float(reward), following, terminated))
    observation, total = following, total + float(reward)
    if terminated or truncated:
        returns, total = [*returns, total], 0.0
        observation, _ = environment.reset()
    if step > arguments.learning_starts:
        optimizer.zero_grad()
        compute_loss(arguments.batch_size).backward()
        optimizer.step()
        updates += 1
        # plasticity
        now = Position(updates, step)
        if manager.due(Position(updates - 1, step - 1), now):
            print(manager.act(now, {"q": lambda: compute_loss(256)}))
        # end
        if updates % 100 == 0:
            target.load_state_dict(network.state_dict())
print(f"mean return of the last ten episodes: {np.mean(returns[-10:]):.0f}; events: {len(manager.events)}")
assert len(manager.events) == (updates // arguments.every if method.acts_at_events else 0)
