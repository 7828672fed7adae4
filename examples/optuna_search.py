"""Search for settings with Optuna: `python -m examples.optuna_search --trials 20`; needs `pip install optuna`.

Each trial is a run in a separate folder. A trial whose returns fall behind the others is stopped with a checkpoint, and
can be continued by `train_dqn.py --resume`. Ctrl-C ends the search.
"""

import argparse
import time
from pathlib import Path

import optuna  # type: ignore[import-not-found,unused-ignore]

from fire_rl import training


def main(trials: int, steps: int, folder: Path) -> optuna.Study:
    """Search for the learning rate and the method, and return the study."""

    def objective(trial: optuna.Trial) -> float:
        def report(step: int, value: float) -> bool:
            trial.report(value, step)
            return bool(trial.should_prune())

        rate = trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
        result = training.run(
            "dqn", env="CartPole-v1", preset="quick", steps=steps, eval_every=steps // 5, learning_rate=rate,
            reinit=trial.suggest_categorical("reinit", ["none", "fire"]), run_dir=folder / f"trial-{trial.number}",
            threads=1, on_evaluation=report, quiet=True,
        )  # fmt: skip
        if result.stopped:
            raise KeyboardInterrupt if result.stopped == "signal" else optuna.TrialPruned
        if result.final is None:
            raise optuna.TrialPruned(f"{result.ending} {result.diverged}".rstrip())
        return result.final

    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=2))
    study.optimize(objective, n_trials=trials)
    return study


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps of each trial")
    parser.add_argument("--folder", type=Path, default=Path(f"runs/optuna-{time.strftime('%Y%m%d-%H%M%S')}"))
    given = parser.parse_args()
    found = main(given.trials, given.steps, given.folder)
    print(f"best {found.best_value:.1f} with {found.best_params}")
