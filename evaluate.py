"""Evaluate a checkpoint: episodes with starts of their own; mean return and spread."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("evaluate")
