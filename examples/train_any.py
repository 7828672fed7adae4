"""The training loop shared by the examples of models: any module and loss, with any method of the package."""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

import fire_rl
from fire_rl.fire.integrations.hooks import attach


def train(model: nn.Module, inputs: Tensor, loss: Callable[[], Tensor], method: str) -> fire_rl.PlasticityManager:
    """Train a model with the method of the command line, by default `method`, and print each event."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", default=method)
    parser.add_argument("--updates", type=int, default=4)
    arguments = parser.parse_args()
    chosen = fire_rl.parse_method(arguments.method)
    print(fire_rl.declare_units(model, inputs))  # for methods and measures of hidden units
    optimizer = torch.optim.Adam(model.parameters())
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    network = fire_rl.Network("model", model, initial, optimizer, head=("head",))
    schedule = fire_rl.Every(arguments.updates // 2) if chosen.acts_at_events else fire_rl.Never()
    manager = fire_rl.PlasticityManager([network], chosen, schedule)
    attach(manager)  # for methods that act at every step
    for update in range(1, arguments.updates + 1):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        now = fire_rl.Position(update, update)
        if manager.due(fire_rl.Position(update - 1, update - 1), now):
            print(manager.act(now, {"model": loss}))
    return manager
