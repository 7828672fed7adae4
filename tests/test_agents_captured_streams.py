"""What is asked of CUDA around a capture, and in which order: streams, events, generators and pinned memory."""

import gc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fire_rl.agents import SAC, SACSettings
from fire_rl.agents.captured import WARM_UP, Captured
from fire_rl.agents.from_host import FromHost
from fire_rl.replay import Batch, FrameReplay, TransitionReplay
from fire_rl.replay.batch import on_device
from tests.fixtures import pretended_cuda
from tests.fixtures.pretended_cuda import CARD, Generator, current_stream

OWN, MAIN = "side stream", "stream of cuda:1"


@pytest.fixture
def captured(cuda: list[str]) -> Captured:
    captured = Captured(CARD)
    captured.on = True
    return captured


def noted(value: Tensor) -> Tensor:
    pretended_cuda.log.append(f"call on {current_stream(CARD).name}")
    return 2 * value


def test_each_call_before_the_capture_runs_on_a_stream_of_its_own_between_two_waits(
    captured: Captured, cuda: list[str]
) -> None:
    for _ in range(WARM_UP):
        cuda.clear()
        captured(noted, [torch.ones(3)], "double")
        assert cuda == [
            f"{OWN} waits for {MAIN}", f"call on {OWN}", f"{MAIN} waits for {OWN}", f"result used on {MAIN}"
        ]  # fmt: skip


def test_a_capture_follows_all_work_and_knows_every_generator_and_no_garbage_is_collected_in_it(
    captured: Captured, cuda: list[str]
) -> None:
    drawn_from = [Generator(), torch.Generator(), Generator()]
    for _ in range(WARM_UP):
        captured(noted, [torch.ones(3)], "double", lambda: drawn_from)
    capture = [f"capture on {OWN}, thread_local, garbage collection off", f"call on {OWN}", "captured"]
    for launches in ([f"wait for {CARD}", *3 * ["generator registered"], *capture], []):
        cuda.clear()
        captured(noted, [torch.ones(3)], "double", lambda: drawn_from)
        assert cuda == [*launches, "launch"]
        assert gc.isenabled()
        assert current_stream(CARD).name == MAIN


def test_a_generator_on_the_cpu_is_not_registered(captured: Captured, cuda: list[str]) -> None:
    on_the_cpu = Generator.__base__()
    for _ in range(WARM_UP + 1):
        captured(noted, [torch.ones(3)], "double", lambda: [on_the_cpu])
    assert "captured" in cuda
    assert "generator registered" not in cuda


def test_pinned_memory_is_written_only_after_the_copy_from_it_has_been_made(
    captured: Captured, cuda: list[str]
) -> None:
    from_host = FromHost(captured)
    copied = ["into pinned memory, waiting", "from pinned memory, without waiting", f"event on {MAIN}"]
    for number, before in ((0, []), (1, ["wait for event"]), (2, ["wait for event"])):
        cuda.clear()
        from_host(lambda value: None, np.full(3, number), "nothing")
        assert cuda[: len(before) + 3] == [*before, *copied]
    cuda.clear()
    from_host(lambda value: None, np.full(3, 2), "nothing")
    assert not any("pinned" in line for line in cuda), "it is already there"


def test_a_result_is_read_only_after_its_copy_has_been_made(captured: Captured, cuda: list[str]) -> None:
    from_host = FromHost(captured)
    for number in range(WARM_UP + 3):
        cuda.clear()
        found = from_host(noted, np.full(3, number), "double")
        assert cuda[-2:] == ["into pinned memory, without waiting", f"wait for {MAIN}"]
        assert found.tolist() == 3 * [2 * number]
    assert "launch" in cuda


