"""What a run folder says: settings, evaluations, events and measures, of runs in progress too."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.algorithms import config_to_json, name_of
from training.files import read_json
from training.policy import read_config, split_run
from training.settings import RunSettings

Array = NDArray[np.float64]

# Settings that may differ between two runs that are compared: what is compared, and what changes no result.
COMPARED = ("reinit", "reinit_every", "reinit_at", "reinit_when", "reinit_cooldown", "regularize", "seed")
HARMLESS = ("threads", "device", "log_every", "checkpoint_every", "checkpoint_at", "measure_hessian", "video")
SCHEDULE = ("reinit_every", "reinit_at", "reinit_when", "reinit_cooldown")


@dataclass(frozen=True)
class Branch:
    """Where a run was continued from."""

    trunk: Path  # resolved where it can be found, else as it was written
    step: int  # environment steps

    def __str__(self) -> str:
        return f"{self.trunk}@{self.step}"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation; `occasion` is "scheduled", "before event" or "after event"."""

    step: int  # environment steps
    mean: float  # return, mean of the episodes; NaN where none ended
    occasion: str


@dataclass(frozen=True)
class NetworkChange:
    """What an event did to one network: sums over its matrices."""

    name: str
    squared_frobenius_error: float
    deviation_before: float
    deviation_after: float


@dataclass(frozen=True)
class EventRecord:
    """One event of a run."""

    step: int  # environment steps
    updates: int
    cause: str  # "schedule", or the trigger that fired
    method: str
    seconds: float
    networks: tuple[NetworkChange, ...]


@dataclass(frozen=True, eq=False)
class Series:
    """One measure of a whole network over time; NaN where it was not a number."""

    steps: Array  # environment steps
    values: Array


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder, read."""

    folder: Path
    agent: str  # "sac" or "dqn"
    env: str
    method: str  # with its options and regularizers, such as "redo:tau=0.1+l2-init"
    seed: int
    steps: int  # planned, in environment steps
    reached: int  # environment steps, of its last whole line
    finished: bool  # its last evaluation is there
    branch: Branch | None
    evaluations: tuple[Evaluation, ...]  # in order; of a branch the trunk's first
    events: tuple[EventRecord, ...]
    measures: Mapping[tuple[str, str], Series]  # by (network, measure), such as ("critic", "dormant")
    seconds: float  # of training so far; a branch's include its trunk's up to the branch
    own_seconds: float  # the same without the trunk's
    updates: int
    updates_per_second: float  # of its own part, evaluations included; NaN before there are any
    action_repeat: int
    replay_ratio: float | str
    settings: Mapping[str, Any] = field(repr=False)  # flat ("run.steps"); runs that differ here are no fair comparison
    schedule: Mapping[str, Any] = field(repr=False)  # of events; runs of one method that differ here are no one method
    made_with: Mapping[str, str] = field(repr=False)  # versions, commit, processor, gpu, threads
    failure: str | None = None  # how it ended that should not have, as its comparison has noted, until it is retried


def read_run(folder: Path, branch: Branch | None = None) -> Run:
    """Everything that the folder says now; its run may be in progress. `branch`: a trunk as a branch of itself."""
    folder = folder.resolve()
    config = read_config(folder)
    described = read_json(folder / "config.json")
    settings = config.run
    lines = _by_kind(folder / "metrics.jsonl")
    branch = branch or _branch(folder, described.get("branch_from"), settings)
    evaluations = tuple(_evaluation(line) for line in lines["evaluation"])
    last = {"environment_steps": 0, "updates": 0} | max(
        (kind[-1] for kind in lines.values() if kind), key=lambda line: line["environment_steps"], default={}
    )
    trunk = [line for line in lines["train"] if branch and line["environment_steps"] <= branch.step]
    start, end = trunk[-1:] or [{}], lines["train"][-1:] or [{}]
    seconds, own = end[0].get("seconds", 0.0), end[0].get("seconds", 0.0) - start[0].get("seconds", 0.0)
    own_updates = end[0].get("updates", 0) - start[0].get("updates", 0)
    return Run(
        folder=folder,
        agent=name_of(config),
        env=settings.env,
        method=settings.method,
        seed=settings.seed,
        steps=settings.steps,
        reached=last["environment_steps"],
        finished=bool(evaluations) and evaluations[-1].step >= settings.steps,
        branch=branch,
        evaluations=evaluations,
        events=tuple(_event(line) for line in lines["event"]),
        measures=_measures(lines["measures"]),
        seconds=seconds,
        own_seconds=own,
        updates=last["updates"],
        updates_per_second=own_updates / own if own > 0 and own_updates else math.nan,
        action_repeat=settings.action_repeat,
        replay_ratio=settings.replay_ratio,
        settings=_flat(config_to_json(config)),
        schedule={name: getattr(settings, name) for name in SCHEDULE},
        made_with=_made_with(described),
        failure=failure_of(folder),
    )


def failure_of(folder: Path) -> str | None:
    """How its run failed, as compare.py notes it beside the run until it is retried."""
    path = folder.parent / "logs" / f"{folder.name}.failed.json"
    if not path.is_file():
        return None
    noted = read_json(path)
    code = f"exit code {noted['code']}" if noted["code"] >= 0 else f"killed by signal {-noted['code']}"
    return f"{code}: {noted['lines'][-1].strip()[-200:]}" if noted["lines"] else code


def _by_kind(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines that are used here, by their kind; those of episodes, by far the most, are not even parsed."""
    found: dict[str, list[dict[str, Any]]] = {"train": [], "evaluation": [], "event": [], "measures": []}
    if not path.exists():
        return found
    with path.open() as file:
        for number, line in enumerate(file, 1):
            if line.startswith('{"kind": "episode"') or not line.endswith("\n"):  # cut short by a kill
                continue
            try:
                value = json.loads(line)
                kind = value["kind"]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number} is no line of metrics: {line[:40].strip()!r}") from error
            if kind in found:
                found[kind].append(value)
    return found


