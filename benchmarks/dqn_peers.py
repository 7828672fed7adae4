"""The update of DQN in other programs: plain PyTorch in the style of CleanRL, and Stable-Baselines3 if installed."""

import importlib
import importlib.util
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl.replay import Batch

PACKAGES = ("stable_baselines3", "cv2")
INSTALL = "to compare with Stable-Baselines3: pip install --no-deps stable-baselines3 opencv-python-headless"


class EagerDQN:
    """DQN in plain PyTorch: the Nature network as one module, torch's default Adam, images converted for each batch."""

    def __init__(self, actions: int, device: torch.device) -> None:
        self.network, self.target = (self._network(actions).to(device) for _ in range(2))
        self.target.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=6.25e-5, eps=1.5e-4)

    @staticmethod
    def _network(actions: int) -> nn.Module:
        convolutions = (nn.Conv2d(4, 32, 8, stride=4), nn.Conv2d(32, 64, 4, stride=2), nn.Conv2d(64, 64, 3))
        layers = [layer for convolution in convolutions for layer in (convolution, nn.ReLU())]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, actions))

    def update(self, batches: Batch) -> None:
        """Do one gradient step on each batch."""
        for k in range(len(batches.rewards)):
            self.gradient_step(*(tensor[k] for tensor in batches[:5]))

    def gradient_step(
        self, observations: Tensor, actions: Tensor, rewards: Tensor, following: Tensor, terminated: Tensor
    ) -> None:
        """Do one gradient step on a batch."""
        with torch.no_grad():
            targets = rewards + 0.99 * self.target(following / 255.0).max(dim=1).values * (1 - terminated)
        values = self.network(observations / 255.0).gather(1, actions.unsqueeze(1)).squeeze()
        loss = functional.smooth_l1_loss(targets, values)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class Still(gym.Env[np.ndarray, np.int64]):
    """An environment that has spaces, but cannot be stepped."""

    def __init__(self, shape: tuple[int, ...], actions: int) -> None:
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = gym.spaces.Discrete(actions)


class StableBaselines:
    """Stable-Baselines3's DQN with the published settings and a filled replay; an update samples its own batch."""

    def __init__(self, shape: tuple[int, ...], actions: int, batch_size: int, device: torch.device) -> None:
        self.model = make_stable_baselines(Still(shape, actions), 5_000, batch_size, device)
        self.model.set_logger(importlib.import_module("stable_baselines3.common.logger").configure(None, []))
        random = np.random.default_rng(0)
        pictures = random.integers(256, size=(2, 1, *shape), dtype=np.uint8)
        for step in range(5_000):
            action, reward = random.integers(actions, size=(1, 1)), np.sign(random.normal(size=1))
            self.model.replay_buffer.add(pictures[step % 2], pictures[1 - step % 2], action, reward, np.zeros(1), [{}])

    @staticmethod
    def installed() -> bool:
        """Return whether Stable-Baselines3 and what it needs here are installed."""
        return all(importlib.util.find_spec(package) for package in PACKAGES)

    def update(self, updates: int) -> None:
        """Do this many updates."""
        self.model.train(updates, self.model.batch_size)


def make_stable_baselines(
    environment: Any, capacity: int, batch_size: int, device: torch.device, **options: Any
) -> Any:
    """Return Stable-Baselines3's DQN with its convolutional policy.

    It does 4 updates for each step of 4 environments, which is one update per transition.
    """
    return importlib.import_module("stable_baselines3").DQN(
        "CnnPolicy",
        environment,
        learning_rate=6.25e-5,
        buffer_size=capacity,
        batch_size=batch_size,
        gamma=0.99,
        train_freq=1,
        gradient_steps=4,
        target_update_interval=2_000,
        device=device,
        policy_kwargs={"optimizer_kwargs": {"eps": 1.5e-4}},
        **options,
    )
