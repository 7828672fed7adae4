"""Weights & Biases: one W&B run for each run, continued by its id; offline with WANDB_MODE=offline.

W&B's usual settings work: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_DIR, WANDB_RUN_GROUP, WANDB_TAGS.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .tracker import Ending, Tracker

wandb: Any = importlib.import_module("wandb")
CODES = {"finished": 0, "stopped": 0}  # with any other ending W&B shows the run as failed


class WandbTracker(Tracker):
    """W&B's own step counter is the line of metrics, so that W&B skips lines that a resumed run repeats."""

    def begin(self, about: Mapping[str, Any]) -> str | None:
        """Begin or continue the W&B run; return its address if it has one."""
        self.axis, best = about["axis"], "max" if about["metric"]["better"] == "higher" else "min"
        tags = [word for word in os.environ.get("WANDB_TAGS", "").split(",") if word]
        self.run = wandb.init(
            project=about["project"] or os.environ.get("WANDB_PROJECT") or "fire-rl",
            id=about["id"],
            resume="allow",
            name=about["name"],
            group=about["group"],
            job_type=about["kind"],
            tags=[*tags, *about["tags"]] or None,
            config=about["config"],
            allow_val_change=True,
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, init_timeout=120
            ),
        )  # fmt: skip
        self.run.define_metric(self.axis)
        self.run.define_metric("*", step_metric=self.axis)
        self.run.define_metric(about["metric"]["tag"], step_metric=self.axis, summary=best)
        for name in about["counts"]:
            self.run.define_metric(name, hidden=name != self.axis)
        return str(self.run.settings.sync_dir if self.run.offline else self.run.url)

    def scalars(self, values: Mapping[str, float], step: int, line: int) -> None:
        """Record numbers."""
        self.run.log({self.axis: step, **values}, step=line)

    def histogram(self, name: str, values: Sequence[float], step: int, line: int) -> None:
        """Record a histogram."""
        self.run.log({self.axis: step, name: wandb.Histogram(values)}, step=line)

    def picture(self, name: str, path: str, step: int, line: int) -> None:
        """Record a picture."""
        self.run.log({name: wandb.Image(path)}, step=line)  # the line already has its place on the axis

    def finish(self, ending: Ending, summary: Mapping[str, float]) -> None:
        """Record the summary and the ending, and end the W&B run."""
        self.run.summary.update({**summary, "ending": ending})
        self.run.finish(exit_code=CODES.get(ending, 1))
