"""DASH compared with its authors' code.

The fixture `dash_reference.json` holds figures of baekrok/DASH-Direction-Aware-SHrinking at 3d3cea6
(utils/train_utils.py, function dash). It was run on a small network of convolutions (one of kernel size 1), a norm and
linear layers, in which one unit is dead. The inputs came in one batch, and in three batches whose gradients it averages
with alpha = 0.3. `python -m tests.fixtures.make_dash CLONE` records the figures again.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl.fire import Dash, Never, PlasticityManager, Position, parse_method
from tests.fixtures.method_networks import at_event, network_of, trained_q_network
from tests.fixtures.small_q_network import values

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "dash_reference.json").read_text())


def tensors(flat: dict[str, list[float]]) -> dict[str, Tensor]:
    return {name: torch.tensor(row).view(REFERENCE["shapes"][name]) for name, row in flat.items()}


def recorded(run: str) -> tuple[Any, nn.Module, list[tuple[Tensor, Tensor]]]:
    """Return a run's record, the network before it, and its batches of images and labels."""
    record = REFERENCE["runs"][run]
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(27, 5), nn.ReLU(), nn.Linear(5, 3),
    ).eval()  # fmt: skip
    module.load_state_dict(tensors(REFERENCE["before"]), strict=False)
    inputs, labels = torch.tensor(REFERENCE["inputs"]).view(12, 2, 5, 5), torch.tensor(REFERENCE["labels"])
    return record, module, list(zip(inputs.chunk(record["batches"]), labels.chunk(record["batches"]), strict=True))


@pytest.mark.parametrize("run", REFERENCE["runs"])
def test_weights_shrink_as_by_the_authors_code(run):
    record, module, batches = recorded(run)

    def loss() -> Tensor:
        """The average over batches as a loss: each next batch has weight alpha, and earlier ones keep (1 - alpha)."""
        total = torch.zeros(())
        for batch, labels in batches:
            total = (1 - record["alpha"]) * total + record["alpha"] * functional.cross_entropy(module(batch), labels)
        return total

    at_event(Dash(least=record["lambda"]), network_of(module, loss))
    for name, wanted in tensors(record["weights"]).items():
        torch.testing.assert_close(module.get_parameter(name).detach(), wanted, msg=name, rtol=1e-5, atol=1e-7)


class LossOverBatches:
    """The loss on a data set, batch by batch, in order."""

    def __init__(self, module: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> None:
        self.module, self.data = module, batches

    def __call__(self) -> Tensor:
        return self.on(*self.data[0])

    def batches(self) -> Iterator[Callable[[], Tensor]]:
        for batch in self.data:
            yield partial(self.on, *batch)

    def on(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(self.module(inputs), labels)


class Unasked:
    """A loss that fails when its batches are asked for."""

    def __init__(self, loss: Callable[[], Tensor]) -> None:
        self.loss = loss

    def __call__(self) -> Tensor:
        return self.loss()

    def batches(self) -> Iterator[Callable[[], Tensor]]:
        raise AssertionError


@pytest.mark.parametrize("run", REFERENCE["runs"])
def test_gradients_are_averaged_over_batches_as_by_the_authors_code(run):
    record, module, batches = recorded(run)
    network = network_of(module, None)
    manager = PlasticityManager([network], Dash(least=record["lambda"], alpha=record["alpha"]), Never())
    manager.act(Position(0, 0), {"q": LossOverBatches(module, batches)})
    for name, wanted in tensors(record["weights"]).items():
        torch.testing.assert_close(module.get_parameter(name).detach(), wanted, msg=name, rtol=1e-5, atol=1e-7)


def test_alpha_without_batches_changes_nothing_and_batches_without_alpha_are_not_asked_for():
    weights = []
    for alpha, batched in ((None, False), (None, True), (0.3, False)):
        network = trained_q_network()
        if batched:
            network = replace(network, loss=Unasked(network.loss))
        at_event(Dash(alpha=alpha), network)
        weights.append(values(network.module))
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
        torch.testing.assert_close(value, weights[2][name])
    assert "alpha=0.3 had no effect" in Dash(alpha=0.3).notes(trained_q_network())[-1]
    assert Dash().notes(trained_q_network()) == []


def test_an_average_over_no_batch_is_refused_before_anything_changes():
    network = trained_q_network()
    before = values(network.module)
    manager = PlasticityManager([network], parse_method("dash:alpha=0.3"), Never())
    with pytest.raises(ValueError, match="no batch of data"):
        manager.act(Position(0, 0), {"q": LossOverBatches(network.module, [])})
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
