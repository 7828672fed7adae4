"""The replay returns what was stored, owes the right number of updates, and is saved and restored."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fire_rl.memory import free_in_control_groups
from fire_rl.replay import Damaged, ReplayRatio, Segment, Store, TransitionReplay
from fire_rl.replay.segments import write_segment
from fire_rl.training.durable import DurableStore


def transition(index: int, members: int = 1) -> tuple[np.ndarray, ...]:
    """Return a recognisable step of `members` environments: every number says where it belongs."""
    numbers = np.arange(index, index + members, dtype=np.float64)
    return (
        np.stack((numbers, numbers + 0.1, numbers + 0.2), axis=1),
        np.stack((numbers + 0.3, numbers + 0.4), axis=1).astype(np.float32),
        numbers + 0.5,
        np.stack((numbers + 0.6, numbers + 0.7, numbers + 0.8), axis=1),
        numbers % 3 == 0,
        numbers % 4 == 0,
    )


def filled(capacity: int, count: int, members: int = 1) -> TransitionReplay:
    replay = TransitionReplay(capacity, 3, 2)
    for index in range(0, count, members):
        replay.add(*transition(index, members))
    return replay


def test_sampled_transitions_are_the_stored_ones():
    replay = filled(capacity=50, count=40)
    batch = replay.sample(3, 64, torch.Generator().manual_seed(0))
    assert batch.observations.shape == (3, 64, 3)
    assert batch.rewards.shape == batch.terminated.shape == (3, 64)
    first = batch.observations[..., 0]
    assert set(first.unique().tolist()) <= set(range(40))
    torch.testing.assert_close(batch.observations[..., 2], first + 0.2)
    torch.testing.assert_close(batch.actions[..., 1], first + 0.4)
    torch.testing.assert_close(batch.rewards, first + 0.5)
    torch.testing.assert_close(batch.next_observations[..., 2], first + 0.8)
    assert torch.equal(batch.terminated, (first % 3 == 0).float())


@given(capacity=st.integers(1, 30), steps=st.integers(1, 40), members=st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_the_ring_holds_the_newest_transitions(capacity: int, steps: int, members: int):
    replay = TransitionReplay(capacity, 3, 2)
    for step in range(steps):
        replay.add(*transition(step * members, members))
    count = steps * members
    held = sorted(replay.rows[: len(replay), 0].tolist())
    assert held == list(range(max(0, count - capacity), count))


def test_sampling_is_uniform_over_what_is_held():
    replay = filled(capacity=10, count=4)
    first = replay.sample(10, 1000, torch.Generator().manual_seed(1)).observations[..., 0]
    counts = torch.bincount(first.flatten().long(), minlength=4)
    assert ((counts - 2500).abs() < 5 * (10_000 * 0.25 * 0.75) ** 0.5).all()


@pytest.mark.parametrize(("capacity", "newest"), [(50, 8), (30, 8), (30, 100)])
def test_different_transitions_are_drawn_from_the_newest(capacity: int, newest: int):
    replay = filled(capacity, count=40)
    held = min(newest, capacity)
    batch = replay.sample_different(2, held // 2, torch.Generator().manual_seed(0), newest)
    assert sorted(batch.observations[..., 0].flatten().tolist()) == list(range(40 - held, 40)), "each of them once"
    torch.testing.assert_close(batch.rewards, batch.observations[..., 0] + 0.5)
    with pytest.raises(ValueError, match=f"there are only {held}"):
        replay.sample_different(2, held // 2 + 1, torch.Generator(), newest)


@pytest.mark.parametrize("capacity", [0, -3])
def test_a_replay_without_room_is_refused(capacity: int):
    with pytest.raises(ValueError, match=f"capacity {capacity} given; allowed is 1 or more"):
        TransitionReplay(capacity, 2, 1)


def test_sampling_nothing_is_refused():
    with pytest.raises(ValueError, match="empty"):
        TransitionReplay(5, 3, 2).sample(1, 1, torch.Generator())


def test_only_new_transitions_are_written_and_all_come_back(tmp_path: Path):
    replay = filled(capacity=20, count=12)
    first = replay.save(Store(tmp_path))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    for index in range(12, 33):
        replay.add(*transition(index))
    second = replay.save(Store(tmp_path), first)
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert first[0] not in second, "a segment that is wholly overwritten in the ring is no longer named"

    copy = TransitionReplay(20, 3, 2)
    copy.load(Store(tmp_path), second, replay.added)
    assert torch.equal(copy.rows, replay.rows)
    assert copy.added == replay.added


@given(capacity=st.integers(1, 12), pieces=st.lists(st.integers(0, 9), min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
def test_a_replay_saved_in_any_pieces_is_restored_whole(tmp_path_factory, capacity: int, pieces: list[int]):
    folder = tmp_path_factory.mktemp("replay")
    replay = TransitionReplay(capacity, 3, 2)
    segments: list[Segment] = []
    index = 0
    for piece in pieces:
        for _ in range(piece):
            replay.add(*transition(index))
            index += 1
        segments = replay.save(Store(folder), segments)
    copy = TransitionReplay(capacity, 3, 2)
    copy.load(Store(folder), segments, replay.added)
    assert torch.equal(copy.rows[: len(replay)], replay.rows[: len(replay)])


def do_damage(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-5])
    else:
        content[-3] ^= 1
        path.write_bytes(content)


@pytest.mark.parametrize("kind", [Store, DurableStore])
@pytest.mark.parametrize("damage", ["cut", "altered", "missing"])
def test_a_damaged_segment_is_recognised(tmp_path: Path, damage: str, kind: type[Store]):
    replay = filled(capacity=20, count=12)
    segments = replay.save(kind(tmp_path))
    do_damage(tmp_path / segments[0].file, damage)
    with pytest.raises(Damaged, match=r"\.safetensors"):
        TransitionReplay(20, 3, 2).load(kind(tmp_path), segments, 12)


@pytest.mark.parametrize("kind", [Store, DurableStore])
def test_different_content_never_shares_a_file(tmp_path: Path, kind: type[Store]):
    one = write_segment(kind(tmp_path), 0, {"rows": torch.zeros(2, 3)}, 2)
    other = write_segment(kind(tmp_path), 0, {"rows": torch.ones(2, 3)}, 2)
    assert one.file != other.file
    assert len(list(tmp_path.iterdir())) == 2, "and no temporary file is left"


@given(
    ratio=st.sampled_from([0.1, 0.25, 0.3, 1.0, 2.0, 2.5, 3.7, 16.0]),
    blocks=st.lists(st.integers(1, 9), min_size=1, max_size=200),
)
def test_the_replay_ratio_does_not_drift(ratio: float, blocks: list[int]):
    debt = ReplayRatio(ratio)
    given_out = sum(debt.owed(block) for block in blocks)
    tenths = round(ratio * 100)
    assert given_out == sum(blocks) * tenths // 100


@pytest.mark.parametrize(("ratio", "block"), [(0.3, 1), (1 / 30_000, 10_000)])
def test_the_replay_ratio_continues_where_it_was(ratio: float, block: int):
    whole, first = ReplayRatio(ratio), ReplayRatio(ratio)
    expected = [whole.owed(block) for _ in range(20)]
    owed = [first.owed(block) for _ in range(7)]
    second = ReplayRatio(ratio)
    second.load_state_dict(first.state_dict())
    assert owed + [second.owed(block) for _ in range(13)] == expected
    assert sum(expected) == 6


@given(ratio=st.floats(0, exclude_min=True, allow_infinity=False))
@example(ratio=5e-324)
@example(ratio=2.2250738585072014e-308)
@example(ratio=1.7976931348623157e308)
def test_every_replay_ratio_can_be_saved_and_loaded(ratio: float):
    saved, restored = ReplayRatio(ratio).state_dict(), ReplayRatio(ratio)
    restored.load_state_dict(saved)
    assert restored.state_dict() == saved


@pytest.mark.parametrize("ratio", ["1" * 326, "1/" + "1" * 326, "1/0", "", "1/", "-1", "0.5"])
def test_a_forged_ratio_is_refused(ratio: str):
    with pytest.raises(ValueError, match="0 updates for 0 transitions, at the ratio"):
        ReplayRatio(1).load_state_dict({"ratio": ratio, "transitions": 0, "updates": 0})


def test_another_ratio_counts_from_where_it_is_loaded():
    before, after = ReplayRatio(2), ReplayRatio(0.5)
    before.owed(100)
    after.load_state_dict(before.state_dict())
    assert [after.owed(1) for _ in range(4)] == [0, 1, 0, 1]


@pytest.mark.parametrize("ratio", [0, -1.0, float("inf"), float("nan")])
def test_a_ratio_that_is_not_allowed_is_refused(ratio: float):
    with pytest.raises(ValueError, match="replay ratio"):
        ReplayRatio(ratio)


VERSIONS = {
    "0::/a/b": ("memory.max", "memory.current", "", "max"),
    "4:memory:/a/b": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_", "9223372036854771712"),
}


@pytest.mark.parametrize("own", VERSIONS)
def test_free_memory_is_what_a_container_s_limit_leaves(tmp_path: Path, own: str):
    """In both versions of control groups; of the cache of 260 bytes, 60 are shared memory, which cannot be given up."""
    limit, used, prefix, none = VERSIONS[own]
    (tmp_path / "own").write_text(f"1:cpu:/a\n{own}\n")
    groups = tmp_path / "groups" / ("memory" if prefix else ".")
    (groups / "a" / "b").mkdir(parents=True)
    counts = f"{prefix}inactive_file 150\n{prefix}active_file 50\n{prefix}inactive_anon 500\n"
    own_alone = "inactive_file 1\nactive_file 1\ncache 2\n" if prefix else "file 260\nshmem 60\n"
    for folder, most in ((groups / "a", "1000"), (groups / "a" / "b", none)):
        (folder / limit).write_text(f"{most}\n")
        (folder / used).write_text("700\n")
        (folder / "memory.stat").write_text(own_alone + counts)
    found = list(free_in_control_groups(tmp_path / "own", tmp_path / "groups"))
    assert [free for free in found if free < 2**60] == [500]
    assert list(free_in_control_groups(tmp_path / "none", tmp_path / "groups")) == []
