"""Free the disk space of finished runs."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("slim")
