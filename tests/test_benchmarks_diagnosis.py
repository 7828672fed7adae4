"""The rate of false alarms is measured on networks that are independent of each other."""

import pytest
from torch import nn

from benchmarks import diagnosis


@pytest.mark.parametrize(("kind", "make"), [("dqn", "q_network"), ("sac", "critic")])
def test_every_fresh_network_has_inputs_and_comparison_networks_of_its_own(
    kind: str, make: str, monkeypatch: pytest.MonkeyPatch
):
    seeds, made = list[int](), getattr(diagnosis, make)

    def recorded(seed: int) -> nn.Module:
        seeds.append(seed)
        return made(seed)

    monkeypatch.setattr(diagnosis, make, recorded)
    numbers = (0, 1, 2, 50, 51, 100)
    benches = [diagnosis.fresh_case(kind, number, 10)[0] for number in numbers]
    each = 1 + 2 * benches[0].probe.seeds  # the examined network, the fresh ones, and those whose outputs are targets
    assert len(set(seeds)) == len(seeds) == len(numbers) * each
    batches = [bench.data.batches[0] for bench in benches]
    inputs = [batch if kind == "dqn" else batch[0] for batch in batches]
    assert len({float(each[0, 0]) for each in inputs}) == len(numbers)
