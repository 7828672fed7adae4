"""The true next observations of a vector step, where an environment may already have begun its next episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def next_observations(observations: NDArray[Any], infos: Mapping[str, Any]) -> NDArray[Any]:
    """What each environment's action led to: `final_obs` where an episode ended, else the observation.

    `final_obs` may be one array or Gymnasium's array of objects, None where no episode ended.
    """
    if "final_obs" not in infos:
        return observations
    result = observations.copy()
    for row in np.flatnonzero(infos["_final_obs"]):
        result[row] = infos["final_obs"][row]
    return result
