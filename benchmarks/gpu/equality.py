"""Tests of equality: updates captured as CUDA graphs and eager ones bit by bit, GPU and CPU up to rounding."""

from functools import cache, partial
from typing import get_args

import torch
from torch import Tensor

from fire_rl.agents import DQN, SAC
from fire_rl.agents.captured import Precision, products_in
from fire_rl.fire import Never, NoMethod, PlasticityManager, Position, parse_method, parse_regularizer
from fire_rl.fire.published import SAC as PUBLISHED
from fire_rl.replay import Batch

from . import subjects
from .part import Figures, Rows, Setting
from .subjects import Subject

BLOCKS = 12  # of updates: after an event in the middle, enough for a new capture and for launching it
EVENT = BLOCKS // 2 + 1  # the block before which methods act
UPDATES = 20  # for the comparison of two devices
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32")  # in which updates on a GPU and a CPU are compared
REGULARIZERS = ("l2-init", "weight-decay", "parseval", "spectral")
CONTINUAL = (  # methods that act at every step, with settings by which they replace units within these few steps
    "cbp:replacement_rate=0.1,maturity=1,biases=correct,optimizer=renew",
    "snr:longest=2,apply_every=1",
)


def equal_updates(setting: Setting, rows: Rows) -> None:
    """Add rows for both agents, with methods at events and with methods that act at every step."""
    both = [make(setting.place, setting.quick) for make in (subjects.sac, subjects.dqn)]
    for subject in both:
        for precision in get_args(Precision):
            name = f"{subject.name}, captured and eager, {precision}"
            rows.on_a_card(setting, name, partial(difference, subject, precision=precision))
    for method in ("fire", "injection"):
        name = f"SAC, captured and eager, with {method}"
        rows.on_a_card(setting, name, partial(difference, both[0], method))
    for regularizer in REGULARIZERS:
        name = f"SAC, captured and eager, with {regularizer}"
        rows.on_a_card(setting, name, partial(difference, both[0], regularizer=regularizer))
    for subject in both:
        name = f"{subject.name}, {UPDATES} updates, GPU and CPU"
        rows.on_a_card(setting, f"{name}, float64", partial(apart, subject, setting.place))
        for precision in PRECISIONS:
            rows.on_a_card(setting, f"{name}, {precision}", partial(apart, subject, setting.place, precision))
    for method in CONTINUAL:  # last, because a capture that fails may spoil the rows after it
        name = f"SAC, captured and eager, with {method.partition(':')[0]}"
        rows.on_a_card(setting, name, partial(difference, both[0], method))


def difference(
    subject: Subject, method: str = "none", regularizer: str = "", precision: Precision = "float32"
) -> Figures:
    """Return how two agents differ after equal updates, captured and eager, with an event if the method has any.

    Compared are the agents' tensors and those of the method; the figures that the method reports are returned too.
    """
    states, figures = [], dict[str, float]()
    for on in (False, True):
        agent = subject.make(subject.device)
        agent.captured.on, agent.captured.precision = on, precision
        chosen = parse_method(method, PUBLISHED)
        regularizers = [parse_regularizer(regularizer)] if regularizer else []
        manager = PlasticityManager(agent.plastic(), chosen, Never(), regularizers)
        call = subject.call(agent, manager)
        for block in range(BLOCKS):
            if block == EVENT and chosen.acts_at_events and not isinstance(chosen, NoMethod):
                manager.act(Position(block, block))
            call()
        states.append({**agent.state_dict(), **{f"method.{name}": value for name, value in manager.tensors().items()}})
        figures = manager.figures()
    return {"": in_words(*states), **figures}


def in_words(one: dict[str, Tensor], other: dict[str, Tensor]) -> str:
    """Return in words how many tensors of two states differ."""
    if one.keys() != other.keys():
        return f"{len(one)} and {len(other)} tensors, which DIFFER"
    unequal = [name for name, value in one.items() if not torch.equal(value, other[name])]
    return f"{len(unequal)} of {len(one)} tensors DIFFER ({unequal[0]})" if unequal else "equal bit by bit"


def apart(subject: Subject, device: torch.device, precision: Precision | None = None) -> Figures:
    """Return the distance between weights trained on two devices, divided by how far training moved them.

    The weights are float64 unless a precision is given.
    """
    dtype = torch.float64 if precision is None else torch.float32
    with products_in(precision or "float32"):
        return distance(trained_on_cpu(subject, dtype), trained(subject, device, dtype))


@cache
def trained_on_cpu(subject: Subject, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return `trained` on the CPU, once for all precisions of a GPU: a CPU has no tf32."""
    return trained(subject, torch.device("cpu"), dtype)


def distance(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Figures:
    """Return the distance between the trained weights of two devices, divided by how far training moved the first."""
    (before, after), (_, theirs) = one, other
    return {"of the distance trained": float((after - theirs).norm() / (after - before).norm())}


def trained(subject: Subject, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return all weights before and after updates, whose batches and noise are drawn on the CPU."""
    agent, generator = made_in(subject, device, dtype), torch.Generator().manual_seed(1)
    before = weights(agent)
    for _ in range(UPDATES):
        batches = subject.replay.sample(1, subject.batch_size, generator)
        batch = Batch(*(wide(tensor[0].cpu(), dtype).to(device) for tensor in batches))
        if isinstance(agent, SAC):
            noise = torch.randn(2, subject.batch_size, agent.action_size, generator=generator, dtype=torch.float64)
            agent.gradient_step(batch, noise.to(device, dtype))
        else:
            targets = agent.targets(Batch(*(tensor.unsqueeze(0) for tensor in batch)))[0]
            agent.gradient_step(batch, targets)
    return before, weights(agent)


def made_in(subject: Subject, device: torch.device, dtype: torch.dtype) -> SAC | DQN:
    """Return an agent on a device and in a precision, with the initial weights that a CPU makes."""
    kept = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        agent = subject.make(device)
    finally:
        torch.set_default_dtype(kept)
    if isinstance(agent, DQN):  # it converts images to float32
        for network in (agent.network, agent.target_network):
            network.encoder.register_forward_pre_hook(lambda _, given: (wide(given[0], dtype),))
    return agent


def wide(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor in this precision; whole numbers are not converted."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def weights(agent: SAC | DQN) -> Tensor:
    """Return all trained parameters in one vector on the CPU."""
    return torch.cat([one.detach().flatten().cpu() for network in agent.networks for one in network.parameters])
