"""Every image format is read as it was written, with a note of where it is from; numpy and Pillow read the same."""

import gzip
import hashlib
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fire_rl.data import IMAGE_SETS, ImageData, Images, embedded, idx, read_images
from fire_rl.data.digits import digits_file
from tests.fixtures.pictures import (
    Pictures,
    made_up,
    write_cifar10,
    write_cifar100,
    write_idx,
    write_tinyimagenet,
)

FASHION = (1, 28, 28)


def same(read: Images, written: Pictures) -> bool:
    images, labels = written
    assert (read.images.dtype, read.labels.dtype) == (torch.uint8, torch.int64)
    return np.array_equal(read.images.numpy(), images) and np.array_equal(read.labels.numpy(), labels)


def together(parts: list[Pictures]) -> Pictures:
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


@pytest.fixture
def no_debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(idx, "DEBIAN", tmp_path / "no such folder")


@pytest.mark.usefixtures("no_debian")
@pytest.mark.parametrize("inside", ["", "fashion-mnist", "FashionMNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_fashion_is_read_gzipped_or_not_from_the_usual_folders(tmp_path: Path, inside: str, packed: bool):
    train, test = made_up(60, 10, FASHION), made_up(20, 10, FASHION, seed=1)
    write_idx(tmp_path / inside, "train", train, packed=packed)
    write_idx(tmp_path / inside, "t10k", test, packed=packed)
    assert embedded(tmp_path) == "fashion"
    read = read_images("fashion", tmp_path)
    assert same(read.train, train)
    assert same(read.test, test)
    assert "60 of the 60,000 training and 20 of the 10,000 test images" in read.source
    assert "not those that were published" in read.source


@pytest.mark.skipif(not idx.DEBIAN.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_debian_s_fashion_equals_the_published_one():
    assert embedded() == "fashion"
    read = read_images("fashion")
    assert read.train.images.shape == (60_000, 1, 28, 28)
    assert read.test.images.shape == (10_000, 1, 28, 28)
    assert read.train.labels.bincount().tolist() == [6_000] * 10
    assert read.test.labels.bincount().tolist() == [1_000] * 10
    assert "60,000 training and 10,000 test images" in read.source
    assert ", as published;" in read.source
    scaled = read.train.images.double() / 255
    assert scaled.mean().item() == pytest.approx(read.facts.mean[0], abs=5e-5)
    assert scaled.std().item() == pytest.approx(read.facts.std[0], abs=5e-5)
    with gzip.open(idx.DEBIAN / "t10k-images-idx3-ubyte.gz") as file:
        by_numpy = np.frombuffer(file.read(), np.uint8, offset=16).reshape(10_000, 28, 28)
    assert np.array_equal(read.test.images[:, 0].numpy(), by_numpy)


def write_digits(path: Path, rows: np.ndarray) -> None:
    path.write_bytes(gzip.compress("".join(",".join(map(str, row)) + "\n" for row in rows.tolist()).encode()))


def digits_rows(count: int) -> np.ndarray:
    draws = np.random.default_rng(0)
    return np.concatenate([draws.integers(0, 17, (count, 64)), draws.integers(0, 10, (count, 1))], 1)


@pytest.mark.usefixtures("no_debian")
def test_digits_are_the_embedded_set_where_no_other_is_installed(tmp_path: Path):
    assert embedded(tmp_path) == "digits"
    rows = digits_rows(50)
    write_digits(tmp_path / "digits.csv.gz", rows)
    read = read_images("digits", tmp_path)
    images = np.concatenate([read.train.images.numpy(), read.test.images.numpy()])
    assert images.shape == (50, 1, 8, 8)
    assert np.abs(images.reshape(50, 64) / 255 - rows[:, :64] / 16).max() <= 0.5 / 255
    assert {images.min(), images.max()} == {0, 255}
    assert torch.cat([read.train.labels, read.test.labels]).tolist() == rows[:, 64].tolist()
    assert len(read.test.labels) == 10


@pytest.mark.skipif(digits_file(None) is None, reason="needs scikit-learn")
def test_scikit_learn_s_digits_are_read_without_importing_it():
    program = """
import sys; from fire_rl import data
print(data.read_images('digits').source); assert 'sklearn' not in sys.modules
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "1,438 training and 359 test images" in printed
    assert "as published" in printed
    read, facts = read_images("digits"), IMAGE_SETS["digits"]
    scaled = read.train.images.double() / 255
    assert scaled.mean().item() == pytest.approx(facts.mean[0], abs=5e-5)
    assert scaled.std().item() == pytest.approx(facts.std[0], abs=1e-3)


def test_cifar10_is_read_from_its_binary_files(tmp_path: Path):
    parts = write_cifar10(tmp_path)
    for folder in (tmp_path, tmp_path / "cifar-10-batches-bin"):
        read = read_images("cifar10", folder)
        assert same(read.train, together(parts[:5]))
        assert same(read.test, parts[5])
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    content = b"".join((folder / name).read_bytes() for name in names)
    assert read.source.endswith(hashlib.sha256(content).hexdigest())
    assert "200 of the 50,000 training and 50 of the 10,000 test images" in read.source


def test_cifar100_has_its_fine_labels(tmp_path: Path):
    train, test = write_cifar100(tmp_path)
    read = read_images("cifar100", tmp_path)
    assert same(read.train, train)
    assert same(read.test, test)


def test_tinyimagenet_is_decoded_and_grey_images_become_coloured(tmp_path: Path):
    place = write_tinyimagenet(tmp_path)
    read = read_images("tinyimagenet", tmp_path)
    names = (place / "wnids.txt").read_text().split()
    files = [place / "train" / name / "images" / f"{name}_{number}.JPEG" for name in names for number in range(4)]
    assert read.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert read.test.labels.tolist() == [0, 1, 2, 0, 1]
    tests = [place / "val" / "images" / f"val_{number}.JPEG" for number in range(5)]
    for part, paths in ((read.train, files), (read.test, tests)):
        by_pillow = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
        assert np.array_equal(part.images.numpy(), by_pillow.transpose(0, 3, 1, 2))
    assert torch.equal(read.train.images[0, 0], read.train.images[0, 2])  # a gray image
    assert not torch.equal(read.train.images[1, 0], read.train.images[1, 2])
    content = b"".join(path.read_bytes() for path in (*files, *tests))
    assert read.source.endswith(hashlib.sha256(content).hexdigest())


def test_a_thread_s_share_of_the_images_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_tinyimagenet(tmp_path)
    once = read_images("tinyimagenet", tmp_path)
    monkeypatch.setattr("fire_rl.data.tinyimagenet.TOGETHER", 2)
    again = read_images("tinyimagenet", tmp_path)
    assert once.source == again.source
    assert torch.equal(once.train.images, again.train.images)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_an_archive_that_is_not_unpacked_is_named_with_a_command_that_works(tmp_path: Path, name: str):
    (write_cifar10 if name == "cifar10" else write_cifar100)(tmp_path / "made")
    (inner,) = (tmp_path / "made").iterdir()
    folder = tmp_path / "my data"
    folder.mkdir()
    archive = folder / f"{'cifar-10' if name == 'cifar10' else 'cifar-100'}-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(inner, inner.name)
    with pytest.raises(ValueError, match="is not unpacked yet") as error:
        read_images(name, folder)
    command = str(error.value).partition("not unpacked yet: ")[2].partition(" (its MD5")[0]
    subprocess.run(shlex.split(command), check=True)
    assert isinstance(read_images(name, folder), ImageData)


def test_the_archive_of_tinyimagenet_is_named_with_a_command_too(tmp_path: Path):
    write_tinyimagenet(tmp_path / "made")
    folder = tmp_path / "my data"
    folder.mkdir()
    shutil.make_archive(str(folder / "tiny-imagenet-200"), "zip", tmp_path / "made")
    with pytest.raises(ValueError, match="is not unpacked yet") as error:
        read_images("tinyimagenet", folder)
    command = str(error.value).partition("not unpacked yet: ")[2].partition(" (its MD5")[0]
    python, *others = shlex.split(command)
    assert python == "python"
    subprocess.run([sys.executable, *others], check=True)
    assert isinstance(read_images("tinyimagenet", folder), ImageData)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifar10", ("data_batch_1.bin", "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "170,052,171")),
        ("cifar100", ("train.bin", "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "168,513,733")),
        ("tinyimagenet", ("wnids.txt", "tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de", "248,100,043")),
        ("fashion", ("dataset-fashion-mnist", "train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d")),
    ],
)
@pytest.mark.usefixtures("no_debian")
def test_missing_files_are_reported_in_one_line(tmp_path: Path, name: str, expected: tuple[str, ...]):
    for folder in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError) as error:
            read_images(name, folder)
        assert "\n" not in str(error.value)
        assert "--data-dir" in str(error.value) or folder == tmp_path
        for part in expected[folder != tmp_path and name != "fashion" :]:
            assert part in str(error.value)


def test_missing_digits_are_reported_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[vision\]'"):
        read_images("digits", tmp_path)


@pytest.mark.parametrize(
    ("name", "lying_there", "wanted"),
    [
        ("cifar10", "cifar-10-batches-py", "cifar-10-binary.tar.gz"),
        ("cifar10", "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"),
        ("cifar10", "data_batch_1", "cifar-10-binary.tar.gz"),
        ("cifar10", "cifar-10-batches-mat", "cifar-10-binary.tar.gz"),
        ("cifar100", "cifar-100-python", "cifar-100-binary.tar.gz"),
        ("cifar100", "meta", "cifar-100-binary.tar.gz"),
    ],
)
def test_the_pickled_version_is_refused_by_name(tmp_path: Path, name: str, lying_there: str, wanted: str):
    (tmp_path / lying_there).mkdir()
    with pytest.raises(ValueError, match="pickle") as error:
        read_images(name, tmp_path)
    assert wanted in str(error.value)
    assert str(tmp_path / lying_there) in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("cifar-10", "cifar10"), ("mnist", "fashion"), ("tiny", "tinyimagenet")]
)
def test_unknown_sets_are_refused_with_the_nearest_name(wrong: str, nearest: str):
    with pytest.raises(ValueError, match="no data set is called") as error:
        read_images(wrong)
    assert nearest in str(error.value)


def test_recorded_facts_about_the_sets_fit_each_other():
    for name, facts in IMAGE_SETS.items():
        assert name == facts.name
        assert len(facts.mean) == len(facts.std) == facts.shape[0]
