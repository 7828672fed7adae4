"""Which folder is which package: the rooms at the top of the checkout are packages of `fire_rl` (see its docstring)."""

from setuptools import find_packages, setup

ROOMS = ("agents", "commands", "data", "envs", "experiments", "fire", "remote", "replay", "training")

setup(
    packages=[
        "fire_rl",
        "fire_rl.pretrained",
        *(f"fire_rl.{name}" for room in ROOMS for name in find_packages(include=[room, f"{room}.*"])),
    ],
    package_dir={"fire_rl": "fire_rl"} | {f"fire_rl.{room}": room for room in (*ROOMS, "pretrained")},
)
