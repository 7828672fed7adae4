"""A robot's control loop with numpy and onnxruntime: python examples/robot_loop.py FILE.onnx (from `export.py`)."""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]


def robot(read_sensors: Callable[[], Any], move: Callable[[Any], object], path: str, decisions: int) -> None:
    """Make a number of decisions. Sensors must give raw observations as the environment did: the policy scales them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kind = np.uint8 if session.get_inputs()[0].type == "tensor(uint8)" else np.float32
    for _ in range(decisions):
        observation = np.asarray(read_sensors(), dtype=kind)[None]  # a batch of one
        action = session.run(["action"], {"observation": observation})[0][0]
        move(action)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    about = onnxruntime.InferenceSession(sys.argv[1]).get_modelmeta().custom_metadata_map
    shape = json.loads(about["observation_space"])["shape"]
    robot(lambda: np.zeros(shape), print, sys.argv[1], decisions=3)
