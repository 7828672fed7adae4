"""On a simulated device: which transfers between it and the host there are in updates, and in whole decisions."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fixtures.pretend_device import METHODS, REGULARIZERS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.fixtures.pretend_device"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=one_thread, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return cast(dict[str, Any], json.loads(done.stdout))


def test_the_device_records_what_waits_or_moves_and_nothing_else(found: dict[str, Any]) -> None:
    seen = found["seen"]
    assert all(seen[name] for name in ("item", "branch", "mask", "constant", "out")), seen
    assert not seen["number"]
    assert not seen["made there"]


@pytest.mark.parametrize("agent", ["SAC", "DQN"])
@pytest.mark.parametrize("method", [*METHODS, *REGULARIZERS])
def test_nothing_is_transferred_in_a_block_of_updates(found: dict[str, Any], agent: str, method: str) -> None:
    assert found[f"{agent} {method}"]["updates"] == [[], []]


def test_units_were_replaced_meanwhile(found: dict[str, Any]) -> None:
    for agent in ("SAC", "DQN"):
        for method in METHODS:
            if "=" in method:
                assert sum(found[f"{agent} {method}"]["figures"].values()), (agent, method)


@pytest.mark.parametrize("agent", ["SAC", "DQN"])
def test_a_decision_transfers_the_observation_and_the_action(found: dict[str, Any], agent: str) -> None:
    assert found[f"{agent} decision"] == ["copy_", "_to_copy"]
    assert found[f"{agent} the same observation"] == ["_to_copy"], "it is already there"


@pytest.mark.parametrize("when", ["in an episode", "at its end", "after it"])
def test_a_whole_decision_also_transfers_the_places_that_are_drawn_and_what_the_replay_stores(
    found: dict[str, Any], when: str
) -> None:
    """The replay stores one row, or the frames and the notes of a step."""
    observation, action, places = "copy_", "_to_copy", "_to_copy"
    assert found[f"SAC {when}"] == [observation, action, places, "copy_"]
    assert found[f"DQN {when}"] == [observation, action, places, "copy_", "copy_"]
