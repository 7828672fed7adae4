"""The parts that agents share: a network with its optimizer, target and initial values, and saving as tensors."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fire_rl.fire import Companion, Network, PlasticityManager
from fire_rl.fire.probe import Inputs
from fire_rl.fire.streams import restore_generator
from fire_rl.replay import Batch, Drawn

from .captured import Captured
from .compiled import Compiled
from .optimizers import let_go_of_gradients, optimizer_tensors, take_step


class TrainedNetwork:
    """A network with its optimizer, its initial values and its target, under one name.

    An event may give the network another head and the optimizer other tensors, so no lists of them are stored here.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        optimizer: Optimizer,
        *,
        head: tuple[str, ...],
        encoder: tuple[str, ...] = ("encoder",),
        target: nn.Module | None = None,
        companions: tuple[Companion, ...] = (),
    ) -> None:
        self.name, self.module, self.optimizer, self.target = name, module, optimizer, target
        self.initial = {key: value.detach().clone() for key, value in module.state_dict().items()}
        self.head, self.encoder, self.companions = head, encoder, companions
        self._one = torch.ones(())  # the gradient of a loss in itself

    @property
    def parameters(self) -> list[Tensor]:
        """The trained parameters, in the optimizer's order."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def step(
        self,
        loss: Tensor | Iterable[Tensor],
        plasticity: PlasticityManager | None = None,
        largest_norm: float | None = None,
    ) -> Tensor | None:
        """Take one gradient step, with the methods' penalties and their actions after each step.

        The loss may be given as summands that are computed one after the other, so that memory holds one of them at a
        time. If `largest_norm` is given, a longer gradient is scaled down to it, and the norm before is returned.
        """
        penalty = None if plasticity is None else plasticity.penalty(self.name)
        parameters = self.parameters
        let_go_of_gradients(parameters)
        for summand in (loss,) if isinstance(loss, Tensor) else loss:
            total, penalty = summand if penalty is None else summand + penalty, None
            # With `inputs`, autograd computes no gradients of other networks through which the loss passes.
            total.backward(self._gradient_of(total), inputs=parameters)
        norm = None if largest_norm is None else nn.utils.clip_grad_norm_(parameters, largest_norm)
        take_step(self.optimizer)
        if plasticity is not None and plasticity.acts_every_step:
            plasticity.after_step(self.name)
        return norm

    def _gradient_of(self, loss: Tensor) -> Tensor | None:
        """Return 1, kept from step to step; None for a loss that is not a scalar, so that autograd finds it."""
        if loss.dim():
            return None
        if (self._one.dtype, self._one.device) != (loss.dtype, loss.device):
            self._one = torch.ones_like(loss)
        return self._one

    def plastic(self) -> Network:
        """Return the network as plasticity methods see it."""
        return Network(
            self.name, self.module, self.initial, self.optimizer, self.target, self.companions, self.encoder, self.head
        )

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield everything that a checkpoint stores, by name."""
        groups = {self.name: self.module.state_dict(), f"initial.{self.name}": self.initial}
        if self.target is not None:
            groups[f"target_{self.name}"] = self.target.state_dict()
        for prefix, values in groups.items():
            yield from ((f"{prefix}.{name}", value) for name, value in values.items())
        names = {id(parameter): name for name, parameter in self.module.named_parameters()}
        held = optimizer_tensors(self.optimizer, [names[id(parameter)] for parameter in self.parameters])
        yield from ((f"optimizer.{self.name}.{name}", value) for name, value in held)


@runtime_checkable
class CapturedAgent(Protocol):
    """An agent whose updates, including the reading of the drawn batches, may be captured as CUDA graphs, and whose
    losses may be compiled."""

    captured: Captured
    compiled: Compiled

    def update(self, batches: Batch | Drawn, plasticity: PlasticityManager | None = None) -> dict[str, Tensor]:
        """Take one gradient step on each of K batches."""


@runtime_checkable
class AgentWithInputs(Protocol):
    """An agent that says with what its networks are called, for methods that repair networks after an event."""

    def inputs(self, batch: Batch) -> Mapping[str, tuple[Tensor, ...]]:
        """Return for each network the inputs with which its module is called on one batch of raw observations."""


@runtime_checkable
class ProbedAgent(Protocol):
    """An agent whose networks can be probed, for their trainability."""

    def probed(self, batches: Batch) -> Mapping[str, Inputs]:
        """Return each network's inputs in K batches of raw observations, and how it is run on them."""


@runtime_checkable
class ExportableAgent(Protocol):
    """An agent whose policy can be exported."""

    def policy(self) -> nn.Module:
        """Return a module from raw observations to a tuple of tensors, which its `outputs` names. The first one holds
        actions, in [-1, 1] or counted from 0. The module shares its tensors with the agent."""


@runtime_checkable
class ValuingAgent(Protocol):
    """An agent that has a value for each of its discrete actions."""

    def action_values(self, observations: np.ndarray) -> np.ndarray:
        """Return the values of all actions, (batch, actions)."""


class SavedAgent:
    """The base of an agent that saves its networks, its random generators and other tensors that it names."""

    networks: tuple[TrainedNetwork, ...]
    generators: Mapping[str, torch.Generator]

    def other_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield further tensors of the state, which are restored in place."""
        yield from ()

    def plastic(self) -> tuple[Network, ...]:
        """Return the networks that plasticity methods may act on."""
        return tuple(network.plastic() for network in self.networks)

    def structure(self, plasticity: PlasticityManager | None = None, held: Iterable[Tensor] = ()) -> list[Any]:
        """Return what a captured update depends on, and `held`; some of it is replaced if structure or rates change."""
        groups = [group for network in self.networks for group in network.optimizer.param_groups]
        constants = [value for group in groups for name, value in group.items() if name != "params"]
        parameters = [parameter for network in self.networks for parameter in network.parameters]
        methods = [] if plasticity is None else [plasticity, plasticity.structure, *plasticity.generators]
        return [*parameters, *constants, *self.generators.values(), *methods, *held]

    def _tensors(self) -> dict[str, Tensor]:
        return dict(pair for network in self.networks for pair in network.tensors()) | dict(self.other_tensors())

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors of networks and optimizers, the other tensors, and the generators' states."""
        state = {name: value.contiguous() for name, value in self._tensors().items()}  # some have channels innermost
        return state | {f"generator.{name}": stream.get_state() for name, stream in self.generators.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the tensors in place, and the generators' states."""
        copy_saved_(self._tensors(), state)
        for name, stream in self.generators.items():
            restore_generator(stream, state[f"generator.{name}"])


@torch.no_grad()
def copy_saved_(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Copy all saved tensors in place; if a name is missing or a shape differs, raise ValueError and copy none."""
    if missing := sorted(own.keys() - saved.keys()):
        raise ValueError(f"the saved agent lacks {missing[0]!r} and {len(missing) - 1} more; did it have other sizes?")
    for name, value in own.items():
        if value.shape != saved[name].shape:
            raise ValueError(
                f"the saved agent's {name!r} has shape {tuple(saved[name].shape)}, this one's {tuple(value.shape)}"
            )
    for name, value in own.items():
        value.copy_(saved[name])
