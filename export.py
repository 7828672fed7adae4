"""Write a run's policy to a file that runs without this project, or to a card for a model hub."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("export")
