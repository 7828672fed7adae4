"""MLflow: one MLflow run for each run, found again by a tag, at MLFLOW_TRACKING_URI or MLflow's default place.

The tag `fire_rl.line` holds the number of the newest recorded line of metrics, so that lines which a resumed run
repeats are skipped: MLflow would keep both.
"""

import contextlib
import importlib
import logging
import os
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from .tracker import Ending, Tracker

mlflow: Any = importlib.import_module("mlflow")
entities: Any = importlib.import_module("mlflow.entities")
MOST_METRICS, MOST_PARAMS = 900, 100  # in one request: MLflow accepts 1,000 entries, tags included
LONGEST_PARAM = 500  # characters that every version of MLflow accepts
TRIES = 8  # tries to make the database's tables and an experiment, which other runs may make at the same time
STATUS = {"finished": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "stopped": "KILLED", "killed": "KILLED"}
LINE, ID = "fire_rl.line", "fire_rl.id"


class MlflowTracker(Tracker):
    """Its experiment is --track-project, MLFLOW_EXPERIMENT_NAME, the group, or fire-rl: the first that is set."""

    def begin(self, about: Mapping[str, Any]) -> str | None:
        """Begin or continue the MLflow run; return its address if it has one."""
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.waiting: list[Any] = []
        self.line = self.known = -1  # the newest recorded line, now and when the run was continued
        for tries in range(TRIES):
            try:
                self.client = mlflow.MlflowClient()
                experiment = self._experiment(about)
                break
            except Exception:
                if tries == TRIES - 1:
                    raise
                time.sleep(random.uniform(0.5, 1.5) * (tries + 1))
        found = self.client.search_runs([experiment], f"tags.`{ID}` = '{about['id']}'", max_results=1)
        tags = {ID: about["id"], "kind": about["kind"], **({"group": about["group"]} if about["group"] else {})}
        tags |= {f"metric.{name}": str(about["metric"][name]) for name in ("tag", "unit", "better")}
        tags |= {f"tag.{word}": "true" for word in about["tags"]}
        if found:
            self.id = found[0].info.run_id
            self.line = self.known = int(found[0].data.tags.get(LINE, -1))
            self.client.update_run(self.id, status="RUNNING")
        else:
            self.id = self.client.create_run(experiment, tags=tags, run_name=about["name"]).info.run_id
        given = found[0].data.params if found else {}
        params = {_key(name): str(value)[:LONGEST_PARAM] for name, value in about["config"].items()}
        new = [entities.Param(name, value) for name, value in params.items() if name not in given]
        for piece in _pieces(new, MOST_PARAMS):  # MLflow keeps the old value of a changed setting
            self.client.log_batch(self.id, params=piece)
        return f"run {self.id} of experiment {experiment} at {mlflow.get_tracking_uri()}"

    def _experiment(self, about: Mapping[str, Any]) -> str:
        name = about["project"] or os.environ.get("MLFLOW_EXPERIMENT_NAME") or about["group"] or "fire-rl"
        if (number := os.environ.get("MLFLOW_EXPERIMENT_ID")) and not about["project"]:
            return number
        if (found := self.client.get_experiment_by_name(name)) is not None:
            return str(found.experiment_id)
        return str(self.client.create_experiment(name))

    def scalars(self, values: Mapping[str, float], step: int, line: int) -> None:
        """Record numbers, unless MLflow has this line already."""
        if line <= self.known:
            return
        now = int(time.time() * 1000)
        self.waiting += [entities.Metric(_key(name), value, now, step) for name, value in values.items()]
        self.line = line
        if len(self.waiting) > MOST_METRICS:
            self.flush()

    def picture(self, name: str, path: str, step: int, line: int) -> None:
        """Record a picture as an artifact."""
        with contextlib.suppress(FileNotFoundError):
            self.client.log_artifact(self.id, path)

    def flush(self) -> None:
        """Send all waiting numbers."""
        pieces = list(_pieces(self.waiting, MOST_METRICS))
        for piece in pieces:
            tags = [entities.RunTag(LINE, str(self.line))] if piece is pieces[-1] else []
            self.client.log_batch(self.id, metrics=piece, tags=tags)
        self.waiting = []

    def finish(self, ending: Ending, summary: Mapping[str, float]) -> None:
        """Record the summary and the ending, and end the MLflow run."""
        self.flush()
        for name, value in summary.items():
            self.client.log_metric(self.id, _key(name), value)
        self.client.set_tag(self.id, "ending", ending)
        self.client.set_terminated(self.id, STATUS[ending])


def _key(name: str) -> str:
    """Return a name with only the characters that MLflow allows."""
    return re.sub(r"[^\w\-./ ]", "_", name)[:250]


def _pieces(values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    each = iter(values)
    while piece := list(islice(each, size)):
        yield piece
