"""Make a card: a folder that is ready for a model hub. Nothing is uploaded, and no file of it can execute code."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from fire_rl.fire.record import Record, built_in_restructures

from ..card import CONFIG, PolicyRecord, Score, is_card, read_record
from ..checkpoint import read_checkpoint
from ..described import read_described
from ..durable import Damaged, read_regular
from ..folder import WEIGHTS
from ..learners import config_to_json
from ..policy import Policy
from .about import about, commit, evaluations, version
from .readme import readme

CURVE, PICTURE, README = "curve.csv", "curve.png", "README.md"
ORIGIN = ("command", "branch_from", "versions", "processor", "gpu")  # of a run's config.json, which a card keeps
PICTURE_BYTES, CURVE_BYTES = 4_000_000, 16_000_000  # at most


def card_files(policy: Policy, weights: bytes, score: Score | None, name: str) -> dict[str, bytes]:
    """Return the contents of a card's files by name; `weights` is the content of a safetensors export."""
    origin = read_described(policy.run)
    record = PolicyRecord(policy.step, policy.spaces, _structure(policy), score)
    config = config_to_json(policy.config) | {
        "progress": policy.config.run.progress,
        "metric": asdict(policy.config.metric),
        "library": "fire-rl",
        "version": version(policy),
        "commit": commit(policy),
        **{name: getattr(origin, name) for name in ORIGIN},
        "policy": msgspec.to_builtins(record),
    }
    files = {
        WEIGHTS: weights,
        CONFIG: (json.dumps(config, indent=1, allow_nan=False) + "\n").encode(),
        CURVE: _curve(policy),
    }
    if picture := _file(policy.run / PICTURE, PICTURE_BYTES):
        files[PICTURE] = picture
    text = readme(policy, about(policy, score), score, origin.command, origin.branch_from, name, PICTURE in files)
    return files | {README: text.encode()}


def _structure(policy: Policy) -> dict[str, Any]:
    """Return how events changed the networks' structure, which is needed to load the tensors."""
    if is_card(policy.run):
        return read_record(policy.run).structure
    manager = read_checkpoint(policy.run, policy.step).values.manager
    return Record.from_state(manager, built_in_restructures).state_dict()


def _curve(policy: Policy) -> bytes:
    if is_card(policy.run):
        return _file(policy.run / CURVE, CURVE_BYTES) or b""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow((policy.config.run.progress, policy.config.metric.name, "episodes", "occasion"))
    for line in evaluations(policy):
        rows.writerow((line.steps, line.value, len(line.values), line.occasion))
    return text.getvalue().encode()


def _file(path: Path, at_most: int) -> bytes | None:
    """Return the content of a regular file, or None if there is none."""
    try:
        return bytes(read_regular(path, at_most))
    except Damaged:
        return None