def test_a_decision_copies_neither_the_input_nor_the_result_of_its_graph(
    captured: Captured, cuda: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from_host = FromHost(captured)
    for number in range(WARM_UP + 1):
        from_host(noted, np.full(3, number), "double")
    for name in ("_foreach_copy_", "clone"):
        monkeypatch.setattr(torch, name, None)
    monkeypatch.setattr(Tensor, "clone", None)
    assert from_host(noted, np.full(3, 9), "double").tolist() == 3 * [18]


def replays() -> list[TransitionReplay | FrameReplay]:
    found: list[TransitionReplay | FrameReplay] = [TransitionReplay(8, 5, 2), FrameReplay(8, 1, (1, 4, 4), stack=2)]
    for replay in found:
        replay.device = CARD  # its tensors stay on the CPU
    return found


def test_what_a_replay_stores_and_draws_goes_through_pinned_memory(cuda: list[str]) -> None:
    ends = np.ones(1, bool)
    rows, frames = replays()
    there = "from pinned memory, without waiting"
    rows.add(np.ones((1, 5)), np.ones((1, 2)), np.ones(1), np.ones((1, 5)), ends, ends)
    assert cuda == ["into pinned memory, waiting", there]
    cuda.clear()
    frame = np.ones((1, 2, 4, 4), np.uint8)
    frames.add(frame, np.ones(1, int), np.ones(1), frame, ends, ends)
    assert cuda == 2 * ["into pinned memory, waiting", there]
    for replay in (rows, frames):
        cuda.clear()
        replay.draw(2, 3, torch.Generator())
        assert cuda == ["into pinned memory, waiting", f"to {CARD} from pinned memory, without waiting"]


def test_a_batch_goes_to_a_gpu_through_pinned_memory_and_to_the_host_in_time(cuda: list[str]) -> None:
    replay = TransitionReplay(8, 5, 2)
    replay.rows.zero_()
    batch = replay.gather(torch.zeros(2, 3, dtype=torch.int64))
    moved = batch.to(CARD)
    copies = ["into pinned memory, waiting", f"to {CARD} from pinned memory, without waiting"]
    assert cuda == len(Batch._fields) * copies
    assert all(torch.equal(one, other) for one, other in zip(batch, moved, strict=True))
    assert on_device(batch.steps, torch.device("cpu")) is batch.steps


def fails_in_a_capture(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the call, which raises an error in a capture, after its work."""

    def failing(*given: Tensor) -> Tensor:
        capturing = pretended_cuda.log and pretended_cuda.log[-1].startswith("capture on")
        result = call(*given)
        if capturing:
            raise ValueError("this cannot\nbe captured")
        return result

    return failing


def test_after_a_capture_that_fails_every_call_runs_normally(captured: Captured, cuda: list[str]) -> None:
    said, stream, twin, seen = list[str](), Generator(), Generator(), torch.ones(3, requires_grad=True)
    captured.say = said.append

    def draw(value: Tensor) -> Tensor:
        seen.grad = value
        return value + torch.rand(3, generator=stream)

    def drawn(kind: str, call: Callable[..., Tensor] = draw) -> Tensor:
        return captured(call, [torch.ones(3)], kind, lambda: [stream, seen])

    for kind in [*(WARM_UP + 2) * ["sound"], *WARM_UP * ["failing"]]:
        assert torch.equal(drawn(kind), 1 + torch.rand(3, generator=twin))
    assert cuda.count("captured") == 1

    assert torch.equal(drawn("failing", fails_in_a_capture(draw)), 1 + torch.rand(3, generator=twin))
    assert said == ["updates are not captured: ValueError: this cannot be captured"]
    assert cuda[-1] == "generator set back"
    assert (current_stream(CARD).name, gc.isenabled(), captured.records) == (MAIN, True, False)

    cuda.clear()
    for kind in 5 * ["sound", "failing"]:
        assert torch.equal(drawn(kind, fails_in_a_capture(draw)), 1 + torch.rand(3, generator=twin))
    captured.on = True
    assert torch.equal(drawn("sound"), 1 + torch.rand(3, generator=twin))
    assert "launch" not in cuda, "the older graph is gone, because it has lost its generator"
    assert len(said) == 1


def test_gradients_of_a_capture_that_failed_are_dropped(captured: Captured) -> None:
    weight, kept = torch.ones(3, requires_grad=True), list[Tensor | None]()

    def call(value: Tensor) -> Tensor:
        kept.append(weight.grad)
        weight.grad = value
        return value

    captured.say = lambda line: kept.clear()
    for _ in range(WARM_UP + 1):
        captured(fails_in_a_capture(call), [torch.ones(3)], "call", lambda: [weight])
    assert kept == [None]


def test_an_agent_whose_updates_cannot_be_captured_learns_as_without_captures(
    cuda: list[str], recwarn: pytest.WarningsRecorder
) -> None:
    states = []
    for on in (False, True):
        agent = SAC(5, 2, SACSettings(critic_width=8, actor_width=8), seed=np.random.SeedSequence(0))
        agent.captured = Captured(CARD)
        agent.captured.on = on
        agent.move_target = fails_in_a_capture(agent.move_target)  # type: ignore[method-assign, assignment]
        replay, random = TransitionReplay(50, 5, 2), np.random.default_rng(0)
        ends, generator = np.zeros(40, bool), torch.Generator().manual_seed(0)
        one, other, actions = random.normal(size=(40, 5)), random.normal(size=(40, 5)), random.uniform(-1, 1, (40, 2))
        replay.add(one, actions, random.normal(size=40), other, ends, ends)
        for _ in range(WARM_UP + 3):
            agent.update(replay.draw(2, 8, generator))
        states.append(agent.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert [str(one.message) for one in recwarn] == ["updates are not captured: ValueError: this cannot be captured"]
    assert "launch" not in cuda
