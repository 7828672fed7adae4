"""The parts on the costs of the measures of plasticity and of checkpoints."""

import tempfile
from functools import partial
from pathlib import Path

from fire_rl.training.checkpoint import Checkpoint, Values, write_checkpoint
from fire_rl.training.durable import DurableStore
from fire_rl.training.files import METRICS
from fire_rl.training.progress import Progress

from ..measures import UPDATES, Name, make_subject
from ..timing import pace, seconds
from . import subjects
from .part import Figures, Rows, Setting

EXAMPLES = 256  # for a measurement


def measurements(setting: Setting, rows: Rows) -> None:
    """Add rows for all measures of each agent, without and with the Hessian's largest eigenvalue."""
    names: tuple[Name, ...] = ("sac-quick", "minatar-quick") if setting.quick else ("sac", "nature")
    for name in names:
        rows.add(name, partial(measurement, setting, name, hessian=False))
    for name in names:
        rows.add(f"{name}, with the Hessian", partial(measurement, setting, name, hessian=True))


def measurement(setting: Setting, name: Name, hessian: bool) -> Figures:
    """Return the milliseconds of a measurement, and their share of the 1,000 updates between two measurements."""
    subject = make_subject(name, EXAMPLES, setting.place)
    subject.agent.captured.on = True
    updates = len(subject.batches.rewards)
    update = pace(subject.update, setting.place, 0.05 if setting.quick else setting.seconds / 2).done / updates
    call = partial(subject.measure, hessian)
    first = seconds(call, setting.place)
    best = min(seconds(call, setting.place) for _ in range(1 if hessian else 3))
    share = 100 * best / (UPDATES * update)
    return {"ms, first": 1e3 * first, "ms": 1e3 * best, f"% of {UPDATES:,} updates": share}


def checkpoints(setting: Setting, rows: Rows) -> None:
    """Add rows for checkpoints of SAC at its published size: the agent, and new transitions of the replay."""
    rows.add("the agent", partial(checkpoint_of_agent, setting))
    count = 2_000 if setting.quick else 25_000  # those of 50,000 environment steps
    rows.add(f"{count:,} new transitions", partial(checkpoint_of_replay, setting, count))


def checkpoint_of_agent(setting: Setting) -> Figures:
    """Return the size of the agent's tensors, and the seconds of writing them as a checkpoint to the disk."""
    agent = subjects.sac(setting.place, setting.quick).make(setting.place)
    state = agent.state_dict()
    size = sum(tensor.nbytes for tensor in state.values())
    to_host = min(seconds(lambda: [tensor.cpu() for tensor in state.values()], setting.place) for _ in range(3))
    values = Values(Progress(), {"steps": 0}, {}, {METRICS: 0})
    checkpoint = Checkpoint(state, {}, values, ())
    with tempfile.TemporaryDirectory() as folder:
        write = partial(write_checkpoint, Path(folder), 0, checkpoint)
        return {"MB": size / 1e6, "s": seconds(write, setting.place), "of that to the host": to_host}


def checkpoint_of_replay(setting: Setting, count: int) -> Figures:
    """Return the size of new transitions, and the seconds of writing them to the disk."""
    replay = subjects.transitions(count, setting.place)
    to_host = min(seconds(replay.rows.cpu, setting.place) for _ in range(3))
    with tempfile.TemporaryDirectory() as folder:
        write = partial(replay.save, DurableStore(Path(folder)))
        return {"MB": replay.rows.nbytes / 1e6, "s": seconds(write, setting.place), "of that to the host": to_host}
