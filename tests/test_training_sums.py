"""Sums of training metrics are those of a plain loop, bit by bit."""

import torch

from fire_rl.training.sums import Sums


def test_sums_are_those_of_a_loop_bit_by_bit():
    generator, sums, plain = torch.Generator().manual_seed(0), Sums(), dict[str, torch.Tensor]()
    for updates in (2, 3, 1, 7):
        for names in ("abc", "ac"):
            means = {name: torch.randn((), generator=generator) for name in names}
            sums.add(means, updates)
            plain = plain | {name: plain.get(name, 0) + mean * updates for name, mean in means.items()}
    assert list(sums.by_name) == list(plain)
    assert all(torch.equal(sums.by_name[name], value) for name, value in plain.items())
    assert sums.means(26) == {name: float(value / 26) for name, value in plain.items()}


def test_a_sum_of_negative_zeros_is_zero():
    sums = Sums()
    sums.add({"loss": torch.tensor(-0.0)}, 2)
    assert str(sums.means(2)["loss"]) == "0.0"


def test_what_is_added_is_not_changed_and_holds_no_graph():
    restored, loss = torch.ones(()), torch.ones((), requires_grad=True)
    sums = Sums({"loss": restored})
    for _ in range(2):
        sums.add({"loss": loss * 2}, 3)
        sums.add({}, 3)
    assert (restored.item(), loss.item()) == (1, 1)
    assert not sums.by_name["loss"].requires_grad
    assert sums.means(13) == {"loss": 1.0}


def test_there_are_no_means_without_updates():
    assert Sums().means(0) == {}
