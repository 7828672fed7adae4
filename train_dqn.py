"""Train DQN on Atari, MinAtar or any task with discrete actions, with or without a method that restores plasticity."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("dqn")
