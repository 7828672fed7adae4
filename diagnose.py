"""Examine a run: whether its networks still learn, and which method gives that back."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("diagnose")
