"""Batches: each example once in an epoch, normalised with torch's arithmetic, independent of the order of reading."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fire_rl.data import IMAGE_SETS, Images, ImageSet, NormalisedImages, PhasedImages, continual, warm_start
from tests.fixtures.pictures import made_up

CIFAR = IMAGE_SETS["cifar10"]
N = 50


def images_of(facts: ImageSet = CIFAR, count: int = N) -> Images:
    images, labels = made_up(count, facts.classes, facts.shape)
    return Images(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def stream_of(facts: ImageSet = CIFAR, **changes: Any) -> PhasedImages:
    images = images_of(facts)
    phases = warm_start(images.labels, facts.classes, share=0.2, first_epochs=3, epochs=2, seed=0)
    settings: dict[str, Any] = {"batch_size": 8, "seed": 3, "device": "cpu"}
    return PhasedImages(images, facts, phases, **(settings | changes))


def by_torch(images: torch.Tensor, facts: ImageSet = CIFAR) -> torch.Tensor:
    """The usual code: scale to [0, 1], subtract the mean, divide by the standard deviation."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (facts.mean, facts.std))
    return (images.float() / 255 - mean) / std


def test_phases_and_epochs_follow_each_other():
    stream = stream_of()
    assert stream.starts == (0, 6)  # 3 epochs of 10 examples, in 8 and 2
    assert stream.total == 6 + 2 * 7  # 2 epochs of 50, in six times 8 and 2
    assert [stream.phase_at(update) for update in range(20)] == [0] * 6 + [1] * 14
    first = [(epoch, number) for epoch in range(3) for number in range(2)]
    assert [stream.epoch_at(update) for update in range(20)] == first + [(e, n) for e in range(2) for n in range(7)]
    for wrong in (-1, 20):
        with pytest.raises(ValueError, match=f"update {wrong} given; allowed are 0 to 19"):
            stream.batch(wrong)


@pytest.mark.parametrize("augment", ["none", "flip-crop"])
def test_every_epoch_has_each_of_its_phase_s_examples_once_in_an_order_of_its_own(augment: str):
    stream = stream_of(augment=augment)
    orders = []
    for start, count in [(0, 2), (2, 2), (4, 2), (6, 7), (13, 7)]:
        parts = [stream.examples_at(update) for update in range(start, start + count)]
        assert [len(part) for part in parts] == [8] * (count - 1) + [2]
        orders.append(torch.cat(parts).tolist())
        phase = stream.phases[stream.phase_at(start)]
        assert sorted(orders[-1]) == sorted(phase.examples.tolist())
    assert len(set(map(tuple, orders))) == 5


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", sorted(IMAGE_SETS))
def test_batches_are_normalised_as_torch_does_it(name: str, channels_last: bool):
    facts = IMAGE_SETS[name]
    stream, given = stream_of(facts, channels_last=channels_last), images_of(facts)
    for update in (0, 5, 19):
        images, labels = stream.batch(update)
        chosen = stream.examples_at(update)
        assert images.dtype == torch.float32
        assert images.shape[1:] == facts.shape
        torch.testing.assert_close(images, by_torch(given.images[chosen], facts), atol=1e-6, rtol=1e-6)
        assert torch.equal(labels, given.labels[chosen])
        layout = torch.channels_last if channels_last else torch.contiguous_format
        assert images.is_contiguous(memory_format=layout)


def test_all_of_the_256_values_are_within_a_rounding_of_exact():
    values = torch.arange(256, dtype=torch.uint8).repeat(12)[: 3 * 1024].view(1, 3, 32, 32)
    images = NormalisedImages(Images(values, torch.zeros(1, dtype=torch.int64)), CIFAR, device="cpu")
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (CIFAR.mean, CIFAR.std))
    exact = (values.double() / 255 - mean) / std
    error = (images.pick(torch.tensor([0]))[0].double() - exact).abs().max().item()
    assert error < 4.8e-7  # two of float32's steps at 2


def test_a_batch_depends_on_the_seed_and_the_update_alone():
    for augment in ("none", "flip-crop"):
        stream = stream_of(augment=augment)
        batches = [stream.batch(update) for update in range(stream.total)]
        others = stream_of(augment=augment)
        for update in np.random.default_rng(0).permutation(2 * stream.total).tolist():
            images, labels = others.batch(update % stream.total)
            assert torch.equal(images, batches[update % stream.total][0])
            assert torch.equal(labels, batches[update % stream.total][1])
        other = stream_of(augment=augment, seed=4)
        assert not torch.equal(other.batch(0)[0], batches[0][0])


def test_a_batch_is_not_changed_later():
    stream = stream_of()
    images, _ = stream.batch(0)
    before = images.clone()
    stream.batch(1)
    assert torch.equal(images, before)


