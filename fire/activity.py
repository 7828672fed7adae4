"""Measures of hidden units on a batch (dormant, dead, active) and of features (effective and stable rank, norm).

Dormant at tau: the mean |h| of a unit, divided by the layer's mean of these, is at most tau. With tau = 0 the unit is
dead: its output is zero on the whole batch. Sokar et al., "The Dormant Neuron Phenomenon in Deep Reinforcement
Learning", ICML 2023, arXiv 2302.12902.
Active: the share of pairs of unit and example (and position) with h > 0, counted as in the public code of Ma et al.,
"Revisiting Plasticity in Visual Reinforcement Learning", ICLR 2024, arXiv 2310.07418.
Features are the inputs of the head's last layer, that is the outputs of the penultimate layer.
Effective rank: the number of largest singular values of the features whose sum is 99% of the sum of all, srank_0.01 of
Kumar et al., "Implicit Under-Parameterization Inhibits Data-Efficient Deep RL", ICLR 2021, arXiv 2010.14498.
Stable rank: ||F||_F^2 / ||F||_2^2, Rudelson and Vershynin, "Sampling from Large Matrices", J. ACM 2007, arXiv
math/0503442.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from .devices import device_with_float64, double, stacked
from .matrices import last_layers
from .network import Network
from .spectra import eigenvalues, gram
from .unit_weights import HiddenLayer

DORMANT = 0.1
DELTA = 0.01


@torch.no_grad()
def unit_measures(activations: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `dormant`, `dead` and `active` of all layers together, and of each layer as `dormant/layer`.

    The values are tensors on the network's device. `activations` maps a layer's name to values of shape
    (*shape, samples). In an ensemble's layer, of shape (members, units), each member counts as a layer of its own.
    The shares over all layers count every unit (or every pair) once, as both public codes do.
    """
    found: dict[str, Tensor] = {}
    parts: dict[str, list[Tensor]] = {"dormant": [], "dead": [], "active": []}
    units = pairs = 0
    for layer, values in activations.items():
        device = device_with_float64(values)
        scores = dormancy_scores(values).to(device)
        shares = {
            "dormant": (scores <= DORMANT).double(),
            "dead": (scores <= 0.0).double(),
            "active": (values > 0).to(device).mean(-1, dtype=torch.float64),
        }
        for name, share in shares.items():
            found[f"{name}/{layer}"] = torch.where(scores.isnan(), torch.nan, share).mean()
            parts[name].append(found[f"{name}/{layer}"] * (values if name == "active" else scores).numel())
        units, pairs = units + scores.numel(), pairs + values.numel()
    if units:
        together = {name: stacked(counts).sum() for name, counts in parts.items()}
        found |= {name: count / (pairs if name == "active" else units) for name, count in together.items()}
    return found


def silent_layers(layers: Sequence[HiddenLayer], watch: Mapping[str, Tensor]) -> str:
    """Return a sentence if hidden layers are known but none of them was seen to run; otherwise an empty text."""
    if not layers or watch:
        return ""
    return (
        "none of its hidden layers was seen to run: does the loss run another module, or a compiled one, which ignores "
        "hooks?"
    )


def missing_measures(network: Network, layers: Sequence[HiddenLayer]) -> str:
    """Return one line that names the measures that this network lacks, and the remedy; empty where it lacks none."""
    lines = []
    if not layers:
        advice = "fire_rl.declare_units(module, inputs) finds those of most modules"
        lines.append(f"no hidden units are known, so dormant, dead and active are missing ({advice})")
    if not network.head:
        missing = "effective_rank, stable_rank and feature_norm are missing"
        lines.append(f"it names no head, so {missing} (fire_rl.Network: head=NAMES)")
    return f"network {network.name!r}: {'; '.join(lines)}" if lines else ""


def dormancy_scores(values: Tensor) -> Tensor:
    """Return each unit's mean |h| divided by its layer's mean, (*shape, samples) -> (*shape); NaN if not finite."""
    wide = values.float() if values.element_size() < 4 else values  # 1e-9 is 0 in half precision
    means = wide.abs().mean(-1)
    # 1e-9 is in the published code: if a whole layer outputs zero, all of its units count as dead.
    return means / (means.mean(-1, keepdim=True) + 1e-9)


