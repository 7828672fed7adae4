"""Where the H1's meshes lie: in the package robosuite-models (MIT; Unitree's H1 is BSD-3), found without importing it.

Nineteen of its files are byte for byte those of HumanoidBench; the two feet are not, see `foot.py`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fire_rl.place import install

FOLDER = Path("assets", "robots", "h1", "meshes")


def mesh_file(name: str) -> Path:
    """The path of one link's mesh; a ValueError that says what to install where it is missing."""
    package = find_spec("robosuite_models")
    for place in package.submodule_search_locations or () if package else ():
        file = Path(place) / FOLDER / f"{name}.STL"
        if file.is_file():
            return file
    raise ValueError(f"the H1's mesh {name!r} was not found: {install('envs')}")
