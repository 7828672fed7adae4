"""DQN: a network of action values, a target that is copied from it at intervals, and linearly decreasing exploration.

Mnih et al. 2015, "Human-level control through deep reinforcement learning"; settings as in the experiments of
"FIRE: Frobenius-Isometry Reinitialization" (ICLR 2026): Adam, a smooth-L1 loss without clipping, Xavier weights.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fire_rl.fire import PlasticityManager
from fire_rl.fire.probe import Inputs, plain_run
from fire_rl.replay import Batch, Drawn

from ..captured import Captured, products_in, to_gather
from ..compiled import Compiled
from ..from_host import FromHost
from ..learning import SavedAgent, TrainedNetwork
from ..optimizers import adam
from .networks import make_network
from .policy import DQNPolicy
from .settings import DQNSettings
from .size import TARGETS_AT_ONCE

METRICS = ("loss", "action_value", "td_error")


class DQN(SavedAgent):
    """One network of action values, its target, and a count of decisions that determines exploration."""

    def __init__(
        self,
        observation_shape: tuple[int, ...],
        actions: int,
        settings: DQNSettings,
        *,
        seed: np.random.SeedSequence,
        gamma: float = 0.99,
        scale: float = 1.0,
        exploration_decisions: int = 250_000,
        device: torch.device | str = "cpu",
    ) -> None:
        self.settings, self.gamma, self.device = settings, gamma, torch.device(device)
        self.actions, self.exploration_decisions = actions, exploration_decisions
        weights_seed, acting_seed = (int(child.generate_state(1, np.uint64)[0]) for child in seed.spawn(2))
        # Always on the CPU, so that the exploring environments are known without waiting for the device.
        self.acting_generator = torch.Generator().manual_seed(acting_seed)
        self.generators = {"acting": self.acting_generator}
        self.decisions = self.updates = 0
        self._no_sums = torch.zeros(len(METRICS), device=self.device)
        self._shown = 1.0, torch.ones((), device=self.device)  # a probability of exploration, also on the device

        # Drawn on the CPU, so that every device starts from the same weights.
        size = (settings.network, observation_shape, actions, settings.hidden_width, scale)
        network = make_network(*size)
        network.initialise(torch.Generator().manual_seed(weights_seed))
        self.network = network.to(self.device)
        self.target_network = make_network(*size).to(self.device)
        self.target_network.load_state_dict(self.network.state_dict())
        self.target_network.requires_grad_(False)
        betas = settings.beta1, settings.beta2
        self.optimizer = adam(list(self.network.parameters()), settings.learning_rate, betas, settings.adam_epsilon)
        self.trained = TrainedNetwork("q", self.network, self.optimizer, head=("head",), target=self.target_network)
        self.networks = (self.trained,)
        self.captured = Captured(self.device)
        self.from_host = FromHost(self.captured)
        self.compiled = Compiled()

    # Acting

    def observe(self, observations: np.ndarray) -> None:
        """Do nothing: DQN does not normalise observations by running statistics."""

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Return epsilon-greedy actions, or greedy ones without exploration."""
        if not explore:
            return self.greedy_actions(observations)
        # The number of draws never depends on their values, so that a seed always gives the same sequence.
        draws = torch.rand(1 if self.settings.explore_together else len(observations), generator=self.acting_generator)
        random_actions = self.random_actions(len(observations))
        explores = (draws < self.exploration).numpy()
        self.decisions += len(observations)
        if explores.all():
            return random_actions
        return np.where(explores, random_actions, self.greedy_actions(observations))

    def random_actions(self, count: int) -> np.ndarray:
        """Return uniformly drawn actions."""
        return torch.randint(self.actions, (count,), generator=self.acting_generator).numpy()

    def greedy_actions(self, observations: np.ndarray) -> np.ndarray:
        """Return the actions of the largest values."""
        return self.from_host(self.best_actions, observations, "act", self.structure)

    @torch.no_grad()
    def action_values(self, observations: np.ndarray) -> np.ndarray:
        """Return the values of all actions, (batch, actions)."""
        given = torch.as_tensor(observations, device=self.device)
        with products_in("float32"):
            return np.asarray(self.network(given).cpu().numpy())

    @torch.no_grad()
    def best_actions(self, observations: Tensor) -> Tensor:
        """Return the actions of the largest values, on the device."""
        return self.network(observations).argmax(1)

    def policy(self) -> DQNPolicy:
        """Return the greedy policy, which shares its tensors with this agent."""
        return DQNPolicy(self.network)

    @property
    def exploration(self) -> float:
        """The probability of a random action, after the number of decisions made so far with exploration."""
        initial, final = self.settings.initial_exploration, self.settings.final_exploration
        if self.decisions >= self.exploration_decisions:
            return final
        return initial + (final - initial) * self.decisions / self.exploration_decisions

    # Learning

    def update(self, batches: Batch | Drawn, plasticity: PlasticityManager | None = None) -> dict[str, Tensor]:
        """Take one gradient step per batch; the target network is copied between steps when it is due."""
        given, gather, held = to_gather(batches)

        def call(total: Tensor, *tensors: Tensor) -> Tensor:
            return self.block(total, gather(*tensors), plasticity)

        structure = partial(self.structure, plasticity, held)
        record = plasticity is None or plasticity.capturable
        total = self._no_sums
        updates, done = len(given[0]), 0
        while done < updates:
            stop = min(updates, done + self._targets_at_once())
            inputs = [total, *(tensor[done:stop] for tensor in given)]
            total = self.captured(call, inputs, "update", structure, record)
            self.updates += stop - done
            done = stop
            if self.updates % self.settings.target_every == 0:
                self.copy_into_target()
        metrics = dict(zip(METRICS, (total / updates).unbind(), strict=True))
        return metrics | {"exploration": self._exploration_on_device()}

    def _exploration_on_device(self) -> Tensor:
        """Return the probability of a random action as a tensor, which is made again only when it has changed."""
        exploration = self.exploration
        if exploration != self._shown[0]:
            self._shown = exploration, torch.full((), exploration, device=self.device)
        return self._shown[1]

    def block(self, total: Tensor, batches: Batch, plasticity: PlasticityManager | None = None) -> Tensor:
        """Take updates on K batches, with targets from one pass; return `total` plus the sums of the METRICS."""
        with self.captured.mixed():
            targets_of_all = self.compiled(self.targets)(batches)
        for k, targets in enumerate(targets_of_all):
            total = total + self.gradient_step(Batch(*(tensor[k] for tensor in batches)), targets, plasticity)
        return total

    def _targets_at_once(self) -> int:
        """Return for how many updates one pass of the target network can compute the targets in advance."""
        if self.settings.double:
            return 1
        return min(TARGETS_AT_ONCE, self.settings.target_every - self.updates % self.settings.target_every)

    def gradient_step(self, batch: Batch, targets: Tensor, plasticity: PlasticityManager | None = None) -> Tensor:
        """Take one update, as published, on one batch; return the METRICS as one tensor."""
        with self.captured.mixed():
            values = self.compiled(self.chosen_values)(batch)
        loss = functional.smooth_l1_loss(values, targets)
        self.trained.step(loss, plasticity)
        with torch.no_grad():
            return torch.stack((loss, values.mean(), (values - targets).abs().mean()))

    def chosen_values(self, batch: Batch) -> Tensor:
        """Return the values of the actions that were taken."""
        return self.network(batch.observations).gather(1, batch.actions.unsqueeze(1)).squeeze(1)

    def losses(self, batch: Batch, seed: int) -> dict[str, Callable[[], Tensor]]:
        """Return the temporal-difference loss of the Q-network."""
        targets = self.targets(Batch(*(tensor.unsqueeze(0) for tensor in batch)))[0]
        return {"q": lambda: functional.smooth_l1_loss(self.chosen_values(batch), targets)}

    def inputs(self, batch: Batch) -> dict[str, tuple[Tensor, ...]]:
        """Return the inputs of each network on one batch."""
        return {"q": (batch.observations,)}

    def runs(self, batch: Batch, counts: Mapping[str, int]) -> dict[str, Callable[[], Tensor]]:
        """Return for each network a function that runs it on the given number of a batch's observations."""
        return {"q": lambda: self.network(batch.observations[: counts["q"]])}

    def probed(self, batches: Batch) -> dict[str, Inputs]:
        """Return each network's inputs in K batches, and how it is run on them, for a diagnosis."""
        return {"q": Inputs(batches.observations.unbind(), plain_run)}

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """Return r + gamma^n (1 - terminated) max Q' of K batches; a truncation keeps the next state's value."""
        next_observations = batch.next_observations.flatten(0, 1)
        values = self.target_network(next_observations)
        if self.settings.double:
            chosen = self.network(next_observations).argmax(1, keepdim=True)
            following = values.gather(1, chosen).squeeze(1)
        else:
            following = values.amax(1)
        factors = self.gamma**batch.steps * (1 - batch.terminated)
        return batch.rewards + factors * following.view_as(batch.rewards)

    @torch.no_grad()
    def copy_into_target(self) -> None:
        """Copy the network's parameters into the target, in place."""
        torch._foreach_copy_(list(self.target_network.parameters()), list(self.network.parameters()))

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """Return the saved tensors and the counts of decisions and updates."""
        return super().state_dict() | {"counts": torch.tensor([self.decisions, self.updates])}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the tensors in place, and the counts."""
        super().load_state_dict(state)
        self.decisions, self.updates = (int(count) for count in state["counts"])