def _branch(folder: Path, source: str | None, settings: RunSettings) -> Branch | None:
    if source is None:
        return None
    path, step = split_run(source)
    trunk = next((place for place in _places(folder, path) if _may_be_trunk(place, settings)), path)
    if step is None:  # from the trunk's newest checkpoint: at its end, or where the method acted
        first = settings.reinit_at[:1] or ((read_config(trunk).run.steps,) if trunk.is_absolute() else ())
        if not first:
            raise ValueError(f"{folder} branches from {source}, which names no step and is not there any more")
        step = first[0]
    return Branch(trunk, settings.reached(step))


def _places(folder: Path, path: Path) -> Iterator[Path]:
    """Where a trunk may be: paths are relative to where the branch was started, and folders may have been moved.

    What is here, where the report is made, comes last: it may be another run of that name.
    """
    for parent in folder.parents:
        yield (parent / path).resolve()
    yield folder.parent / path.name
    yield path.resolve()


def _may_be_trunk(place: Path, settings: RunSettings) -> bool:
    """A branch has its trunk's environment and seed."""
    if not (place / "config.json").is_file():
        return False
    run = read_json(place / "config.json").get("run", {})
    return bool((run.get("env"), run.get("seed")) == (settings.env, settings.seed))


def _evaluation(line: Mapping[str, Any]) -> Evaluation:
    return Evaluation(line["environment_steps"], _number(line["return"]), line.get("occasion", "scheduled"))


def _event(line: Mapping[str, Any]) -> EventRecord:
    networks = tuple(_network(network["name"], network["matrices"]) for network in line["networks"])
    cause = line.get("cause", "schedule")
    return EventRecord(line["environment_steps"], line["updates"], cause, line["method"], line["seconds"], networks)


def _network(name: str, matrices: Sequence[Mapping[str, Any]]) -> NetworkChange:
    figures = ("squared_frobenius_error", "deviation_before", "deviation_after")
    return NetworkChange(name, *(sum(_number(matrix[figure]) for matrix in matrices) for figure in figures))


def _measures(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Series]:
    """Those of whole networks: `network/measure`, not `network/measure/layer`."""
    names = dict.fromkeys(name for line in lines for name in line if name.count("/") == 1)
    steps = np.array([line["environment_steps"] for line in lines], dtype=float)
    found = {}
    for name in names:
        network, _, measure = name.partition("/")
        found[network, measure] = Series(steps, np.array([_number(line.get(name)) for line in lines]))
    return found


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that makes runs differ, by a name such as `agent.gamma`."""
    groups = ((name, values) for name, values in config.items() if isinstance(values, Mapping))
    left_out = {f"run.{name}" for name in (*COMPARED, *HARMLESS)}
    flat = {f"{group}.{name}": value for group, values in groups for name, value in values.items()}
    return {name: value for name, value in flat.items() if name not in left_out}


def _made_with(described: Mapping[str, Any]) -> dict[str, str]:
    values = dict(described.get("versions", {}))
    values |= {name: described[name] for name in ("commit", "processor", "gpu") if described.get(name)}
    return values | {"threads": str(described["run"]["threads"])}


def _number(value: float | None) -> float:
    """Metrics are strict JSON, where what is no number is null."""
    return math.nan if value is None else float(value)
