"""The policy of any agent as one torch module, from raw observations to the environment's own actions."""

import torch
from torch import Tensor, nn

from fire_rl.agents.agent import Agent
from fire_rl.agents.learning import ExportableAgent
from fire_rl.envs.kept_spaces import KeptDiscrete, KeptSpaces

BOUNDS = ("low", "high")  # tensors of the module that repeat the bounds of the action space


class PolicyModule(nn.Module):
    """An agent's policy with actions as the environment takes them: in its bounds, or counted from its first action.

    Called with observations (batch, *observation), it returns the tensors named by `outputs`, with the actions first.
    Actions are scaled in the same way as by `fire_rl.envs.world.to_environment` in NumPy.
    """

    low: Tensor
    high: Tensor

    def __init__(self, policy: nn.Module, spaces: KeptSpaces) -> None:
        super().__init__()
        self.policy, action = policy, spaces.action
        self.outputs: tuple[str, ...] = getattr(policy, "outputs", ("action",))
        self.start = action.start if isinstance(action, KeptDiscrete) else 0
        self.scaled = False
        if not isinstance(action, KeptDiscrete):
            space = action.space()
            self.scaled = not ((space.low == -1).all() and (space.high == 1).all())
            self.register_buffer("low", torch.as_tensor(space.low, dtype=torch.float32))
            self.register_buffer("high", torch.as_tensor(space.high, dtype=torch.float32))

    def forward(self, observations: Tensor) -> tuple[Tensor, ...]:
        """Return the actions, and the policy's other outputs."""
        action, *others = self.policy(observations)
        if self.scaled:
            action = self.low + (action + 1) / 2 * (self.high - self.low)
            action = torch.minimum(torch.maximum(action, self.low), self.high)
        elif self.start:
            action = action + self.start
        return (action, *others)


def module_of(agent: Agent, spaces: KeptSpaces) -> PolicyModule:
    """Return the module of an agent's policy, which shares the agent's tensors; raise ValueError if there is none."""
    if not isinstance(agent, ExportableAgent):
        raise ValueError(
            f"{type(agent).__name__} has no `policy()`, which gives its policy as a torch module: "
            "fire_rl.agents.sac.policy is an example"
        )
    if not isinstance(spaces.action, KeptDiscrete) and not spaces.action.dtype.startswith("float"):
        raise ValueError(f"actions of {spaces.action.dtype} cannot be exported; allowed are float32 and float64")
    return PolicyModule(agent.policy(), spaces)
