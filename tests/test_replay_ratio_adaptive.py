"""The adaptive replay ratio: the published rule, no debt when it rises, and a count that resumes exactly.

`regularizers_reference.json` holds what Guozheng-Ma/Adaptive-Replay-Ratio (commit dae0d09) does: the update at which
its
`Workspace.train` raises the ratio, with replacements for the environment (episodes of a few decisions) and the agent
(counters as in its `update_critic`; the fractions of active units are given as a sequence). The sequence "trained
critic" comes from that repository's critic, trained on a moving target, and is in the file.
`python -m tests.fixtures.make_regularizers` runs the loop again.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from fire_rl.replay import AdaptiveRatio, ReplayRatio

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "regularizers_reference.json").read_text())
RUNS = REFERENCE["adaptive"]["runs"]

SEQUENCES = {
    "trained critic": REFERENCE["adaptive"]["trained critic"],
    "dip": [0.5 - 0.3 * math.exp(-(((n - 150) / 60) ** 2)) + 0.002 * math.sin(37.0 * n) for n in range(1500)],
    "constant": [0.4] * 1500,
    "falling": [0.6 - 0.0002 * n for n in range(1500)],
}


def settled(**rule: Any) -> AdaptiveRatio:
    """Return a ratio that rose after its first check, at the second observation."""
    ratio = AdaptiveRatio(check_every=2, window=1, **rule)
    assert [ratio.observe(0.5), ratio.observe(0.5)] == [False, True]
    return ratio


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run['sequence']}-{run['check_freq']}-{run['gap']}")
def test_the_ratio_rises_where_the_published_code_raises_it(run):
    per_episode = run["decisions_per_episode"] // 2  # updates, at the low ratio of 0.5
    ratio = AdaptiveRatio(
        tolerance=run["gap"], check_every=run["check_freq"] * per_episode, window=per_episode
    )  # observed at every update, as in the published code
    done, raised_at = 0, None
    for decision in range(1201):
        for _ in range(ratio.owed(1)):
            if ratio.observe(SEQUENCES[run["sequence"]][done]):
                raised_at = decision + 1
            done += 1
        if ratio.raised:
            break
    assert raised_at == run["switch_at_decision"]
    if raised_at is not None:
        assert done == run["updates_while_low"]


def test_the_references_rise_and_do_not_rise():
    rises = [run["switch_at_decision"] for run in RUNS]
    assert None in rises
    assert len({rise for rise in rises if rise}) >= 4


def test_updates_come_at_the_low_ratio_and_then_at_the_high_one():
    ratio = AdaptiveRatio(low=0.5, high=2.0, check_every=2, window=2)
    assert [ratio.owed(1) for _ in range(6)] == [0, 1, 0, 1, 0, 1]
    ratio.observe(0.5)
    assert (ratio.ratio, ratio.raised) == (0.5, False)
    ratio.observe(0.5)
    assert (ratio.ratio, ratio.raised) == (2.0, True)
    assert [ratio.owed(1) for _ in range(3)] == [2, 2, 2]


def test_raising_the_ratio_creates_no_debt():
    ratio = AdaptiveRatio(low=0.25, high=4.0, check_every=2, window=1)
    ratio.owed(1001)
    ratio.observe(0.5)
    ratio.observe(0.5)
    assert ratio.owed(1) == 4


def test_a_raised_ratio_stays_raised():
    ratio = settled()
    assert not any(ratio.observe(value) for value in (0.1, 0.9, 0.2, 0.2, 0.2))
    assert ratio.ratio == 2.0


@pytest.mark.parametrize(("second", "raised"), [(0.5, True), (0.5009, True), (0.5011, False), (0.4, False)])
def test_only_averages_of_windows_that_agree_raise_it(second, raised):
    ratio = AdaptiveRatio(check_every=3, window=2)
    for value in (0.7, 0.4, 0.6):  # the average of the last two is 0.5, which is far from the first observation
        assert not ratio.observe(value)
    answers = [ratio.observe(value) for value in (0.0, second, second)]
    assert answers == [False, False, raised]


def test_the_first_average_is_compared_with_the_first_observation():
    ratio = AdaptiveRatio(check_every=3, window=1)
    assert [ratio.observe(value) for value in (0.5, 0.1, 0.5)] == [False, False, True]


@pytest.mark.parametrize("stop", range(0, 400, 37))
def test_it_continues_exactly_where_it_was(stop):
    def go_on(ratio: AdaptiveRatio, begin: int, end: int) -> list[Any]:
        sequence = SEQUENCES["dip"]
        return [(ratio.observe(sequence[n]), ratio.owed(3), ratio.ratio) for n in range(begin, end)]

    rule: dict[str, Any] = {"low": 0.3, "high": 1.7, "tolerance": 0.002, "check_every": 20, "window": 7}
    whole, first, second = AdaptiveRatio(**rule), AdaptiveRatio(**rule), AdaptiveRatio(**rule)
    expected = go_on(whole, 0, 500)
    assert whole.raised, "the part after the rise is resumed too"
    begun = go_on(first, 0, stop)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert begun + go_on(second, stop, 500) == expected
    assert second.state_dict() == whole.state_dict()


def test_another_rule_or_a_fixed_ratio_counts_from_where_it_is_loaded():
    raised = settled()
    raised.owed(100)
    other = AdaptiveRatio(tolerance=0.01)
    other.load_state_dict(raised.state_dict())
    assert (other.raised, other.observations, other.owed(4)) == (True, 0, 8), "a raised ratio stays raised"

    fixed = ReplayRatio(3)
    fixed.load_state_dict(raised.state_dict())
    assert fixed.owed(1) == 3
    same = ReplayRatio(2)
    same.load_state_dict(raised.state_dict())
    assert (same.transitions, same.updates) == (100, 200)
    back = AdaptiveRatio()
    back.load_state_dict(same.state_dict())
    assert (back.raised, back.owed(4)) == (False, 2)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"low": 2.0, "high": 0.5}, "low=2 and high=0.5"),
        ({"low": 0.0}, "replay ratio 0"),
        ({"high": math.inf}, "replay ratio inf"),
        ({"tolerance": -0.1}, "tolerance=-0.1"),
        ({"tolerance": math.nan}, "tolerance=nan"),
        ({"window": 0}, "window=0"),
        ({"check_every": 5, "window": 6}, "window=6 given; allowed is 1 to check_every=5"),
    ],
)
def test_rules_that_are_not_possible_are_refused_in_one_line(rule, message):
    with pytest.raises(ValueError, match=message) as error:
        AdaptiveRatio(**rule)
    assert "\n" not in str(error.value)
