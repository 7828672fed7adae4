"""ReDo compared with two public implementations.

The fixture `redo_reference.json` holds figures of the authors' code (google/dopamine at 5873f54,
labs/redo/weight_recyclers.py, NeuronRecycler.update_weights) and of a well-known version for PyTorch (timoklein/redo at
3c0e2a9, src/redo.py, run_redo). Each was run on a small network of two convolutions and two linear layers, with random
moments of Adam and a step count of 7. `python -m tests.fixtures.make_redo` records them again from clones of both.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fire_rl.fire import Redo, hidden_layers
from fire_rl.fire.activity import Watch
from fire_rl.fire.activity import dormancy_scores as scores
from tests.fixtures.method_networks import network_of
from tests.fixtures.small_q_network import values

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "redo_reference.json").read_text())
PLACES = {"conv1": "0", "conv2": "2", "fc1": "5", "q": "7"}


def reference_network(which: str) -> tuple[Any, Any]:
    """Return the reference's network before its reset. Its initial values differ from all of its weights."""
    record = REFERENCE[which]
    tensors = {
        kind: {
            renamed(name): torch.tensor(values).view(record["shapes"][name]) for name, values in record[kind].items()
        }
        for kind in ("weights", "exp_avg", "exp_avg_sq")
    }
    shapes = record["shapes"]
    module = nn.Sequential(
        nn.Conv2d(2, 4, 2), nn.ReLU(inplace=True), nn.Conv2d(4, 5, shapes["conv2.weight"][-1]), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(shapes["fc1.weight"][1], 6), nn.ReLU(inplace=True), nn.Linear(6, 3),
    )  # fmt: skip
    module.load_state_dict(tensors["weights"])
    optimizer = torch.optim.Adam(module.parameters())
    for name, parameter in module.named_parameters():
        moments = {key: tensors[key][name].clone() for key in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": torch.tensor(7.0), **moments}
    inputs = torch.tensor(record["inputs"]).view(8, 2, 4, 4)
    initial = {name: 100.0 + torch.rand_like(value) for name, value in module.state_dict().items()}
    return network_of(module, lambda: module(inputs).square().mean(), initial, optimizer), record


def renamed(name: str) -> str:
    layer, kind = name.split(".")
    return f"{PLACES[layer]}.{kind}"


def test_scores_and_resets_are_those_of_the_authors_code():
    network, record = reference_network("dopamine")
    layers = dict(zip(record["scores"], hidden_layers(network.module), strict=True))
    with Watch(network.module, list(layers.values())) as watch:
        network.loss()
        for name, layer in layers.items():
            torch.testing.assert_close(scores(watch[layer.name]), torch.tensor(record["scores"][name]))
    before, after = values(network.module), record["after"]["0.1"]
    figures = Redo(tau=0.1).act(network)
    dormant = {name: torch.tensor(row) <= 0.1 for name, row in record["scores"].items()}
    assert [figures[f"reset {layer.name}"] for layer in layers.values()] == [float(u.sum()) for u in dormant.values()]
    assert [figures[f"units {layer.name}"] for layer in layers.values()] == [4, 5, 6]
    for name, wanted in reference_tensors(after["weights"], record).items():
        ours = network.module.get_parameter(renamed(name))
        drawn = drawn_entries(name, wanted, dormant)
        assert torch.equal(ours[~drawn], wanted[~drawn]), name
        assert torch.isin(ours[drawn], network.initial[renamed(name)]).all(), name
        assert not torch.equal(ours, before[renamed(name)]) or name == "q.bias", name
    for key in ("exp_avg", "exp_avg_sq"):
        for name, wanted in reference_tensors(after[key], record).items():
            state = network.optimizer.state[network.module.get_parameter(renamed(name))]
            if name.endswith("bias") and (layer := name.split(".")[0]) in dormant:
                wanted[dormant[layer]] = 0.0  # there, the moments of a bias that is set to 0 stay
            assert torch.equal(state[key], wanted), name
            assert state["step"] == after["count"]


def test_resets_equal_those_of_the_pytorch_version_step_counts_included():
    network, record = reference_network("timoklein")
    layers, before, after = hidden_layers(network.module), values(network.module), record["after"]["0.1"]
    with Watch(network.module, layers) as watch:
        network.loss()
        dormant = dict(zip(PLACES, (scores(watch[layer.name]) <= 0.1 for layer in layers), strict=False))
    figures = Redo(tau=0.1, step_count="renew").act(network)
    assert sum(value for key, value in figures.items() if key.startswith("reset")) == after["dormant"]
    for name, wanted in reference_tensors(after["weights"], record).items():
        ours = network.module.get_parameter(renamed(name))
        layer = name.split(".")[0]
        if layer in dormant:  # it draws after it has set outgoing weights to zero
            wanted, ours = wanted[~dormant[layer]], ours[~dormant[layer]]
        assert torch.equal(ours, wanted), name
    positions = record["shapes"]["fc1.weight"][1] // 5
    flattened = dormant["conv2"].repeat_interleave(positions)
    assert positions == 4
    assert not network.module.get_parameter("5.weight")[:, flattened].any()
    assert before["5.weight"][:, flattened].any()
    for name in record["shapes"]:
        state = network.optimizer.state[network.module.get_parameter(renamed(name))]
        assert state["step"] == after["step"][name]
        for key in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(state[key], reference_tensors(after[key], record)[name]), name


def reference_tensors(flat: dict[str, list[float]], record: Any) -> dict[str, Tensor]:
    return {name: torch.tensor(row).view(record["shapes"][name]) for name, row in flat.items()}


def drawn_entries(name: str, weight: Tensor, dormant: dict[str, Tensor]) -> Tensor:
    """Return incoming weights of dormant units that are not outgoing weights of others."""
    layer, kind = name.split(".")
    drawn = torch.zeros(weight.shape, dtype=torch.bool)
    if kind == "weight" and layer in dormant:
        drawn[dormant[layer]] = True
    feeding = {"conv2": "conv1", "fc1": "conv2"}.get(layer)
    if kind == "weight" and feeding:
        drawn[:, dormant[feeding]] = False
    return drawn
