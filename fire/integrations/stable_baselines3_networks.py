"""SB3's networks as `fire_rl.Network` records: their encoder and head, hidden units and losses.

In SAC and TD3 the head is the output layer, and the encoder everything before it. In DQN the head is the last two
linear layers (hidden and output), as in FIRE's publication, and the encoder everything before, such as the convolutions
of NatureCNN. If a DQN has only one hidden layer, that layer is the encoder and the output layer is the head.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from stable_baselines3 import DQN, SAC, TD3
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.dqn.policies import QNetwork
from torch import Tensor, nn
from torch.nn import functional

from ..network import Companion, Network
from ..unit_weights import HiddenLayer
from ..units import chain

Algorithm: TypeAlias = SAC | TD3 | DQN
Initial: TypeAlias = Mapping[str, Mapping[str, Tensor]]  # by network or companion, then by parameter

EXAMPLES = 256  # number of examples for a loss, as everywhere in this package


def plastic_networks(model: Algorithm, initial: Initial | None = None) -> tuple[Network, ...]:
    """Return the networks that methods act on; by default the current weights are taken as the initial ones."""
    if isinstance(model, DQN):
        parts = _q_parts(model.q_net)
        return (_network("q", model.q_net, initial, model.policy.optimizer, model.q_net_target, parts),)
    _refuse_shared(model)
    critic_parts = _last_apart([f"qf{index}" for index in range(model.critic.n_critics)], model.critic)
    critic = _network("critic", model.critic, initial, model.critic.optimizer, model.critic_target, critic_parts)
    if isinstance(model, TD3):
        parts = _last_apart(["mu"], model.actor)
        return (_network("actor", model.actor, initial, model.actor.optimizer, model.actor_target, parts), critic)
    # With state-dependent exploration, log_std is a parameter and not a module.
    parts = (("features_extractor", "latent_pi"), ("mu",) if model.use_sde else ("mu", "log_std"))
    actor = _network("actor", model.actor, initial, model.actor.optimizer, None, parts)
    return (replace(actor, companions=_temperature(model, initial)), critic)


def _network(
    name: str,
    module: nn.Module,
    initial: Initial | None,
    optimizer: torch.optim.Optimizer,
    target: nn.Module | None,
    parts: tuple[tuple[str, ...], tuple[str, ...]],
) -> Network:
    values = module.state_dict() if initial is None else initial[name]
    device = next(module.parameters()).device
    first = {key: value.detach().clone().to(device) for key, value in values.items()}
    return Network(name, module, first, optimizer, target=target, encoder=parts[0], head=parts[1])


def _temperature(model: SAC, initial: Initial | None) -> tuple[Companion, ...]:
    """Return the logarithm of the entropy coefficient as a companion, if SB3 learns it."""
    if model.log_ent_coef is None:
        return ()
    first = model.log_ent_coef if initial is None else initial["temperature"]["0"]
    first = first.detach().clone().to(model.device)
    return (Companion("temperature", (model.log_ent_coef,), (first,), model.ent_coef_optimizer),)


def _refuse_shared(model: SAC | TD3) -> None:
    shared = {id(parameter) for parameter in model.actor.parameters()}
    for name, parameter in model.critic.named_parameters():
        if id(parameter) in shared:
            raise ValueError(
                f"actor and critic share {name!r}, on which methods would act twice: give the model "
                "policy_kwargs={'share_features_extractor': False}"
            )


def _trained(sequence: nn.Module) -> list[str]:
    return [name for name, child in sequence.named_children() if any(True for _ in child.parameters())]


def _last_apart(sequences: Iterable[str], module: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return encoder and head of parallel sequences: all layers but the last of each, and the last layers."""
    encoder, head = ["features_extractor"], []
    for name in sequences:
        *hidden, last = _trained(module.get_submodule(name))
        encoder += [f"{name}.{key}" for key in hidden]
        head.append(f"{name}.{last}")
    return tuple(encoder), tuple(head)


def _q_parts(network: QNetwork) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if isinstance(network.features_extractor, NatureCNN):
        return ("features_extractor.cnn",), ("features_extractor.linear", "q_net")
    if _trained(network.features_extractor):
        return ("features_extractor",), ("q_net",)
    layers = _trained(network.q_net)
    cut = len(layers) - (2 if len(layers) > 2 else 1)
    return tuple(f"q_net.{key}" for key in layers[:cut]), tuple(f"q_net.{key}" for key in layers[cut:])


def group_heads(model: DQN) -> None:
    """Move the whole head into `q_net`, with the same layers, so that injection can replace it as one module."""
    for network in (model.q_net, model.q_net_target):
        _group_head(network)


def _group_head(network: QNetwork) -> None:
    extractor: nn.Module = network.features_extractor
    encoder: list[nn.Module]
    layers = list(network.q_net)
    if isinstance(extractor, NatureCNN):
        encoder, head = [extractor.cnn], [*extractor.linear, *layers]
    elif not _trained(extractor):
        cut = int(_q_parts(network)[1][0].removeprefix("q_net."))
        encoder, head = [extractor, *layers[:cut]], layers[cut:]
    else:
        return
    network.features_extractor = cast(Any, nn.Sequential(*encoder))
    network.q_net = nn.Sequential(*head)


