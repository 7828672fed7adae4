"""Train a language model on texts that come in phases, with or without a method that restores plasticity."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("language")
