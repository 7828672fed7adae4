"""A saved state may be damaged or forged: it is refused in one line, or restored and stepped like any other."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fire_rl import envs
from fire_rl.envs.seeding import generator_from_words, legacy_generator_words, restore_legacy_generator
from fire_rl.envs.state_checks import like
from tests.fixtures.adapter_promises import STAND_IN

State = dict[str, NDArray[Any]]

NAMES = [
    "h1-reach", "h1-maze", "CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "MinAtar/Breakout-v1",
    pytest.param("Breakout", marks=pytest.mark.slow),
    "HalfCheetah-v5", "Ant-v5", "dmc:cartpole-swingup", "dmc:reacher-easy", "humanoid_bench:h1-maze-v0",
]  # fmt: skip
NEEDED = {"MinAtar": "minatar", "Breakout": "ale_py", "dmc": "dm_control"}


def built(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    if name.startswith("humanoid_bench"):
        monkeypatch.syspath_prepend(STAND_IN)
    for beginning, module in NEEDED.items():
        if name.startswith(beginning):
            pytest.importorskip(module)
    return envs.make_vec(name, 2, seed=0)


def step(vector: Any, count: int = 5) -> None:
    vector.action_space.seed(0)
    for _ in range(count):
        vector.step(vector.action_space.sample())


def mutations(values: NDArray[Any], random: np.random.Generator) -> Iterator[Any]:
    """Return other arrays of the same shape, of other shapes, and of other types."""
    kind = values.dtype.kind
    yield np.zeros_like(values)
    yield np.ones_like(values)
    if kind in "iu":
        limits = np.iinfo(values.dtype)
        yield from (np.full_like(values, number) for number in {limits.max, limits.min, limits.max // 2**10})
    if kind == "f":
        yield from (np.full_like(values, number) for number in (np.nan, np.inf, 1e308, -1e308, 1e12, -3.0))
        one = values.copy()
        one.flat[-1:] = np.nan
        yield one
    drawn = np.frombuffer(random.bytes(values.nbytes), dtype=values.dtype if kind != "b" else np.uint8)
    yield drawn.reshape(values.shape)
    yield values.astype(np.float64) + 0.5
    yield values.astype(np.complex128)
    yield values.astype("U8")
    yield np.full(values.shape, None)
    yield values[:1]
    yield values[..., None]
    yield np.zeros(0)
    yield np.array(7)


@pytest.mark.parametrize("name", NAMES)
def test_a_forged_part_of_a_state_is_refused_in_one_line_or_restored(name, monkeypatch):
    vector = built(name, monkeypatch)
    vector.reset()
    step(vector, 3)
    state, random = vector.get_state(), np.random.default_rng(0)
    wrongs: list[dict[Any, Any]] = [{key: state[key] for key in state if key != left} for left in state]
    wrongs += [{}, state | {"self": np.zeros(2)}, state | {"a\nb": np.zeros(2)}]
    wrongs += [state | {key: wrong} for key in state for wrong in mutations(state[key], random)]
    complaints = []
    with np.errstate(all="ignore"):
        for wrong in wrongs:
            vector.set_state(**state)
            try:
                vector.set_state(**wrong)
            except ValueError as error:
                complaints.append(str(error))
            step(vector)
            vector.get_state()
    assert len(complaints) > len(wrongs) / 2
    assert not [complaint for complaint in complaints if "\n" in complaint]
    vector.set_state(**state)
    assert all(np.array_equal(values, state[key]) for key, values in vector.get_state().items())


@pytest.mark.parametrize(
    "words",
    [(0, 0, 0, 0, 0, 0), (1, 2, 3, 4, 0, 0), (1, 2, 3, 5, 2, 0), (1, 2, 3, 5, 0, 2**32), (1, 2, 3, 5, 2**63, 0)],
)
def test_words_from_which_a_generator_draws_the_same_number_for_ever_are_refused(words):
    with pytest.raises(ValueError, match="not the state of a PCG64"):
        generator_from_words(np.array(words, dtype=np.uint64))


@pytest.mark.parametrize("word", [(slice(0, -3), 0), (5, 2**32), (-3, 625), (-3, 2**63), (-2, 2), (-1, 0x7FF0 << 48)])
def test_words_from_which_an_older_generator_reads_elsewhere_or_never_returns_are_refused(word):
    generator = np.random.RandomState(0)
    before, words = legacy_generator_words(generator), legacy_generator_words(generator)
    words[word[0]] = word[1]
    with pytest.raises(ValueError, match="not the state of a Mersenne twister"):
        restore_legacy_generator(generator, words)
    assert np.array_equal(legacy_generator_words(generator), before)


@pytest.mark.parametrize("name", ["CartPole-v1", "Breakout"])
def test_more_actions_than_an_episode_can_have_are_refused_before_any_is_played(name, monkeypatch):
    vector = built(name, monkeypatch)
    vector.reset()
    state = vector.get_state()
    count = 2_000_000
    state |= {"lengths": np.full(2, count), "actions": np.zeros((2, count), dtype=np.int64)}
    with pytest.raises(ValueError, match="lengths holds 2000000; allowed are whole numbers from 0 to") as error:
        vector.set_state(**state)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    "memory",
    [b"", b"[]", b"7", b"{", b"[" * 100_000, b"\xff\xfe", b'{"_env": 1}', b"{}", b'{"maze_stage": "x"}',
     b'{"maze_stage": {"kind": "array", "type": "O", "shape": [1], "values": [1]}}',
     b'{"maze_stage": {"kind": "array", "type": "f8", "shape": [9], "values": [1]}}', b'{"get_obs": 3}'],
)  # fmt: skip
def test_memory_that_no_task_of_the_original_has_is_refused(memory, monkeypatch):
    vector = built("humanoid_bench:h1-maze-v0", monkeypatch)
    vector.reset()
    state = vector.get_state()
    with pytest.raises(ValueError, match="task") as error:
        vector.set_state(**state | {"task": np.tile(np.frombuffer(memory, dtype=np.uint8), (2, 1))})
    assert "\n" not in str(error.value)
    step(vector)
    vector.set_state(**state)


def test_numbers_are_converted_only_if_none_of_them_changes():
    assert like("count", [3.0, 4.0], np.zeros(2, np.int64)).tolist() == [3, 4]
    assert like("flag", [0, 1], np.zeros(2, np.bool_)).tolist() == [False, True]
    assert like("place", [3, 4], np.zeros(2)).dtype == np.float64
    wrongs: list[Any] = [[3.5, 4], [3, np.nan], [3, 1e300], ["3", "4"], [3, None]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="count"):
            like("count", wrong, np.zeros(2, np.int64))
