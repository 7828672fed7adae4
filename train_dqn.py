"""Train DQN on Atari, MinAtar or any task with countable actions, with or without a remedy for lost plasticity."""

from collections.abc import Sequence
from dataclasses import replace

from agents import DQNSettings
from envs import PUBLISHED_ATARI, AtariSettings
from training.command_line import Preset, main, read_command_line
from training.dqn import DQNRun
from training.session import run
from training.settings import RunSettings

PUBLISHED = RunSettings(
    env="Breakout",
    steps=2_500_000,
    num_envs=4,
    action_repeat=1,
    replay_ratio=1,
    learning_starts=20_000,
    eval_every=250_000,
    eval_steps=125_000,
    log_every=10_000,
    checkpoint_every=250_000,
)
PRESETS = {
    "standard": Preset(
        DQNRun(replace(PUBLISHED, eval_steps=None)),
        "the published agent on games as ALE v5 has them; evaluations of 10 episodes",
    ),
    "paper": Preset(
        DQNRun(PUBLISHED, atari=PUBLISHED_ATARI),
        "the published setting of FIRE's Atari experiments, its preprocessing and long evaluations too",
    ),
    "atari100k": Preset(
        DQNRun(
            RunSettings(
                env="Breakout",
                steps=100_000,
                num_envs=1,
                action_repeat=1,
                replay_ratio=1,
                learning_starts=1_600,
                eval_every=10_000,
                checkpoint_every=10_000,
            ),
            DQNSettings(learning_rate=1e-4, double=True, n_steps=10, exploration_steps=5_000, explore_together=False),
            AtariSettings(sticky=0.0, noop_max=30, terminal_on_life_loss=True),
        ),
        "100,000 steps, double Q-learning, 10-step returns; up to 30 no-ops, lost lives as ends, nothing sticky",
    ),
    "quick": Preset(
        DQNRun(
            RunSettings(
                env="MinAtar/Breakout-v1",
                steps=100_000,
                num_envs=4,
                action_repeat=1,
                replay_ratio=1,
                learning_starts=2_000,
                replay_capacity=100_000,
                eval_every=5_000,
                checkpoint_every=25_000,
            ),
            DQNSettings(learning_rate=2.5e-4, target_every=1_000),
        ),
        "MinAtar/Breakout-v1, minutes on two CPU cores",
    ),
}
DESCRIPTION = """Train DQN. A game's name is enough: --env Breakout.

  With no preset this is the published agent of the FIRE paper on games as ALE v5 has them.
  An Atari step is one decision, --frame-skip emulator frames. --steps, --eval-every, --checkpoint-every, --reinit-at,
  --exploration-steps and @STEP count environment steps of all environments together; --reinit-every and
  --target-every count gradient updates. Higher replay ratios: --replay-ratio 2 up to 16."""


def train(arguments: Sequence[str]) -> int:
    return run(read_command_line(arguments, PRESETS, "train_dqn.py", DESCRIPTION))


if __name__ == "__main__":
    main(train)
