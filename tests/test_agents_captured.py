"""Captured graphs, as far as they can be tested without a GPU: when a call is captured, and with which inputs."""

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from fire_rl.agents.captured import WARM_UP, Captured, Precision, products_in
from fire_rl.agents.from_host import FromHost
from fire_rl.agents.sac import SAC, SACSettings
from fire_rl.fire import (
    Method,
    MethodNetwork,
    Never,
    NoMethod,
    PlasticityManager,
    Position,
    parse_method,
    parse_regularizer,
)
from fire_rl.replay import Batch, FrameReplay, TransitionReplay
from tests.fixtures.pretended_cuda import CARD

SIZES = 5, 2


def capturing() -> Captured:
    captured = Captured(CARD)
    captured.on = True
    return captured


def doubled(value: Tensor) -> Tensor:
    return 2 * value


def test_the_fourth_call_of_a_kind_is_captured_and_later_ones_get_their_own_inputs(cuda: list[str]) -> None:
    captured = capturing()
    results = [captured(doubled, [torch.full((3,), float(number))], "double") for number in range(WARM_UP + 4)]
    assert cuda.count("captured") == 1
    assert [float(result[0]) for result in results] == [2.0 * number for number in range(WARM_UP + 4)]


def test_each_kind_and_each_shape_keeps_its_own_graph(cuda: list[str]) -> None:
    captured, held = capturing(), torch.zeros(1)
    for _ in range(WARM_UP + 3):
        captured(doubled, [torch.ones(3)], "double")
        captured(doubled, [torch.ones(4)], "double")
        captured(doubled, [torch.ones(3)], "other", lambda: [held])
    assert cuda.count("captured") == 3


def test_calls_on_other_tensors_are_captured_again_even_where_their_values_are_equal(cuda: list[str]) -> None:
    captured = capturing()
    for parameter in (torch.ones(2), torch.ones(2)):
        for _ in range(WARM_UP + 2):
            captured(doubled, [torch.ones(3)], "double", partial(list, [parameter]))
    assert cuda.count("captured") == 2


@pytest.mark.parametrize("settings", [(1e-3, (0.9, 0.999), 2), (3, (0.5, (7,)), True)])
def test_numbers_that_are_equal_need_no_other_capture(settings: tuple[Any, ...], cuda: list[str]) -> None:
    captured = capturing()
    for _ in range(WARM_UP + 3):
        captured(doubled, [torch.ones(3)], "double", lambda: [pickle.loads(pickle.dumps(one)) for one in settings])
    assert cuda.count("captured") == 1


@pytest.mark.parametrize("other", [1.5, 1, True, (1.0,), "1.0", None])
def test_another_number_or_one_of_another_type_needs_another_capture(other: object, cuda: list[str]) -> None:
    captured = capturing()
    for constant in (1.0, other):
        for _ in range(WARM_UP + 2):
            captured(doubled, [torch.ones(3)], "double", partial(list, [constant]))
    assert cuda.count("captured") == 2


def test_nothing_is_captured_when_capturing_is_off(cuda: list[str]) -> None:
    captured = capturing()
    for _ in range(WARM_UP + 2):
        captured(doubled, [torch.ones(3)], "double", record=False)
    captured.on = False
    for _ in range(WARM_UP + 2):
        captured(doubled, [torch.ones(3)], "double")
    assert not cuda


def switches() -> list[bool]:
    convolutions = torch.backends.cudnn
    return [torch.backends.cuda.matmul.allow_tf32, convolutions.allow_tf32, convolutions.deterministic]


def fail_within(precision: Precision, seen: list[list[bool]]) -> None:
    with products_in(precision):
        seen.append(switches())
        raise KeyError


def test_products_have_the_requested_precision_only_inside() -> None:
    before, seen = switches(), list[list[bool]]()
    for precision in get_args(Precision)[::-1]:
        with pytest.raises(KeyError):
            fail_within(precision, seen)
        assert switches() == before
    assert seen == [[False, False, True], [True, True, True], [False, False, True]]


def test_from_the_host_and_back_without_a_gpu() -> None:
    captured = Captured(torch.device("cpu"))
    assert FromHost(captured)(doubled, np.arange(3.0), "double").tolist() == [0, 2, 4]
    assert not len(FromHost(captured)(lambda value: None, np.arange(3.0), "nothing"))


def test_decisions_use_float32_whatever_updates_use(cuda: list[str]) -> None:
    captured, seen = capturing(), list[list[bool]]()
    captured.precision = "tf32"
    from_host = FromHost(captured)

    def noted(value: Tensor) -> Tensor:
        seen.append(switches())
        return value

    from_host(noted, np.ones(3), "act")
    captured(noted, [torch.ones(3)], "update")
    assert seen == [[False, False, True], [True, True, True]]


def filled_transitions() -> TransitionReplay:
    replay, random = TransitionReplay(50, *SIZES), np.random.default_rng(0)
    for _ in range(70):
        one, other, action = random.normal(size=(3, 1, SIZES[0]))
        replay.add(one, action[:, : SIZES[1]], np.ones(1), other, np.zeros(1, bool), np.zeros(1, bool))
    return replay