@torch.no_grad()
def feature_measures(features: Tensor) -> dict[str, Tensor]:
    """Return `effective_rank`, `stable_rank` and `feature_norm` (the mean length of an example's features).

    Features have shape (examples, width), or (members, examples, width) in an ensemble, whose measures are averaged
    over the members. Features of images, (examples, ...) with more than three dimensions, are flattened first.
    """
    stack = double(features.flatten(1) if features.dim() > 3 else features)
    values = eigenvalues(gram(stack)).flip(-1)
    singular, largest = values.sqrt(), values[..., :1]
    reached = singular.cumsum(-1) < (1 - DELTA) * singular.sum(-1, keepdim=True)
    # The term 0 * largest keeps NaN where features are not finite. Features that are all zero have rank 0.
    effective = torch.where(largest == 0, 0.0, reached.sum(-1, keepdim=True) + 1 + 0 * largest)
    stable = torch.where(largest == 0, 0.0, values.sum(-1, keepdim=True) / largest)
    lengths = torch.linalg.vector_norm(stack, dim=-1)
    return {"effective_rank": effective.mean(), "stable_rank": stable.mean(), "feature_norm": lengths.mean()}


def first_input(module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor | None:
    """Return the first tensor with which a module was called, by place or by name, in the order of its `forward`."""
    if len(named) > 1:
        order = [name for name in inspect.signature(module.forward).parameters if name in named]
        named = {name: named[name] for name in dict.fromkeys([*order, *named])}
    return next((each for each in (*inputs, *named.values()) if isinstance(each, Tensor)), None)


class Watch(Mapping[str, Tensor], AbstractContextManager["Watch"]):
    """The activations of hidden layers in the module's last forward pass, by the layer's name, until it is closed.

    Values are detached and have shape (*shape, samples). A forward pass with gradients (training) takes precedence: a
    later pass without gradients (acting, targets) does not overwrite its activations.
    """

    def __init__(self, module: nn.Module, layers: Sequence[HiddenLayer]) -> None:
        self._layers = {layer.name: layer for layer in layers}
        self._outputs: dict[str, Tensor] = {}
        self._trained: set[str] = set()
        self._handles = [
            module.get_submodule(layer.read_by).register_forward_pre_hook(
                partial(self._keep_input, name), with_kwargs=True
            )
            if layer.read_by
            else module.get_submodule(name).register_forward_hook(partial(self._keep, name))
            for name, layer in self._layers.items()
        ]

    def _keep_input(self, name: str, module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        if (given := first_input(module, inputs, named)) is not None:
            self._keep(name, module, (), given)

    def _keep(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if output.requires_grad:
            self._trained.add(name)
        elif name in self._trained:
            return
        self._outputs[name] = output.detach()

    def __getitem__(self, name: str) -> Tensor:
        return self._layers[name].by_unit(self._outputs[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __contains__(self, name: object) -> bool:
        return name in self._outputs

    def forget(self) -> None:
        """Forget all activations seen so far."""
        self._outputs.clear()
        self._trained.clear()

    def close(self) -> None:
        """Remove the hooks and forget all activations."""
        for handle in self._handles:
            handle.remove()
        self.forget()

    def __exit__(self, *error: object) -> None:
        self.close()


class HeadInput(ExitStack):
    """Keep the features: the input of the last layer of the network's first head, in the last pass with gradients.

    With `every_pass`, passes without gradients count too. Features of sequences become (examples x positions, width),
    and those of images (examples, width).
    """

    def __init__(self, network: Network, every_pass: bool = False) -> None:
        super().__init__()
        self.latest: Tensor | None = None
        self._every_pass = every_pass
        for name in network.head[:1]:
            layers = last_layers(network.module, (name,))
            last = network.module.get_submodule(next(iter(layers), name))
            self._rows = any(matrix.view.dim() == 2 for matrix in layers.values())  # not in an ensemble
            self.enter_context(last.register_forward_pre_hook(self._keep, with_kwargs=True))

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        given = first_input(module, inputs, named)
        if given is None or not (self._every_pass or torch.is_grad_enabled()):  # targets are computed without gradients
            return
        kept = given.detach().clone()  # the layer may overwrite its input in place
        if isinstance(module, _ConvNd):
            kept = kept.flatten(1)
        elif self._rows and kept.dim() > 2:
            kept = kept.flatten(0, -2)
        self.latest = kept
