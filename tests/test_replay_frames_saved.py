"""A replay of frames is the same after it was saved and loaded, whatever was done before and in between."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.replay_contents import read_contents
from fire_rl.replay import Damaged, FrameReplay, Segment, Store, TransitionReplay, frames
from fire_rl.replay.segments import write_segment
from tests.test_replay import do_damage
from tests.test_replay_frames import EVENTS, SETTINGS, Game, Setting, compare, play

SAVED_EVENTS = (*EVENTS, "save", "save", "resume", "resume and cut")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def same_samples(one: FrameReplay, other: FrameReplay) -> bool:
    """Say whether they are equal bit by bit."""
    if not len(one):
        return not len(other)
    batches = [each.sample(2, 2 * len(one), torch.Generator().manual_seed(3)) for each in (one, other)]
    return all(torch.equal(mine, theirs) for mine, theirs in zip(*batches, strict=True))


def played(setting: Setting, events: int, seed: int = 0) -> tuple[FrameReplay, Game]:
    replay, game = setting.replay(), Game(setting, seed)
    for _ in range(events):
        play(replay, game, "some end")
    return replay, game


@given(
    setting=SETTINGS,
    events=st.lists(st.sampled_from(SAVED_EVENTS), max_size=40),
    room=st.integers(0, 9),
    seed=st.integers(0, 1000),
    segment_bytes=st.sampled_from([1, 500, 10**6]),
)
@settings(max_examples=60)
def test_a_resumed_replay_equals_one_that_was_not_interrupted(
    tmp_path_factory, setting: Setting, events: list[str], room: int, seed: int, segment_bytes: int
):
    """One replay is saved, loaded and used again; the other one is only saved."""
    folder, folder_of_whole, once = (tmp_path_factory.mktemp("replay") for _ in range(3))
    resumed, whole, game = setting.replay(), setting.replay(), Game(setting, seed)
    kept: list[Segment] = []
    kept_of_whole: list[Segment] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "SEGMENT_BYTES", segment_bytes)
        for event in [*events, "resume", "go on", "save"]:
            if event in ("save", "resume", "resume and cut"):
                kept, kept_of_whole = (
                    resumed.save(Store(folder), kept),
                    whole.save(Store(folder_of_whole), kept_of_whole),
                )
                assert kept == kept_of_whole, "files with the same content"
            if event.startswith("resume"):
                full = len(resumed) == resumed.capacity
                for capacity in (setting.capacity + (0 if full else room), setting.capacity):
                    resumed = setting.replay(capacity)
                    resumed.load(Store(folder), kept, whole.added)
                    assert same_samples(resumed, whole)
            if event in ("cut", "resume and cut"):
                resumed.cut()
                play(whole, game, "cut")
            elif event not in ("save", "resume", "sample"):
                play(whole, game, event)
                resumed.add(*game.history[-1])
            assert same_samples(resumed, whole)
    compare(resumed, game, seed)
    first = whole.added - len(whole)
    assert equal(read_contents(Store(folder), kept, first), read_contents(Store(once), whole.save(Store(once)), first))


def test_only_new_transitions_are_written_and_old_segments_dropped(tmp_path: Path):
    setting = Setting(capacity=12)
    replay, game = played(setting, 5)
    first = replay.save(Store(tmp_path))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    for _ in range(3):
        play(replay, game, "some end")
    second = replay.save(Store(tmp_path), first)
    assert [(segment.start, segment.stop) for segment in second] == [(0, 10), (10, 16)]
    assert second[0] == first[0]
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert replay.save(Store(tmp_path), second) == second, "nothing new, nothing written"
    for _ in range(3):
        play(replay, game, "some end")
    third = replay.save(Store(tmp_path), second)
    assert [(segment.start, segment.stop) for segment in third] == [(10, 16), (16, 22)], "0 to 10 are overwritten"


def test_a_cut_without_later_steps_is_saved_too(tmp_path: Path):
    replay, game = played(Setting(n_steps=3), 4)
    play(replay, game, "go on")
    segments = replay.save(Store(tmp_path))
    play(replay, game, "cut")
    after = replay.save(Store(tmp_path), segments)
    assert [(segment.start, segment.stop) for segment in after] == [(0, 10), (10, 10)]
    assert replay.save(Store(tmp_path), after) == after
    copy = Setting(n_steps=3).replay()
    copy.load(Store(tmp_path), after, 10)
    play(copy, game, "go on")
    compare(copy, game)


def test_a_segment_is_limited_in_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frames, "SEGMENT_BYTES", 20_000)
    setting = Setting(capacity=400, frame_shape=(1, 20, 20), stack=2)
    whole, game = setting.replay(), Game(setting)
    for _ in range(150):
        play(whole, game, "all end")
    segments = whole.save(Store(tmp_path))
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert max(sizes) < 20_000 + 4_000, "the header and a few frames of context are added"
    assert len(segments) == len(sizes) == 14


def test_saving_copies_no_frames():
    replay, _ = played(Setting(capacity=40, members=2), 30)
    begin, end = replay.frames.data_ptr(), replay.frames.data_ptr() + replay.frames.nbytes
    pieces = replay._segment(12, 30).frames
    assert len(pieces) == 2, "the ring starts again within"
    assert all(begin <= piece.data_ptr() < end and piece.is_contiguous() for piece in pieces)


def test_no_unwritten_memory_reaches_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = []
    for rubbish in (17, 34):
        monkeypatch.setattr(torch, "empty", lambda *shape, dtype=None, device=None, rubbish=rubbish: torch.full(
            shape, rubbish, dtype=dtype, device=device))  # fmt: skip
        for events in (0, 1, 3, 8):
            one, game = played(Setting(capacity=10, stack=4), events)
            kept = one.save(Store(tmp_path))
            play(one, game, "cut")
            kept = one.save(Store(tmp_path), kept)
            play(one, game, "all end")
            names.append([segment.file for segment in one.save(Store(tmp_path), kept)])
    assert names[:4] == names[4:]


@pytest.mark.parametrize("damage", ["cut", "altered", "missing"])
def test_a_damaged_segment_is_recognised(tmp_path: Path, damage: str):
    replay, _ = played(Setting(), 5)
    segments = replay.save(Store(tmp_path))
    do_damage(tmp_path / segments[0].file, damage)
    with pytest.raises(Damaged, match=r"\.safetensors"):
        Setting().replay().load(Store(tmp_path), segments, 10)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (Setting(members=1), "1 environments"),
        (Setting(stack=2), "2 stacked"),
        (Setting(frame_shape=(1, 2, 3)), r"\(1, 2, 3\)"),
        (Setting(dtype=torch.float32), "float32"),
    ],
)
def test_segments_of_another_kind_are_refused(tmp_path: Path, other: Setting, named: str):
    replay, _ = played(other, 4)
    segments = replay.save(Store(tmp_path))
    with pytest.raises(ValueError, match=f"holds .*{named}.*; this replay was made for 2 environments"):
        Setting().replay().load(Store(tmp_path), segments, replay.added)


def test_segments_of_flat_observations_are_refused(tmp_path: Path):
    segments = [write_segment(Store(tmp_path), 0, {"rows": torch.zeros(4, 3)}, 4)]
    with pytest.raises(ValueError, match="holds rows and no frames"):
        Setting().replay().load(Store(tmp_path), segments, 4)


def test_missing_segments_are_noticed(tmp_path: Path):
    replay, game = played(Setting(), 3)
    first = replay.save(Store(tmp_path))
    play(replay, game, "go on")
    second = replay.save(Store(tmp_path), first)
    with pytest.raises(ValueError, match="end at transition 6; 8 are expected"):
        Setting().replay().load(Store(tmp_path), second[:1], 8)
    play(replay, game, "go on")
    third = replay.save(Store(tmp_path), second)
    with pytest.raises(ValueError, match="does not continue at transition 6"):
        Setting().replay().load(Store(tmp_path), [third[0], third[2]], 10)


def test_a_full_replay_may_be_loaded_into_a_larger_or_smaller_one(tmp_path: Path):
    setting = Setting(capacity=12)
    full, game = played(setting, 9)
    segments = full.save(Store(tmp_path))
    larger, smaller = replace(setting, capacity=20), replace(setting, capacity=4)
    for other, held in ((larger, 12), (smaller, 4)):
        copy = other.replay()
        copy.load(Store(tmp_path), segments, full.added)
        assert len(copy) == held
        compare(copy, game)
    copy = larger.replay()
    copy.load(Store(tmp_path), segments, full.added)
    for _ in range(6):
        play(copy, game, "some end")
    assert len(copy) == 20
    compare(copy, game)


def test_files_are_those_of_the_safetensors_library(tmp_path: Path):
    rows = torch.arange(12.0).view(4, 3)
    segment = write_segment(Store(tmp_path), 0, {"rows": (rows[:1], rows[1:])}, 4)
    assert (tmp_path / segment.file).read_bytes() == safetensors.torch.save({"rows": rows})
    one, _ = played(Setting(), 4)
    segment = one.save(Store(tmp_path))[0]
    tensors = safetensors.torch.load_file(tmp_path / segment.file)
    assert tensors["frames"].shape == (5, 2, 1, 2, 2)
    assert tensors["actions"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_contents_distinguish_replays_and_leave_out_what_is_not_held(tmp_path: Path):
    setting = Setting(capacity=8, frame_shape=(1, 1, 1))
    one, game = played(setting, 9)
    segments = one.save(Store(tmp_path))
    contents = read_contents(Store(tmp_path), segments, 10)
    assert contents["actions"].flatten().tolist() == list(range(10, 18))
    for change in ("observations", "rewards", "next_observations", "terminated", "truncated"):
        other = setting.replay()
        for number, step in enumerate(game.history):
            altered = getattr(step, change).copy()
            altered[-1] = 1 - altered[-1]
            other.add(*(step._replace(**{change: altered}) if number == 8 else step))
        assert not equal(contents, read_contents(Store(tmp_path), other.save(Store(tmp_path)), 10)), change


def test_contents_leave_out_frames_that_no_observation_held_shows(tmp_path: Path):
    setting = Setting(capacity=8, frame_shape=(1, 1, 1))
    for event, same in (("all end", True), ("go on", False)):
        game, contents = Game(setting), []
        for altered in (0, 1):
            replay = setting.replay()
            for number in range(9):
                step = game.step(event if number == 4 else "go on") if not altered else game.history[number]
                observations = step.observations + np.uint8(altered if number == 4 else 0)
                replay.add(*step._replace(observations=observations))
            contents.append(read_contents(Store(tmp_path), replay.save(Store(tmp_path)), 10))
        assert equal(*contents) == same


def test_contents_of_flat_transitions_are_their_rows(tmp_path: Path):
    flat = TransitionReplay(10, 1, 1)
    kept: list[Segment] = []
    for number in range(7):
        value = np.array([float(number)])
        flat.add(value[:, None], value[:, None], value, value[:, None], value > 9, value > 9)
        if number % 3 == 0:
            kept = flat.save(Store(tmp_path), kept)
    assert len(kept) == 3
    contents = read_contents(Store(tmp_path), kept, 2)
    assert list(contents) == ["rows"]
    assert contents["rows"][:, 0].tolist() == [2, 3, 4, 5, 6]
    assert read_contents(Store(tmp_path), [], 0) == {}


def test_a_cut_before_a_segment_of_the_same_save_keeps_its_final_frame(tmp_path, monkeypatch):
    monkeypatch.setattr("fire_rl.replay.frames.SEGMENT_BYTES", 1)  # a segment for each step
    replay, loaded = FrameReplay(8, 1, (1,)), FrameReplay(8, 1, (1,))
    none = np.zeros(1, bool)
    replay.add(np.full((1, 1), 10, np.uint8), np.zeros(1, int), np.zeros(1), np.full((1, 1), 11, np.uint8), none, none)
    replay.cut()
    replay.add(np.full((1, 1), 50, np.uint8), np.ones(1, int), np.zeros(1), np.full((1, 1), 51, np.uint8), none, none)
    loaded.load(Store(tmp_path), replay.save(Store(tmp_path)), replay.added)
    batch = loaded.sample(1, 50, torch.Generator().manual_seed(0))
    pairs = zip(batch.actions.flatten().tolist(), batch.next_observations.flatten().tolist(), strict=True)
    assert set(pairs) == {(0, 11), (1, 51)}
