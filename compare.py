"""Compare methods: every method, seed and environment as a run of its own, and one report of what the curves say."""

from fire_rl.commands import run

if __name__ == "__main__":
    run("compare")
