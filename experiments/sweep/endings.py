"""The messages at the end of a comparison: which runs failed, diverged or could not begin, and what to do about it."""

import sys

from fire_rl.place import typed
from fire_rl.training.checkpoint import steps_of
from fire_rl.training.divergence import OF_THE_ENVIRONMENT
from fire_rl.training.tracking.names import is_own

from ..failure import log_path
from ..kept import TRUNK
from .conduct import Sweep
from .grid import Job

OWN_CODE = {"--env", "--reinit", "--regularize"}  # flags that --resume repeats if they name the user's own code


def say_endings(sweep: Sweep) -> None:
    """Print the messages about all runs without a result, and about those that diverged."""
    _say_failures(sweep)
    _say_emptied(sweep)
    _say_divergences(sweep)


def _say_failures(sweep: Sweep) -> None:
    for job in sweep.jobs:
        failure = sweep.failed.get(job.folder)
        if failure is None:
            continue
        print(f"\n{job.name} failed: {failure.reason}; the last lines of {log_path(job.folder)}:", file=sys.stderr)
        for line in failure.lines:
            print(f"    {line}", file=sys.stderr)
    if sweep.failed:
        print("\nthe same command with --retry runs the failed ones again", file=sys.stderr)


def _say_emptied(sweep: Sweep) -> None:
    for trunk in [job for job in sweep.jobs if job.folder in sweep.emptied]:
        waiting = ", ".join(branch.name for branch in _without_trunk(sweep, trunk))
        print(
            f"\n{waiting} cannot branch from {trunk.name} at step {trunk.stop:,}: the trunk's checkpoint or its replay "
            f"is gone; delete the trunk's folder, {trunk.folder}, and the same command trains it again",
            file=sys.stderr,
        )


def _say_divergences(sweep: Sweep) -> None:
    for job, divergence in [(job, sweep.diverged[job.folder]) for job in sweep.jobs if job.folder in sweep.diverged]:
        waiting = ", ".join(branch.name for branch in _without_trunk(sweep, job))
        print(f"\n{job.name} diverged {divergence.said}" + (f"; {waiting} cannot branch from it" if waiting else ""))
        if divergence.quantity in OF_THE_ENVIRONMENT:
            print(f"    {job.env} gave it: look for the cause in the environment, not in the agent or the method")
        elif steps := steps_of(job.folder):  # all of them are good: after a divergence none is written
            words = ["--branch-from", f"{job.folder}@{steps[-1]}", "--reinit", "fire"]
            own = OWN_CODE & set(job.resumed_with) or any(map(is_own, job.resumed_with))
            words += ["--trust", str(job.folder)] if own else []
            print(f"    from its last good checkpoint: {typed(job.agent, *words)}")
    if any(job.folder in sweep.diverged and job.method != TRUNK for job in sweep.jobs):
        print(
            "\nA run that diverged has a result: from there on it counts with the value of a policy that fails. It is "
            "not run again."
        )
    if sweep.diverged:
        print("What may help: a lower --learning-rate (in another --dir), a method such as fire, or a branch from an")
        print("earlier checkpoint.")


def _without_trunk(sweep: Sweep, trunk: Job) -> list[Job]:
    return [job for job in sweep.jobs if job.trunk == trunk.folder and sweep.state(job) == "no trunk"]
