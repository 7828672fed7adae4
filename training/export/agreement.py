"""Compare an exported file's outputs with those of `load_policy`; a file that differs too much is not written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fire_rl.agents.learning import ValuingAgent
from fire_rl.envs.kept_spaces import KeptDiscrete

from ..policy import Policy

TOLERANCE = 1e-5
VALUES = "action_values"  # the name of the output with action values, for agents that have them
ONES = 3  # so many observations are also given one at a time, because a file takes batches of any size

Run = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]  # a file's outputs for a batch of observations


@dataclass(frozen=True)
class Agreement:
    """The largest difference, and on how many observations another action, tied within rounding, was the greedy one."""

    largest: float
    ties: int
    observations: int
    source: str
    quantity: str

    @property
    def said(self) -> str:
        """The agreement in words."""
        ties = f"; on {self.ties} of them another action, of the same value within rounding" if self.ties else ""
        return (
            f"largest difference of {self.quantity} from load_policy {self.largest:.1e} on {self.observations:,} "
            f"observations {self.source}{ties}"
        )


def agreement(policy: Policy, run: Run, observations: NDArray[Any], source: str) -> Agreement:
    """Return the agreement of a file and the policy; raise ValueError, in one line, if they do not agree.

    Differences of actions are divided by half the range of actions if that is above 1; differences of action values by
    the observation's largest absolute value if that is above 1.
    """
    names = policy.module().outputs
    given = np.ascontiguousarray(observations, dtype=input_dtype(policy))
    outputs = _outputs(run, given)
    if len(outputs) != len(names):
        raise ValueError(f"not written: the file gives {len(outputs)} outputs, the policy names {', '.join(names)}")
    actions, results = outputs[0], dict(zip(names, outputs, strict=True))  # the actions come first, whatever their name
    if not isinstance(policy.spaces.action, KeptDiscrete):
        found = _of_actions(policy, actions, observations, source)
    elif isinstance(policy.agent, ValuingAgent) and VALUES in results:
        found = _of_values(policy, actions, results[VALUES], observations, source)
    else:
        found = _of_choices(policy, actions, observations, source)
    if not found.largest <= TOLERANCE:  # written so that NaN fails too
        raise ValueError(f"not written: {found.said}; allowed is {TOLERANCE:.0e}")
    return found


def input_dtype(policy: Policy) -> type[Any]:
    """Return the dtype of a file's input: uint8 for pictures, float32 for everything else."""
    return np.uint8 if policy.spaces.observation.dtype == "uint8" else np.float32


def _outputs(run: Run, given: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the outputs for the whole batch, the first few replaced by those for single observations."""
    results = [np.array(result) for result in run(given)]
    for place in range(min(ONES, len(given))):
        for result, alone in zip(results, run(given[place : place + 1]), strict=True):
            result[place] = alone[0]
    return results


def _of_actions(policy: Policy, actions: NDArray[Any], observations: NDArray[Any], source: str) -> Agreement:
    space = policy.spaces.action.space()
    half = np.maximum(1.0, (space.high.astype(np.float64) - space.low) / 2)  # type: ignore[union-attr]
    expected = policy.act(observations).astype(np.float64)
    found = actions.astype(np.float64)
    if found.shape != expected.shape:
        raise ValueError(f"not written: actions have shape {found.shape}, those of load_policy {expected.shape}")
    return Agreement(float(np.abs((found - expected) / half).max()), 0, len(observations), source, "actions")


def _of_values(
    policy: Policy, actions: NDArray[Any], values: NDArray[Any], observations: NDArray[Any], source: str
) -> Agreement:
    expected = policy.action_values(observations).astype(np.float64)
    scale = np.maximum(1.0, np.abs(expected).max(1))
    if values.shape != expected.shape:
        raise ValueError(f"not written: {VALUES} have shape {values.shape}, those of load_policy {expected.shape}")
    differences = np.abs(values - expected).max(1) / scale
    start = policy.spaces.action.start  # type: ignore[union-attr]
    rows, theirs, ours = np.arange(len(expected)), actions - start, policy.act(observations) - start
    others = theirs != ours
    if (theirs < 0).any() or (theirs >= expected.shape[1]).any():
        raise ValueError("not written: the file gives actions that the environment does not have")
    gaps = np.abs(expected[rows, ours] - expected[rows, theirs]) / scale
    if (wrong := others & ~(gaps <= TOLERANCE)).any():
        raise ValueError(
            f"not written: {wrong.sum()} of {len(expected):,} greedy actions differ from load_policy's "
            f"by more than rounding, {gaps[wrong].max():.1e}, on observations {source}"
        )
    return Agreement(float(differences.max()), int(others.sum()), len(expected), source, "action values")


def _of_choices(policy: Policy, actions: NDArray[Any], observations: NDArray[Any], source: str) -> Agreement:
    """Return the agreement for an agent without action values: all actions have to be equal."""
    expected = policy.act(observations)
    if actions.shape != expected.shape:
        raise ValueError(f"not written: actions have shape {actions.shape}, those of load_policy {expected.shape}")
    if wrong := int((actions != expected).sum()):
        raise ValueError(
            f"not written: {wrong} of {len(expected):,} actions differ from load_policy's, on observations {source}"
        )
    return Agreement(0.0, 0, len(expected), source, "actions")
