"""The parts of an event: which networks are ready, what the method does to one of them, and its record."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from .event import NetworkReport
from .matrices import refuse_not_real
from .methods import Method
from .network import DrawInputs, Loss, MethodNetwork, Network, tensors_in
from .report import Snapshots, clock
from .spelling import spell


def refuse_missing_inputs(method: Method, names: Iterable[str], inputs: Mapping[str, DrawInputs]) -> None:
    """Raise ValueError if the method needs inputs of a network and there is no function that draws them."""
    for name in names if method.needs_inputs else ():
        if not callable(inputs.get(name)):
            raise ValueError(
                f"{spell(method)} needs inputs of network {name!r}: give the manager inputs={{{name!r}: function}}, "
                "where function(generator) returns a batch"
            )


def refuse_complex(method: Method, network: Network) -> None:
    """Raise ValueError if a matrix that the method's events compare holds complex numbers."""
    try:
        refuse_not_real(one for one in method.inventory(network.module).matrices if one.view.is_complex())
    except ValueError as error:
        raise ValueError(f"network {network.name!r}: {error}") from error


def ready_networks(
    method: Method, networks: Mapping[str, MethodNetwork], losses: Mapping[str, Loss], inputs: Mapping[str, DrawInputs]
) -> list[tuple[MethodNetwork, float]]:
    """Return the networks with their losses for an event, and the seconds that the method took to get ready.

    Raise ValueError if it cannot act on one of them now.
    """
    found = [
        replace(each, loss=losses.get(name), inputs=inputs.get(name), prepared={}) for name, each in networks.items()
    ]
    seconds = []
    for network in found:
        refuse_complex(method, network)
        probe = next(network.module.parameters())
        try:
            if method.needs_loss and network.loss is None:
                raise ValueError(f"{spell(method)} needs examples: give `act` the network's loss")
            started = clock(probe)
            method.ready(network)
        except ValueError as error:
            raise ValueError(f"network {network.name!r}: {error}") from error
        seconds.append(clock(probe) - started)
    return list(zip(found, seconds, strict=True))


@torch.no_grad()
def act_on(method: Method, network: MethodNetwork, seconds: float) -> NetworkReport:
    """Apply the method, which took `seconds` to get ready, to one network and compare its matrices with before."""
    before = Snapshots.of(method.inventory(network.module).matrices)
    weights = {name: weight.clone() for name, weight in network.module.named_parameters()}
    probe = next(network.module.parameters())
    started = clock(probe)
    method.restructure(network)
    given = method.act(network) or {}
    seconds += clock(probe) - started
    # JSON takes Python's numbers, but not numpy's, and records have no truth values.
    outcome = {key: value if type(value) is int else float(value) for key, value in given.items()}
    compared = before.compare(method.inventory(network.module).matrices)
    rows, values = tuple(row for row, _ in compared.values()), {name: both for name, (_, both) in compared.items()}
    notes, reset = tuple(method.notes(network)), tuple(filter(method.resets(network), values))
    now = dict(network.module.named_parameters())
    changed = weights.keys() != now.keys() or any(not torch.equal(now[name], weights[name]) for name in now)
    return NetworkReport(network.name, rows, seconds, outcome, values, notes, reset, changed)


def structures(networks: Mapping[str, Network]) -> dict[str, list[Any]]:
    """Describe each network's structure: the classes of its modules, the names and shapes of its tensors."""
    return {
        name: [
            *((key, type(module)) for key, module in network.module.named_modules()),
            *((key, value.shape) for key, value in tensors_in(network.module).items()),
        ]
        for name, network in networks.items()
    }
