"""What is known of how published results were made, and how that differs from the comparison's own runs.

The files contain steps, seeds and returns. For how many steps an action was repeated, and how many episodes an
evaluation had, is only known from the repositories; it is listed here by the methods' names in the files. Sources:
DAVIAN-Robotics/SimbaV2 at 86899c2 (configs/), danielpalenicek/xqc at 9a6832b (conf/), Holiday-Robot/FlashSAC at 87edc90
(scripts/; none of its environments repeats actions). All three count environment steps, including those of repeated
actions. Nothing is known about the baselines in those files, such as TD-MPC2.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fire_rl.envs.reference_scores import References
from fire_rl.training.lines import FINAL_SHARE

from ..analysis.records import Run

LARGEST_SHARE = 1.5  # a larger value is hardly a normalised score


@dataclass(frozen=True)
class Protocol:
    """The facts about a method that its file does not contain."""

    repeats: tuple[tuple[str, int], ...]  # environment steps of one action, by a pattern of environment names
    episodes: int  # of each evaluation

    def action_repeat(self, env: str) -> int | None:
        """Return for how many environment steps an action is repeated in this environment; None if not known."""
        return next((repeat for pattern, repeat in self.repeats if re.fullmatch(pattern, env)), None)


ANY_H1, GYMNASIUM, OTHERS = r"h1[-_].+", r".+-v\d+", r".+"
PROTOCOLS = {
    "simba": Protocol(((ANY_H1, 2), (GYMNASIUM, 1), (OTHERS, 2)), 10),
    "xqc": Protocol(((ANY_H1, 2), (GYMNASIUM, 1), (OTHERS, 2)), 10),
    "flashsac": Protocol(((OTHERS, 1),), 50),
}


def protocol_of(method: str) -> Protocol | None:
    """Return the protocol of a method, found by how its name begins: simbaV2_utd2, xqc, FlashSAC."""
    return next((found for name, found in PROTOCOLS.items() if method.lower().startswith(name)), None)


def differences(
    method: str, env: str, runs: Sequence[Run], ours: Sequence[Run], references: References | None
) -> Iterator[str]:
    """Yield how the published runs of an environment, cut where our runs end, differ from ours."""
    yield from _seeds(runs, ours)
    planned, last = max(run.steps for run in ours), max(run.reached for run in runs)
    if last < planned:
        yield f"its last evaluation is at step {last:,}, and the runs here have {planned:,} steps"
    late = sorted({_late(run) for run in runs})
    here = sorted({_late(run) for run in ours if run.finished})
    if here and late != here:
        yield (
            "its number of evaluations in the last tenth of the steps, whose mean is the final return, is "
            f"{_listed(late)}, and ours is {_listed(here)}"
        )
    yield from _known(method, env, ours)
    highest = max(each.mean for run in runs for each in run.evaluations)
    if references and highest <= LARGEST_SHARE < references.random:
        yield (
            f"no value is above {highest:.3g}, and a random policy's return is {references.random:.4g}: the values "
            "look like normalised scores, but are read as returns"
        )


def _seeds(runs: Sequence[Run], ours: Sequence[Run]) -> Iterator[str]:
    counts = sorted({sum(each.method == name for each in ours) for name in {run.method for run in ours}})
    if counts != [len(runs)]:
        yield f"it has {len(runs)} seed{'s' * (len(runs) != 1)}, and the methods here have {_listed(counts)}"


def _late(run: Run) -> int:
    """Return the number of evaluations whose mean is the final return."""
    last = run.evaluations[-1].step if run.evaluations else 0
    return sum(each.step >= (1 - FINAL_SHARE) * last and each.occasion == "scheduled" for each in run.evaluations)


def _known(method: str, env: str, ours: Sequence[Run]) -> Iterator[str]:
    protocol, names = protocol_of(method), ("action_repeat", "eval_episodes", "eval_steps")
    repeats, episodes, fixed = ({run.settings.get(f"run.{name}") for run in ours} for name in names)
    if protocol is None:
        return  # one sentence about all such methods says this
    repeat = protocol.action_repeat(env)
    if repeat is not None and repeats != {repeat}:
        yield (
            f"each of its actions is repeated for {repeat} environment step{'s' * (repeat > 1)}, ours for "
            f"{_listed(repeats)}: at the same step, it has made a different number of decisions"
        )
    if fixed != {None}:
        yield f"it was evaluated on {protocol.episodes} whole episodes, our runs for a fixed number of steps"
    elif episodes != {protocol.episodes}:
        yield f"each of its evaluations has {protocol.episodes} episodes, each of ours {_listed(episodes)}"


def _listed(values: Iterable[object]) -> str:
    return " or ".join(sorted(map(str, values)))
