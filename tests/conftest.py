"""What holds for every test."""

import gc
import os
from collections.abc import Iterator
from typing import Any

import mujoco
import pytest
from hypothesis import settings
from matplotlib.figure import Figure
from PIL import Image

# Machines that run several things at once are slow now and then; that is no failure. Examples are the same in each run.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

MEMORY_OF_A_WORKER = 2e9  # bytes, with what its tests start


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is installed
def pytest_xdist_auto_num_workers() -> int:
    """As many as there are cores and memory for, in a container too."""
    from fire_rl.replay.transitions import available_memory
    from fire_rl.training.threads import usable_cores

    return max(1, min(usable_cores(), int(available_memory() / MEMORY_OF_A_WORKER)))


def pytest_configure(config: pytest.Config) -> None:
    """Where tests run side by side, each process of theirs, and what it starts, computes on one core."""
    if getattr(config.option, "numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """Each run begins with a garbage collection, which looks at these 650,000 objects no more."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _logs_of_stable_baselines3(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Below the tests' own folder, instead of in one of its own per model in the system's."""
    os.environ.setdefault("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))


@pytest.fixture(scope="session")
def graphics() -> str:
    """The library that draws here; skips what needs one where none works."""
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
    """Figures are composed from their data and written, but as one pixel: rendering takes longer than a small run.

    Runs that a whole module shares begin before this, and are rendered: for them there is `unrendered_module`.
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
