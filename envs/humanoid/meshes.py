"""Find the H1's meshes in the package robosuite-models (MIT; Unitree's H1 is BSD-3) without importing the package.

Nineteen of its files are identical to those of HumanoidBench; the two feet are not, see `foot.py`.
"""

from importlib.util import find_spec
from pathlib import Path

from fire_rl.place import install

FOLDER = Path("assets", "robots", "h1", "meshes")


def mesh_file(name: str) -> Path:
    """Return the path of one link's mesh; raise ValueError with what to install if it is missing."""
    package = find_spec("robosuite_models")
    for place in package.submodule_search_locations or () if package else ():
        file = Path(place) / FOLDER / f"{name}.STL"
        if file.is_file():
            return file
    raise ValueError(f"the H1's mesh {name!r} was not found: {install('envs')}")
