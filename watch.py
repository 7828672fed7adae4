"""Watch an episode: a video of a checkpoint's policy or of random actions."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("watch")
