"""Train copies of a network on a new function for a fixed number of updates, and record the held-out error.

The new function is the output of another, randomly initialised network on the same inputs, each output standardised
over the data. This measures how quickly the network fits a function that it has never seen. Lyle et al., "Understanding
Plasticity in Neural Networks", ICML 2023, arXiv 2303.01486, measure plasticity by such regressions.
"""

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from .undisturbed import modes_restored, streams_kept, undisturbed

Run: TypeAlias = Callable[[nn.Module, Any], Tensor]  # a module on a batch -> (examples, outputs)
MakeOptimizer: TypeAlias = Callable[[list[Tensor], float], Optimizer]  # from parameters and a learning rate
FEWEST_SEEDS, MOST_SEEDS = 3, 11  # of a probe
FRESH = "give fresh=, a function that makes a new network from a seed"
SMALLEST_SPREAD = 1e-6  # standard deviation of an output over the data below which it counts as constant


@dataclass(frozen=True)
class Probe:
    """The length, the learning rates and the number of repetitions of a probe."""

    updates: int = 200
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    seeds: int = 5
    points: int = 10  # points of a curve after its first

    def __post_init__(self) -> None:
        if not 1 <= self.points <= self.updates:
            raise ValueError(f"updates={self.updates}, points={self.points} given; allowed: 1 <= points <= updates")
        if not FEWEST_SEEDS <= self.seeds <= MOST_SEEDS:
            raise ValueError(f"seeds={self.seeds} given; allowed are {FEWEST_SEEDS} to {MOST_SEEDS}")
        if not self.rates or any(not 0 < rate < math.inf for rate in self.rates):
            raise ValueError(f"rates={self.rates} given; allowed are learning rates above 0")


class NothingToLearn(ValueError):
    """Fresh networks learn nothing from these examples, so that no network can be compared with them."""


class Task(NamedTuple):
    """What is to be learned with one probe seed: targets of the training batches and of the held-out batches."""

    targets: tuple[Tensor, ...]
    held_out: tuple[Tensor, ...]

    @property
    def spread(self) -> float:
        """The mean square of the held-out targets around their means: the error of the best constant output."""
        values = torch.cat(self.held_out)
        return max(float((values - values.mean(0)).square().mean()), SMALLEST_SPREAD)


class Data(NamedTuple):
    """Batches of inputs: for training, and held out."""

    batches: tuple[Any, ...]
    held_out: tuple[Any, ...]

    @classmethod
    def of(cls, batches: Sequence[Any]) -> "Data":
        """Return the data of these batches, of which the last quarter is held out."""
        if len(batches) < 4:
            raise ValueError(f"{len(batches)} batches given; allowed are 4 or more, of which a quarter is held out")
        held = len(batches) // 4
        return cls(tuple(batches[:-held]), tuple(batches[-held:]))

    @classmethod
    def joined(cls, batches: Sequence[Any]) -> "Data":
        """Return the same data with the held-out batches joined, which is faster; first dimensions must be examples."""
        data = cls.of(batches)
        held = data.held_out
        if isinstance(held[0], Tensor):
            return cls(data.batches, (torch.cat(held),))
        return cls(data.batches, (tuple(torch.cat(parts) for parts in zip(*held, strict=True)),))


class Inputs(NamedTuple):
    """Batches of a network's inputs, and how the network is run on one of them."""

    batches: Sequence[Any]
    run: Run


def plain_run(module: nn.Module, batch: Any) -> Tensor:
    """Call the module on a tensor or a tuple of tensors; return one row of outputs for each example."""
    outputs = module(*batch) if isinstance(batch, tuple | list) else module(batch)
    if not isinstance(outputs, Tensor):
        raise ValueError(f"the module returns a {type(outputs).__name__}: give run=, a function that returns a tensor")
    return outputs.flatten(1) if outputs.dim() > 1 else outputs.unsqueeze(1)


def plain_optimizer(parameters: list[Tensor], rate: float) -> Optimizer:
    """Return an Adam with torch's usual constants."""
    return torch.optim.Adam(parameters, rate, fused=True)


def optimizer_like(optimizer: Optimizer | None) -> MakeOptimizer:
    """Return a function that makes optimizers with the constants of this one; Adam if it is of another kind."""
    kind: Any = type(optimizer) if type(optimizer) in (Adam, AdamW) else Adam
    group = optimizer.param_groups[0] if optimizer is not None and kind is type(optimizer) else {}
    constants = {name: group[name] for name in ("betas", "eps", "weight_decay") if name in group}
    return lambda parameters, rate: kind(parameters, rate, fused=True, **constants)


@torch.no_grad()
def outputs_of(module: nn.Module, run: Run, data: Data) -> Task:
    """Return a network's present outputs in evaluation mode."""
    with modes_restored(module):
        module.eval()
        return Task(*(tuple(run(module, batch).float().clone() for batch in part) for part in data))


