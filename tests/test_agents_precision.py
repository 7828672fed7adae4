"""bfloat16 is used only for products in the losses of updates. All that is kept, decided or measured is float32."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fire_rl.agents import DQN, SAC, DQNSettings, SACSettings
from fire_rl.fire import Never, NoMethod, PlasticityManager, measure, parse_method, parse_regularizer
from fire_rl.replay import Batch
from fire_rl.training.device import notes_on_precision

METHODS = ("cbp:replacement_rate=0.1,maturity=1,biases=correct,optimizer=renew", "snr:longest=2,apply_every=1")
REGULARIZERS = ("l2-init", "parseval", "spectral", "weight-decay")


def sac() -> SAC:
    sizes = SACSettings(critic_width=32, actor_width=32, critic_blocks=2)
    return SAC(5, 2, sizes, seed=np.random.SeedSequence(0))


def dqn() -> DQN:
    return DQN((4, 10, 10), 3, DQNSettings(network="minatar", hidden_width=32), seed=np.random.SeedSequence(0))


def batches(agent: SAC | DQN) -> Batch:
    lead, draws = (4, 32), torch.Generator().manual_seed(0)
    if isinstance(agent, SAC):
        one, other = (torch.randn(*lead, 5, generator=draws) for _ in range(2))
        action = torch.rand(*lead, 2, generator=draws)
    else:
        one, other = (torch.randint(2, (*lead, 4, 10, 10), generator=draws, dtype=torch.uint8) for _ in range(2))
        action = torch.randint(3, lead, generator=draws)
    return Batch(one, action, torch.randn(lead, generator=draws), other, torch.zeros(lead), steps=torch.ones(lead))


def trained(make: Callable[[], SAC | DQN], text: str, bfloat16: bool) -> tuple[SAC | DQN, dict[str, Tensor]]:
    agent = make()
    if bfloat16:
        agent.captured.precision = "bfloat16"
    regularizers = [parse_regularizer(text)] if text in REGULARIZERS else []
    manager = PlasticityManager(
        agent.plastic(), NoMethod() if regularizers else parse_method(text), Never(), regularizers
    )
    return agent, agent.update(batches(agent), manager)


@pytest.mark.parametrize("make", [sac, dqn])
@pytest.mark.parametrize("text", ["none", *METHODS, *REGULARIZERS])
def test_updates_equal_those_of_float32_up_to_rounding_and_what_is_kept_is_float32(
    make: Callable[[], SAC | DQN], text: str
) -> None:
    (exact, wanted), (rounded, found) = (trained(make, text, bfloat16) for bfloat16 in (False, True))
    for name, value in exact.state_dict().items():
        assert rounded.state_dict()[name].dtype == value.dtype, name
    for name, value in wanted.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], value, rtol=0.05, atol=0.05)
    assert any(not torch.equal(found[name], value) for name, value in wanted.items()), "at least one product is rounded"


@pytest.mark.parametrize("make", [sac, dqn])
def test_decisions_and_measures_are_those_of_float32(make: Callable[[], SAC | DQN]) -> None:
    agent = make()
    batch = batches(agent)
    first = Batch(*(tensor[0] for tensor in batch))
    observations = first.observations.numpy()

    def seen() -> list[Tensor]:
        losses = [loss().detach() for loss in agent.losses(first, 0).values()]
        return [*losses, torch.as_tensor(agent.act(observations, explore=False))]

    before = seen()
    agent.captured.precision = "bfloat16"
    assert all(map(torch.equal, seen(), before))


@pytest.mark.parametrize("make", [sac, dqn])
def test_mixed_precision_around_measures_changes_none(make: Callable[[], SAC | DQN]) -> None:
    agent = make()
    losses = agent.losses(Batch(*(tensor[0] for tensor in batches(agent))), 0)

    def measured() -> list[dict[str, float]]:
        return [measure(network, hessian=True, loss=losses[network.name]) for network in agent.plastic()]

    wanted = measured()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.ones(2, 2).mm(torch.ones(2, 2)).dtype == torch.bfloat16
        assert measured() == wanted


def test_a_run_on_a_cpu_warns_of_a_precision_that_does_nothing_or_harms(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not notes_on_precision("float32", torch.device("cpu"))
    assert notes_on_precision("tf32", torch.device("cpu")) == ("--precision tf32 changes nothing on a CPU",)
    for supported in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda supported=supported: supported)
        assert bool(notes_on_precision("bfloat16", torch.device("cpu"))) is not supported


@pytest.mark.parametrize("newer", ["cuda.matmul", "cudnn.conv", "cudnn"])
def test_precision_can_be_chosen_in_a_program_that_uses_torch_s_newer_names(newer: str) -> None:
    program = f"""
import torch
from fire_rl.agents.captured import products_in
torch.backends.{newer}.fp32_precision = "tf32"
with products_in("float32"):
    assert torch.backends.{newer}.fp32_precision != "tf32" or "{newer}" == "cudnn"
assert torch.backends.{newer}.fp32_precision == "tf32"
"""
    subprocess.run([sys.executable, "-c", program], check=True)
