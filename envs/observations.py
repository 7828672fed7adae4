"""The true next observations of a vector's step, after which an environment may already be in its next episode."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def next_observations(observations: NDArray[Any], infos: Mapping[str, Any]) -> NDArray[Any]:
    """Return the observation that each action led to: `final_obs` where an episode ended, else the observation.

    `final_obs` may be one array, or Gymnasium's array of objects, which are None where no episode ended.
    """
    if "final_obs" not in infos:
        return observations
    result = observations.copy()
    for row in np.flatnonzero(infos["_final_obs"]):
        result[row] = infos["final_obs"][row]
    return result
