"""Compile an agent's losses by torch.compile, each as one graph, if --compile losses asks for it.

The losses are pure functions: they read networks and tensors and write nothing. Only updates use the compiled
functions. Measures, and methods that need a loss, use the original ones, because compiled code ignores module hooks.
"""

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from fire_rl.fire import Method, spell
from fire_rl.fire.record import restructures

MOST_GRAPHS = 10_000  # torch counts graphs by code, which all agents of a process share; its own limit is 8

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Compiled:
    """Returns compiled functions if `on` is true, and otherwise the functions themselves."""

    def __init__(self) -> None:
        self.on = False  # set by the settings of a run
        self.backend = "inductor"  # "eager" only traces the function
        self._made: dict[str, Callable[..., Any]] = {}  # by the functions' names

    def __call__(self, function: Callable[Given, Result]) -> Callable[Given, Result]:
        """Return the function, compiled if that is on; each shape of inputs gets its own graph."""
        if not self.on:
            return function
        name = function.__name__
        if name not in self._made:
            from torch import _dynamo  # takes a second to import

            _dynamo.config.recompile_limit = _dynamo.config.accumulated_recompile_limit = MOST_GRAPHS
            self._made[name] = torch.compile(function, fullgraph=True, dynamic=False, backend=self.backend)
        return self._made[name]


def require_compiler(device: torch.device) -> None:
    """Raise ValueError, in one line, if torch.compile does not work on this machine."""
    on_a_gpu = device.type == "cuda"
    usual = ("gcc", "clang") if on_a_gpu else ("clang++",) if sys.platform == "darwin" else ("g++",)
    own = os.environ.get("CC" if on_a_gpu else "CXX")
    names = (own,) if own else usual
    if not any(map(shutil.which, names)):
        variable, language = ("CC", "C") if on_a_gpu else ("CXX", "C++")
        raise ValueError(
            f"--compile losses needs a {language} compiler, and there is no {' or '.join(names)} here: install one, "
            f"or name it in {variable}"
        )
    try:
        torch.compile(_trial, fullgraph=True)(torch.ones(3, device=device))
    except Exception as error:  # torch's compilers raise errors of many kinds
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(f"--compile losses: torch.compile does not work here: {said}") from error


def _trial(value: torch.Tensor) -> torch.Tensor:
    return value.exp() + 1


def refuse_uncompiled(method: Method) -> None:
    """Raise ValueError for a method that compiled losses would bypass, or that would make them be compiled again."""
    name = spell(method)
    if method.watches_units:
        raise ValueError(f"--compile losses: {name} watches units in every update, which compiled losses prevent")
    if restructures(method):
        raise ValueError(f"--compile losses: {name} changes the structure of networks; give --compile off")