def test_global_random_generators_are_not_used():
    before = torch.random.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    stream_of(augment="flip-crop").batch(7)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == str(np.random.get_state())  # noqa: NPY002


def cut_out(image: NDArray[np.uint8], down: int, right: int, mirrored: int) -> NDArray[np.uint8]:
    """Pad one image by four, cut and mirror it with numpy's own functions."""
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    window = padded[:, down : down + image.shape[1], right : right + image.shape[2]]
    return window[:, :, ::-1] if mirrored else window


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["cifar10", "fashion", "digits"])
def test_augmented_images_are_windows_of_the_padded_ones(name: str, channels_last: bool):
    facts = IMAGE_SETS[name]
    stream = stream_of(facts, augment="flip-crop", channels_last=channels_last)
    plain = stream_of(facts)
    given, found = images_of(facts), set()
    moves = [(down, right, mirrored) for down in range(9) for right in range(9) for mirrored in range(2)]
    windows = [np.stack([cut_out(image, *move) for move in moves]) for image in given.images.numpy()]
    for update in range(stream.total):
        assert torch.equal(stream.examples_at(update), plain.examples_at(update))  # whatever the augmentation
        images, labels = stream.batch(update)
        assert torch.equal(labels, plain.batch(update)[1])
        for image, example in zip(images, stream.examples_at(update).tolist(), strict=True):
            near = (image - by_torch(torch.from_numpy(windows[example]), facts)).abs().amax((1, 2, 3)) < 1e-5
            matches = [moves[number] for number in near.nonzero()[:, 0].tolist()]
            assert len(matches) == 1
            found |= set(matches)
    assert {mirrored for _, _, mirrored in found} == {0, 1}
    assert {down for down, _, _ in found} == {right for _, right, _ in found} == set(range(9))


def test_moves_are_drawn_uniformly():
    stream = stream_of(augment="flip-crop")
    counts = torch.zeros(9 * 9 * 2)
    for seed in range(200):
        stream.seed = seed
        epoch = stream._drawn(1, 0)
        assert epoch.moves is not None
        counts += epoch.moves.bincount(minlength=162)
    expected = 200 * N / 162
    chi_squared = ((counts - expected) ** 2 / expected).sum().item()
    assert abs(chi_squared - 161) < 4.5 * (2 * 161) ** 0.5


def test_images_for_evaluation_are_not_augmented():
    stream, given = stream_of(augment="flip-crop"), images_of()
    chosen = torch.tensor([4, 4, 0, 49])
    images, labels = stream.pick(chosen)
    torch.testing.assert_close(images, by_torch(given.images[chosen]), atol=1e-6, rtol=1e-6)
    assert torch.equal(labels, given.labels[chosen])


def test_bytes_of_the_images_are_not_copied_on_a_cpu():
    given = images_of()
    stream = NormalisedImages(given, CIFAR, device="cpu")
    assert stream._rows.data_ptr() == given.images.data_ptr()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("augment", ["none", "flip-crop"])
def test_a_gpu_gets_the_same_batches(augment: str, channels_last: bool):
    here = stream_of(augment=augment, channels_last=channels_last)
    there = stream_of(augment=augment, channels_last=channels_last, device="cuda")
    for update in range(here.total):
        images, labels = there.batch(update)
        torch.testing.assert_close(images.cpu(), here.batch(update)[0], atol=1e-6, rtol=1e-6)
        assert torch.equal(labels.cpu(), here.batch(update)[1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"augment": "flipcrop"}, "allowed are none, flip-crop (nearest: flip-crop)"),
        ({"batch_size": 0}, "batch size 0 given; allowed is 1 or more"),
        ({"seed": -3}, "seed -3 given"),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], said: str):
    with pytest.raises(ValueError) as error:
        stream_of(**changes)
    assert said in str(error.value)


def test_images_and_phases_must_fit():
    given = images_of()
    phases = continual(given.labels, 10, phases=2, epochs=1, seed=0)
    settings: dict[str, Any] = {"batch_size": 8, "seed": 0, "device": "cpu"}
    for wrong in (
        Images(given.images.float(), given.labels),
        Images(given.images[:, :1], given.labels),
        Images(given.images, given.labels[1:]),
    ):
        with pytest.raises(ValueError, match=r"cifar10 has torch\.uint8 images of \(3, 32, 32\)"):
            PhasedImages(wrong, CIFAR, phases, **settings)
    with pytest.raises(ValueError, match="no phase given"):
        PhasedImages(given, CIFAR, [], **settings)
    with pytest.raises(ValueError, match="phase 1 has examples beyond the 10 images"):
        PhasedImages(given.at(torch.arange(10)), CIFAR, phases, **settings)
