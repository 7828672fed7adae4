"""Train soft actor-critic on a continuous task, with or without a remedy for lost plasticity."""

from collections.abc import Sequence

from agents import SACSettings
from training.command_line import Preset, main, read_command_line
from training.sac import SACRun
from training.session import run
from training.settings import RunSettings

PRESETS = {
    "paper": Preset(SACRun(), "the published setting"),
    "quick": Preset(
        SACRun(
            RunSettings(
                steps=30_000,
                learning_starts=1_000,
                eval_every=2_000,
                log_every=500,
                checkpoint_every=7_500,
            ),
            SACSettings(critic_width=128, actor_width=64, batch_size=128, learning_rate=3e-4),
        ),
        "narrower networks, minutes on two CPU cores",
    ),
}
DESCRIPTION = """Train SAC with SimBa networks. With no preset this is the published setting of the FIRE paper;
--preset quick is the same in narrower networks and takes minutes on two CPU cores.
--steps, --eval-every, --checkpoint-every, --reinit-at and @STEP count environment steps; --reinit-every counts
gradient updates; --learning-starts and --replay-capacity count decisions (environment steps / --action-repeat)."""


def train(arguments: Sequence[str]) -> int:
    return run(read_command_line(arguments, PRESETS, "train_sac.py", DESCRIPTION))


if __name__ == "__main__":
    main(train)
