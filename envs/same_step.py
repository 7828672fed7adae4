"""What the vectors of this package have in common: resets of some of their members, and the infos of ended episodes."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


def members_to_reset(options: Mapping[str, Any] | None, count: int, begun: bool) -> NDArray[np.bool_]:
    """Return which of `count` members a reset is for: those of Gymnasium's option `reset_mask`, without it all.

    Raise ResetNeeded if no episode has begun and the reset is not for all.
    """
    if not options or "reset_mask" not in options:
        return np.ones(count, dtype=np.bool_)
    mask = np.asarray(options["reset_mask"])
    if mask.shape != (count,) or mask.dtype != np.bool_ or not mask.any():
        given = f"reset_mask has shape {mask.shape} and type {mask.dtype}"
        raise ValueError(f"{given}; allowed are {count} truth values, one or more of them True")
    if not (begun or mask.all()):
        raise gym.error.ResetNeeded("call reset() for all environments before reset() for some of them")
    return mask


def require_reset_of_all(options: Mapping[str, Any] | None) -> None:
    """Raise ValueError if a reset is for some members only, where the vector cannot do this."""
    if options and "reset_mask" in options:
        raise ValueError("options hold reset_mask; allowed are only resets of all members together")


def with_ends(infos: Mapping[str, Any], observations: NDArray[Any], over: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the infos of a step in which episodes ended, as Gymnasium's vectors with same-step autoreset give them.

    `infos` has an array for each name, and its mask as `_name`. The values of members whose episode is over move into
    `final_info`; `observations`, which are not copied, become `final_obs`.
    """
    final_info: dict[str, Any] = {}
    result = {"final_obs": observations, "_final_obs": over, "final_info": final_info, "_final_info": over}
    for name in [name for name in infos if "_" + name in infos]:
        values, present = infos[name], infos["_" + name]
        final_info[name], final_info["_" + name] = values, over & present
        result[name], result["_" + name] = np.where(over, 0.0, values), ~over & present
    return result