# Units


def declare_units(model: Algorithm) -> None:
    """Tell `fire_rl.hidden_layers` the order in which the modules run, since SB3's modules do not declare units."""
    for module in model.policy.modules():
        if isinstance(module, NatureCNN):
            _declare(module, ("cnn", "linear"))
    if isinstance(model, DQN):
        _declare(model.q_net, (*_features(model.q_net), "q_net"))
    elif isinstance(model, TD3):
        _declare(model.actor, (*_features(model.actor), "mu"))
    else:
        hidden = (*_features(model.actor), "latent_pi")
        # State-dependent exploration also reads the last hidden units, through a parameter that is not a layer.
        heads = () if model.use_sde else ("mu", "log_std")
        _declare(model.actor, *((*hidden, head) for head in heads or ("latent_pi",)))


def _features(module: nn.Module) -> tuple[str, ...]:
    if isinstance(module.features_extractor, NatureCNN):
        return ("features_extractor.cnn", "features_extractor.linear")
    return ("features_extractor",)


def _declare(module: nn.Module, *paths: tuple[str, ...]) -> None:
    vars(module)["plastic_units"] = partial(_along, module, paths)


def _along(module: nn.Module, paths: Iterable[tuple[str, ...]]) -> Iterator[HiddenLayer]:
    """Yield the hidden layers on several paths through a module; units before a branching are read on all paths."""
    found: dict[str, HiddenLayer] = {}
    for path in paths:
        for layer in chain((name, module.get_submodule(name)) for name in path):
            known = found.get(layer.name, replace(layer, outgoing=()))
            names = {weights.name for weights in known.outgoing}
            new = tuple(weights for weights in layer.outgoing if weights.name not in names)
            found[layer.name] = replace(known, outgoing=(*known.outgoing, *new))
    yield from found.values()


# Losses


def losses(model: Algorithm, seed: int) -> dict[str, Callable[[], Tensor]]:
    """Return each network's training loss, as a function, on examples from the replay buffer.

    The global random generators of numpy and torch, which SB3 uses, are left as they were.
    """
    assert model.replay_buffer is not None
    if not model.replay_buffer.size():
        raise ValueError("the method needs examples, but the replay buffer is still empty")
    model.policy.set_training_mode(False)  # as SB3 leaves it while it collects experience
    with _own_streams(seed), torch.no_grad():
        batch = model.replay_buffer.sample(EXAMPLES, env=model.get_vec_normalize_env())
        discounts = getattr(batch, "discounts", None)
        factors = (1 - batch.dones) * (model.gamma if discounts is None else discounts)
        targets = batch.rewards + factors * _following_values(model, batch.next_observations)
    if isinstance(model, DQN):
        return {"q": partial(_q_loss, model, batch, targets)}
    return {"actor": partial(_actor_loss, model, batch, seed), "critic": partial(_critic_loss, model, batch, targets)}


@contextmanager
def _own_streams(seed: int) -> Iterator[None]:
    # SB3 samples its replay buffer with numpy's global generator.
    kept = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(kept)  # noqa: NPY002


def _following_values(model: Algorithm, observations: Tensor) -> Tensor:
    """Return the target networks' values of the next observations, (batch, 1)."""
    if isinstance(model, DQN):
        return model.q_net_target(observations).amax(1, keepdim=True)
    if isinstance(model, TD3):
        actions = model.actor_target(observations)
        noise = model.target_policy_noise * torch.randn_like(actions)
        noise = noise.clamp(-model.target_noise_clip, model.target_noise_clip)
        return torch.cat(model.critic_target(observations, (actions + noise).clamp(-1, 1)), 1).amin(1, keepdim=True)
    actions, log_density = model.actor.action_log_prob(observations)
    values = torch.cat(model.critic_target(observations, actions), 1).amin(1, keepdim=True)
    return values - _coefficient(model) * log_density.reshape(-1, 1)


def _coefficient(model: SAC) -> Tensor:
    return model.ent_coef_tensor if model.log_ent_coef is None else model.log_ent_coef.detach().exp()


def _q_loss(model: DQN, batch: Any, targets: Tensor) -> Tensor:
    return functional.smooth_l1_loss(model.q_net(batch.observations).gather(1, batch.actions.long()), targets)


def _critic_loss(model: SAC | TD3, batch: Any, targets: Tensor) -> Tensor:
    errors = torch.stack(model.critic(batch.observations, batch.actions)) - targets
    loss = errors.square().mean((1, 2)).sum()
    return loss if isinstance(model, TD3) else 0.5 * loss


def _actor_loss(model: SAC | TD3, batch: Any, seed: int) -> Tensor:
    if isinstance(model, TD3):
        return -model.critic.q1_forward(batch.observations, model.actor(batch.observations)).mean()
    with _own_streams(seed):
        actions, log_density = model.actor.action_log_prob(batch.observations)
    values = torch.cat(model.critic(batch.observations, actions), 1).amin(1)
    return (_coefficient(model) * log_density.reshape(-1) - values).mean()
