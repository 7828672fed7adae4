"""Soft actor-critic with SimBa networks. An update is in the published order: actor, temperature, critic, target.

Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications"; Lee et al. 2025, "SimBa"; settings and order
as in the experiments of "FIRE: Frobenius-Isometry Reinitialization" (ICLR 2026).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from fire_rl.fire import Companion, PlasticityManager
from fire_rl.fire.probe import Inputs
from fire_rl.replay import Batch, Drawn

from ..captured import Captured, to_gather
from ..compiled import Compiled
from ..from_host import FromHost
from ..learning import SavedAgent, TrainedNetwork
from ..optimizers import adamw, optimizer_tensors, take_step
from .networks import Actor, Critic, squashed_sample
from .policy import SACPolicy
from .settings import SACSettings
from .statistics import RunningStatistics

METRICS = ("actor_loss", "critic_loss", "temperature", "entropy", "action_value")


class SAC(SavedAgent):
    """An actor, an ensemble of critics as one batched product, their target, and a temperature."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        settings: SACSettings,
        *,
        seed: np.random.SeedSequence,
        gamma: float = 0.99,
        device: torch.device | str = "cpu",
    ) -> None:
        self.settings, self.gamma, self.device = settings, gamma, torch.device(device)
        self.action_size = action_size
        self.target_entropy = settings.target_entropy_scale * action_size
        weights_seed, acting_seed, update_seed = (int(child.generate_state(1, np.uint64)[0]) for child in seed.spawn(3))
        self.acting_generator = torch.Generator(self.device).manual_seed(acting_seed)
        self.update_generator = torch.Generator(self.device).manual_seed(update_seed)
        self.generators = {"acting": self.acting_generator, "update": self.update_generator}

        # Drawn on the CPU, so that every device starts from the same weights.
        generator = torch.Generator().manual_seed(weights_seed)
        actor = Actor(observation_size, action_size, settings.actor_width, settings.actor_blocks)
        critic = Critic(observation_size, action_size, settings.critic_width, settings.critic_blocks, settings.critics)
        actor.initialise(generator)
        critic.initialise(generator)
        self.actor, self.critic = actor.to(self.device), critic.to(self.device)
        self.target_critic = Critic(
            observation_size, action_size, settings.critic_width, settings.critic_blocks, settings.critics
        ).to(self.device)
        self.target_critic.load_state_dict(self.critic.state_dict())
        self.target_critic.requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(settings.initial_temperature), device=self.device))
        self.statistics = RunningStatistics(observation_size).to(self.device)

        adam = (settings.learning_rate, (settings.beta1, settings.beta2), settings.epsilon)
        self.temperature_optimizer = adamw([self.log_temperature], *adam, 0.0)
        temperature = Companion(
            "temperature", (self.log_temperature,), (self.log_temperature.detach().clone(),), self.temperature_optimizer
        )
        actor_optimizer = adamw(list(self.actor.parameters()), *adam, settings.weight_decay)
        critic_optimizer = adamw(list(self.critic.parameters()), *adam, settings.weight_decay)
        self.trained_actor = TrainedNetwork(
            "actor", self.actor, actor_optimizer, head=("mean", "log_std"), companions=(temperature,)
        )
        self.trained_critic = TrainedNetwork(
            "critic", self.critic, critic_optimizer, head=("value",), target=self.target_critic
        )
        self.networks = (self.trained_actor, self.trained_critic)
        self.captured = Captured(self.device)
        self.from_host = FromHost(self.captured)
        self.compiled = Compiled()

    # Acting

    def observe(self, observations: np.ndarray) -> None:
        """Add observations to the running statistics, if observations are normalised."""
        if self.settings.normalize_observations:
            self.from_host(self.statistics.update, observations, "observe")

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Return actions drawn from the policy, or tanh of its mean without exploration."""
        call = partial(self.actions, explore=explore)
        return self.from_host(call, observations, ("act", explore), self.structure)

    @torch.no_grad()
    def actions(self, observations: Tensor, explore: bool) -> Tensor:
        """Return actions on the device; exploration draws noise from the acting generator."""
        mean, log_std = self.actor(self._normalise(observations))
        if explore:
            noise = torch.randn(mean.shape, generator=self.acting_generator, device=self.device)
            mean = mean + log_std.exp() * noise
        return torch.tanh(mean)

    def random_actions(self, count: int) -> np.ndarray:
        """Return actions drawn uniformly from [-1, 1]."""
        uniform = torch.rand(count, self.action_size, generator=self.acting_generator, device=self.device)
        return (2 * uniform - 1).cpu().numpy()

    def policy(self) -> SACPolicy:
        """Return the deterministic policy, which shares its tensors with this agent."""
        return SACPolicy(self.actor, self.statistics if self.settings.normalize_observations else None)

    def _normalise(self, observations: Tensor) -> Tensor:
        return self._normalising()(observations)

    def _normalising(self) -> Callable[[Tensor], Tensor]:
        return self.statistics.normalising() if self.settings.normalize_observations else Tensor.float

    # Learning

    def noise(self, updates: int, batch_size: int) -> Tensor:
        """Draw standard normal noise for K updates, for the actor's and the target's samples: (K, 2, batch, action)."""
        shape = (updates, 2, batch_size, self.action_size)
        return torch.randn(shape, generator=self.update_generator, device=self.device)

    def update(self, batches: Batch | Drawn, plasticity: PlasticityManager | None = None) -> dict[str, Tensor]:
        """Take one gradient step of critics, actor and temperature on each batch."""
        inputs, gather, held = to_gather(batches)

        def call(*tensors: Tensor) -> Tensor:
            return self.block(gather(*tensors), plasticity)

        structure = partial(self.structure, plasticity, held)
        means = self.captured(call, inputs, "update", structure, record=plasticity is None or plasticity.capturable)
        return dict(zip(METRICS, means.unbind(), strict=True))

    def block(self, batches: Batch, plasticity: PlasticityManager | None = None) -> Tensor:
        """Take updates on K batches of raw observations; return the mean METRICS."""
        updates, batch_size = batches.rewards.shape
        noise = self.noise(updates, batch_size)
        batches = self.normalised(batches)
        total = torch.zeros(len(METRICS), device=self.device)
        for k in range(updates):
            total += self.gradient_step(Batch(*(tensor[k] for tensor in batches)), noise[k], plasticity)
        return total / updates

    def gradient_step(self, batch: Batch, noise: Tensor, plasticity: PlasticityManager | None = None) -> Tensor:
        """Take one update, as published, on normalised observations; return the METRICS as one tensor.

        `noise` has the shape (2, batch, action).
        """
        temperature = self.temperature
        with self.captured.mixed():
            actor_loss, log_density = self.compiled(self.actor_loss)(batch.observations, noise[0], temperature)
        self.trained_actor.step(actor_loss, plasticity)

        entropy = -log_density.detach().mean()
        # The loss alpha (H - target) is its own gradient in log alpha.
        self.log_temperature.grad = temperature * (entropy - self.target_entropy)
        take_step(self.temperature_optimizer)

        temperature = self.temperature
        with self.captured.mixed():
            targets = self.compiled(self.critic_targets)(batch, noise[1], temperature)
            critic_loss, values = self.compiled(self.critic_loss)(batch, targets)
        self.trained_critic.step(critic_loss, plasticity)

        self.move_target()
        with torch.no_grad():
            return torch.stack((actor_loss, critic_loss, temperature, entropy, values.mean()))

    @property
    def temperature(self) -> Tensor:
        """The present temperature alpha, a number on the device through which no gradient flows."""
        return self.log_temperature.detach().exp()

    @torch.no_grad()
    def move_target(self) -> None:
        """Move the target towards the critic, including frozen parameters, such as the old head of an injection."""
        targets: list[Tensor] = list(self.target_critic.parameters())
        torch._foreach_lerp_(targets, list[Tensor](self.critic.parameters()), self.settings.target_rate)

    def actor_loss(self, observations: Tensor, noise: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean(alpha log pi - min Q), in which the critic and alpha are not trained, and log pi."""
        mean, log_std = self.actor(observations)
        actions, log_density = squashed_sample(mean, log_std, noise)
        values = self.critic(observations, actions).amin(0)
        return (temperature * log_density - values).mean(), log_density

    @torch.no_grad()
    def critic_targets(self, batch: Batch, noise: Tensor, temperature: Tensor) -> Tensor:
        """Return r + gamma (1 - terminated) (min Q' - alpha log pi'); a truncation keeps the next state's value."""
        mean, log_std = self.actor(batch.next_observations)
        actions, log_density = squashed_sample(mean, log_std, noise)
        values = self.target_critic(batch.next_observations, actions).amin(0)
        soft_values = values - temperature * log_density
        return batch.rewards + self.gamma * (1 - batch.terminated) * soft_values

    def critic_loss(self, batch: Batch, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the squared errors, averaged over the batch and summed over the members, and the members' values."""
        values = self.critic(batch.observations, batch.actions)
        return (values - targets).square().mean(1).sum(), values

    def losses(self, batch: Batch, seed: int) -> dict[str, Callable[[], Tensor]]:
        """Return functions for the losses of actor and critic on raw observations.

        The noise is drawn from `seed` on the CPU, so that it is the same on every device.
        """
        shape = (2, len(batch.rewards), self.action_size)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self.device)
        batch = self.normalised(batch)
        targets = self.critic_targets(batch, noise[1], self.temperature)
        return {
            "actor": lambda: self.actor_loss(batch.observations, noise[0], self.temperature)[0],
            "critic": lambda: self.critic_loss(batch, targets)[0],
        }

    @torch.no_grad()
    def inputs(self, batch: Batch) -> dict[str, tuple[Tensor, ...]]:
        """Return the inputs of each network on one batch of raw observations."""
        observations = self._normalise(batch.observations)
        return {"actor": (observations,), "critic": (observations, batch.actions)}

    def runs(self, batch: Batch, counts: Mapping[str, int]) -> dict[str, Callable[[], Tensor]]:
        """Return for each network in `counts` a function that runs it on that number of a batch's raw observations."""
        with torch.no_grad():
            observations = self._normalise(batch.observations)
        actor, critic = (slice(counts.get(name, 0)) for name in ("actor", "critic"))
        runs: dict[str, Callable[[], Tensor]] = {
            "actor": lambda: self.actor(observations[actor]),
            "critic": lambda: self.critic(observations[critic], batch.actions[critic]),
        }
        return {name: run for name, run in runs.items() if name in counts}

    @torch.no_grad()
    def normalised(self, batch: Batch) -> Batch:
        """Return batches with normalised observations, as the networks take them."""
        normalise = self._normalising()
        return batch._replace(
            observations=normalise(batch.observations), next_observations=normalise(batch.next_observations)
        )

    def probed(self, batches: Batch) -> dict[str, Inputs]:
        """Return each network's inputs in K batches of raw observations, and how it is run on them, for a diagnosis."""
        observations = self.normalised(batches).observations.unbind()
        pairs = list(zip(observations, batches.actions.unbind(), strict=True))
        # The actor's means before they are squashed, (examples, actions), and all critics' values, (examples, critics).
        return {
            "actor": Inputs(observations, lambda actor, given: actor(given)[0]),
            "critic": Inputs(pairs, lambda critic, pair: critic(*pair).mT),
        }

    def other_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the observation statistics, and the temperature with its optimizer's state."""
        yield from ((f"statistics.{name}", value) for name, value in self.statistics.state_dict().items())
        yield "log_temperature", self.log_temperature.detach()
        held = optimizer_tensors(self.temperature_optimizer, ["log_temperature"])
        yield from ((f"optimizer.temperature.{name}", value) for name, value in held)