def standardised(task: Task) -> Task:
    """Return the task with outputs of mean 0 and deviation 1 over the training batches; constant outputs become 0."""
    values = torch.cat(task.targets)
    mean, deviation = values.mean(0), values.std(0)
    factor = torch.where(deviation > SMALLEST_SPREAD, 1.0 / deviation.clamp_min(SMALLEST_SPREAD), 0.0)
    return Task(*(tuple((each - mean) * factor for each in part) for part in task))


def added(first: Task, second: Task) -> Task:
    """Return the sum of two tasks, output by output."""
    return Task(*(tuple(a + b for a, b in zip(*parts, strict=True)) for parts in zip(first, second, strict=True)))


def curve(
    module: nn.Module, run: Run, data: Data, task: Task, spread: float, probe: Probe, make: MakeOptimizer, rate: float,
    seed: int,
) -> list[float]:  # fmt: skip
    """Train a copy of the module on a task; return its held-out errors / `spread`, infinite once it has diverged."""
    learner = copy.deepcopy(module)
    if not any(parameter.requires_grad for parameter in learner.parameters()):  # frozen as a whole, as targets are
        learner.requires_grad_(True)
    parameters: list[Tensor] = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    optimizer, generator = make(parameters, rate), torch.Generator().manual_seed(seed)
    due = {round(number * probe.updates / probe.points) for number in range(1, probe.points + 1)}
    errors, order = [_error(learner, run, data, task) / spread], list[int]()
    with undisturbed(learner):
        torch.manual_seed(seed)  # for dropout
        learner.train()
        for update in range(1, probe.updates + 1):
            order = order or torch.randperm(len(data.batches), generator=generator).tolist()
            place = order.pop()
            optimizer.zero_grad()
            loss = (run(learner, data.batches[place]) - task.targets[place]).square().mean()
            loss.backward(inputs=parameters)
            optimizer.step()
            if update in due:
                errors.append(_error(learner, run, data, task) / spread)
                if not math.isfinite(errors[-1]):
                    return errors + [math.inf] * (probe.points + 1 - len(errors))
    return errors


@torch.no_grad()
def _error(module: nn.Module, run: Run, data: Data, task: Task) -> float:
    with modes_restored(module):
        module.eval()
        pairs = zip(data.held_out, task.held_out, strict=True)
        total = sum((run(module, batch) - targets).square().sum() for batch, targets in pairs)
    return float(total) / sum(targets.numel() for targets in task.held_out)


def learned_share(errors: Sequence[float]) -> float:
    """Return the area above a curve: the mean of 1 - error after the first point, where errors above 1 count as 1."""
    return sum(max(0.0, 1.0 - error) if math.isfinite(error) else 0.0 for error in errors[1:]) / (len(errors) - 1)


@torch.no_grad()
def with_layers_of(module: nn.Module, other: nn.Module, layers: Iterable[str]) -> nn.Module:
    """Return a copy of the module in which some layers have the values of another module of its kind."""
    made = copy.deepcopy(module)
    for name in layers:
        made.get_submodule(name).load_state_dict(other.get_submodule(name).state_dict())
    return made


def initialised_again(module: nn.Module, seed: int) -> nn.Module:
    """Return a copy that the `reset_parameters` of its parts initialise again; raise ValueError if a part has none.

    Parts are initialised in their order and before the modules that hold them, as in a constructor. ValueError is also
    raised if nothing writes to a trained parameter of two or more dimensions, such as one from which a weight is
    computed at each pass.
    """
    made = copy.deepcopy(module)
    weights = {name: each for name, each in made.named_parameters() if each.ndim > 1 and each.is_floating_point()}
    if any(each.requires_grad for each in made.parameters()):  # otherwise it is frozen as a whole, as targets are
        weights = {name: each for name, each in weights.items() if each.requires_grad}
    with streams_kept(module), torch.no_grad():
        torch.manual_seed(seed)
        for weight in weights.values():
            weight.fill_(math.nan)
        for name, part in _parts_first(made):
            reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
            if callable(reset):
                if any(_is_needed(each) for each in inspect.signature(reset).parameters.values()):
                    raise ValueError(
                        f"{type(part).__name__} {name!r} cannot be initialised again, as its {reset.__name__} needs "
                        f"arguments: {FRESH}"
                    )
                reset()
            elif any(True for _ in part.parameters(recurse=False)):
                raise ValueError(f"{type(part).__name__} {name!r} cannot be initialised again: {FRESH}")
    if kept := next((name for name, weight in weights.items() if weight.isnan().any()), None):
        raise ValueError(f"{kept!r} cannot be initialised again, as its module does not write to it: {FRESH}")
    return made


def _parts_first(module: nn.Module, name: str = "", seen: set[nn.Module] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield every module once with its name: the parts in their order, and then the module that holds them."""
    seen = set() if seen is None else seen
    seen.add(module)
    for key, child in module.named_children():
        if child not in seen:
            yield from _parts_first(child, f"{name}.{key}".lstrip("."), seen)
    yield name, module


def _is_needed(parameter: inspect.Parameter) -> bool:
    """Whether a call must give this argument."""
    starred = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and not starred
