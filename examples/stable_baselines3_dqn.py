"""Reset the head of Stable-Baselines3's DQN, save, load and continue: python -m examples.stable_baselines3_dqn"""

import argparse
import tempfile
from pathlib import Path

from stable_baselines3 import DQN

from fire_rl.fire.integrations.stable_baselines3 import PlasticityCallback

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=2000)
steps = parser.parse_args().steps

model = DQN("MlpPolicy", "CartPole-v1", train_freq=1, seed=0, device="cpu")
model.learn(steps // 2, callback=PlasticityCallback("reset-head", every=steps // 5, regularizers=["l2-init"]))

with tempfile.TemporaryDirectory() as folder:
    model.save(Path(folder) / "model")  # this also saves the initial weights and the record of events
    model = DQN.load(Path(folder) / "model", env=model.get_env())
callback = PlasticityCallback("redo:tau=0.025", every=steps // 5)
model.learn(steps // 2, callback=callback, reset_num_timesteps=False)

print(*(f"{event.method} after {event.position.updates} updates" for event in callback.events), sep="\n")
assert [event.method for event in callback.events][-1] == "redo:tau=0.025"
