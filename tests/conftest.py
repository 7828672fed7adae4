"""Settings and fixtures that all tests use."""

import gc
import importlib
import os
from collections.abc import Iterator
from typing import Any

import mujoco
import pytest
from hypothesis import settings
from matplotlib.figure import Figure
from PIL import Image

# No deadline for examples, because a busy machine is slow at times. Every run tries the same examples.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

MANY_TESTS = 100
MEMORY_OF_A_WORKER = 2e9  # bytes, including the processes that its tests start


@pytest.hookimpl(optionalhook=True)  # called only if pytest-xdist is installed
def pytest_xdist_auto_num_workers() -> int:
    """Return as many workers as there are cores and memory for, also inside a container."""
    from fire_rl.cores import usable_cores
    from fire_rl.memory import available_memory

    return max(1, min(usable_cores(), int(available_memory() / MEMORY_OF_A_WORKER)))


def pytest_configure(config: pytest.Config) -> None:
    """Let each worker, and the processes it starts, compute on one core."""
    if getattr(config.option, "numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collect garbage once and exclude the objects that exist now, nearly a million, from later collections."""
    if len(session.items) > MANY_TESTS:  # an optimizer would import it, and all that it holds, after this
        importlib.import_module("torch._dynamo")
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _logs_of_stable_baselines3(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Stable-Baselines3 logs below the tests' own folder, not in the system's folder for temporary files."""
    os.environ.setdefault("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread: small networks on two threads spend their time waiting for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """CUDA without a GPU: the log of what is asked of it."""
    from tests.fixtures.pretended_cuda import pretend

    return pretend(monkeypatch)


@pytest.fixture(scope="session")
def graphics() -> str:
    """The graphics library that works here. Skips the test if none does."""
    from fire_rl.envs.graphics import library, open_canvas

    try:
        name = library()
        context, canvas = open_canvas(mujoco.MjModel.from_xml_string("<mujoco/>"), 16, 16)
    except RuntimeError as error:
        pytest.skip(str(error))
    del canvas
    context.free()
    return name


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are composed and written, but as a single pixel, because rendering takes longer than a small run.

    Runs in module-scoped fixtures begin before this fixture does, and are rendered. For them there is
    `unrendered_module`.
    """
    monkeypatch.setattr(Figure, "savefig", write_one_pixel)


@pytest.fixture(scope="module")
def unrendered_module() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", write_one_pixel)
        yield


def write_one_pixel(figure: Figure, file: Any, format: str = "png", **_: Any) -> None:
    if format == "png":
        Image.new("L", (1, 1)).save(file, "png")
    else:
        file.write(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
