"""Train soft actor-critic on a continuous task, with or without a method that restores plasticity."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("sac")
