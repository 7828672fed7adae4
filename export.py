"""Write a run's policy to a file that runs without this project, or to a card for a model hub."""

from training.command_line import main
from training.export.command import body

if __name__ == "__main__":
    main(body)
