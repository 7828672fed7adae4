"""FIRE in Stable-Baselines3's SAC: python -m examples.stable_baselines3_sac --steps 600"""

import argparse

from stable_baselines3 import SAC

from fire_rl.fire.integrations.stable_baselines3 import PlasticityCallback

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=600)
steps = parser.parse_args().steps

model = SAC("MlpPolicy", "Pendulum-v1", seed=0, device="cpu")
callback = PlasticityCallback("fire", at=steps // 2, verbose=1)
model.learn(steps, callback=callback)

actor, critic = callback.events[0].networks
assert all(matrix.deviation_after < matrix.deviation_before for matrix in (*actor.matrices, *critic.matrices))
