"""Measure whether a run's networks can still learn, and which method restores that."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("diagnose")
