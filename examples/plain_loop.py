"""A plain PyTorch loop with any method: python -m examples.plain_loop --method fire:solver=exact --steps 400"""

import argparse

import torch

from fire_rl import Every, Network, Never, PlasticityManager, Position, parse_method
from fire_rl.fire.integrations.hooks import attach

parser = argparse.ArgumentParser()
parser.add_argument("--method", default="fire")
parser.add_argument("--steps", type=int, default=400)
arguments = parser.parse_args()
inputs = torch.rand(256, 2)
model = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
initial = {name: value.clone() for name, value in model.state_dict().items()}
network = Network("model", model, initial, optimizer, encoder=("0",), head=("2",))
method = parse_method(arguments.method)
manager = PlasticityManager([network], method, Every(arguments.steps // 2) if method.acts_at_events else Never())
attach(manager)  # for methods that act at every step
for update in range(1, arguments.steps + 1):
    optimizer.zero_grad()
    (model(inputs) - inputs.prod(1, keepdim=True)).square().mean().backward()
    optimizer.step()
    if manager.due(Position(update - 1, update - 1), Position(update, update)):
        losses = {"model": lambda: (model(inputs) - inputs.prod(1, keepdim=True)).square().mean()}
        print(manager.act(Position(update, update), losses))
assert len(manager.events) == (2 if method.acts_at_events else 0)