def filled_frames() -> FrameReplay:
    replay, random = FrameReplay(60, 2, (1, 4, 4), stack=3, n_steps=2), np.random.default_rng(0)
    stacks = random.integers(256, size=(9, 2, 3, 4, 4), dtype=np.uint8)
    for number in range(45):
        ended = np.array([number % 7 == 3, number % 5 == 1])
        replay.add(stacks[number % 9], np.ones(2, int), np.ones(2), stacks[(number + 1) % 9], ended, ended & False)
    return replay


@pytest.mark.parametrize("make", [filled_transitions, filled_frames])
def test_batches_read_in_parts_later_are_those_drawn(make: Callable[[], TransitionReplay | FrameReplay]) -> None:
    replay = make()
    sampled = replay.sample(3, 4, torch.Generator().manual_seed(1))
    drawn = replay.draw(3, 4, torch.Generator().manual_seed(1))
    parts = [drawn.gather(drawn.places[number : number + 1]) for number in range(3)]
    for name, tensor in sampled._asdict().items():
        assert torch.equal(tensor, torch.cat([getattr(part, name) for part in parts])), name


def test_an_agent_learns_the_same_from_batches_and_from_drawn_ones() -> None:
    replay = filled_transitions()
    agents = [SAC(*SIZES, SACSettings(critic_width=8, actor_width=8), seed=np.random.SeedSequence(0)) for _ in range(2)]
    for number in range(2):
        agents[0].update(replay.sample(2, 4, torch.Generator().manual_seed(number)))
        agents[1].update(replay.draw(2, 4, torch.Generator().manual_seed(number)))
    states = [agent.state_dict() for agent in agents]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_after_an_injection_updates_are_warmed_up_and_captured_again(cuda: list[str]) -> None:
    states = []
    for on in (False, True):
        agent = SAC(*SIZES, SACSettings(critic_width=8, actor_width=8), seed=np.random.SeedSequence(0))
        manager = PlasticityManager(agent.plastic(), parse_method("injection"), Never())
        agent.captured = capturing()
        agent.captured.on = on
        replay, generator = filled_transitions(), torch.Generator().manual_seed(0)
        for number in range(2 * WARM_UP + 4):
            if number == WARM_UP + 2:
                manager.act(Position(1, 1))
            agent.update(replay.draw(2, 4, generator), manager)
        states.append(agent.state_dict())
    assert (cuda.count("captured"), cuda.count("launch")) == (2, 4)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


class OnesOwn(Method):
    """Nothing says whether this method reads a number on the host at every step."""

    acts_at_events, acts_every_step = False, True

    def after_step(self, network: MethodNetwork) -> None:
        pass


def test_a_manager_knows_which_methods_cannot_be_recorded() -> None:
    agent = SAC(*SIZES, SACSettings(critic_width=8, actor_width=8), seed=np.random.SeedSequence(0))
    networks = agent.plastic()
    for name, capturable in (("none", True), ("fire", True), ("redo", True), ("cbp", True), ("snr", True)):
        assert PlasticityManager(networks, parse_method(name), Never()).capturable is capturable, name
    assert not PlasticityManager(networks, OnesOwn(), Never()).capturable
    for name in ("l2-init", "parseval", "spectral", "weight-decay"):
        assert PlasticityManager(networks, NoMethod(), Never(), [parse_regularizer(name)]).capturable, name


def test_the_reason_why_nothing_is_recorded_is_printed_once() -> None:
    agent = SAC(*SIZES, SACSettings(critic_width=8, actor_width=8), seed=np.random.SeedSequence(0))
    captured, manager = capturing(), PlasticityManager(agent.plastic(), OnesOwn(), Never())
    said = captured.not_recorded(manager)
    assert said.endswith(":OnesOwn acts at every step and is not marked as capturable")
    assert said.startswith("updates are not captured: ")
    assert not captured.not_recorded(manager)


def test_a_batch_moves_whole() -> None:
    batch = Batch(*(torch.ones(2) for _ in Batch._fields))
    assert batch.to(torch.device("meta")).rewards.device.type == "meta"


def test_another_learning_rate_and_another_structure_need_another_recording() -> None:
    agent = SAC(*SIZES, SACSettings(critic_width=8, actor_width=8), seed=np.random.SeedSequence(0))
    manager = PlasticityManager(agent.plastic(), parse_method("injection"), Never())

    def same(one: Sequence[Any], other: Sequence[Any]) -> bool:
        return len(one) == len(other) and all(left is right for left, right in zip(one, other, strict=True))

    before = agent.structure(manager)
    assert same(before, agent.structure(manager))
    agent.trained_critic.optimizer.param_groups[0]["lr"] *= 0.5
    changed = agent.structure(manager)
    assert not same(before, changed)
    manager.act(Position(1, 1))
    assert not same(changed, agent.structure(manager))
