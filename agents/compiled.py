"""An agent's losses, each compiled as one graph by torch.compile where that is asked for.

They are pure: they read networks and tensors and write nothing. Only updates take the compiled ones. Measures, and
methods that look at a loss, keep the functions as they are, since hooks on modules are not seen by compiled code.
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
    """Gives back functions compiled, if that is wanted, and else as they are."""

    def __init__(self) -> None:
        self.on = False  # set to true by who wants it
        self.backend = "inductor"  # "eager" only traces
        self._made: dict[str, Callable[..., Any]] = {}  # by the functions' names

    def __call__(self, function: Callable[Given, Result]) -> Callable[Given, Result]:
        """The function for these inputs; each shape of inputs has a graph of its own, whatever came before."""
        if not self.on:
            return function
        name = function.__name__
        if name not in self._made:
            from torch import _dynamo  # takes a second to import

            _dynamo.config.recompile_limit = _dynamo.config.accumulated_recompile_limit = MOST_GRAPHS
            self._made[name] = torch.compile(function, fullgraph=True, dynamic=False, backend=self.backend)
        made: Callable[Given, Result] = self._made[name]
        return made


def require_compiler(device: torch.device) -> None:
    """Raise ValueError, in one line, where torch.compile does not work on this machine."""
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
    except Exception as error:  # whatever of torch's compilers fails
        said = " ".join(str(error).split())[:200]
        raise ValueError(
            f"--compile losses: torch.compile does not work here: {type(error).__name__}: {said}"
        ) from error


def _trial(value: torch.Tensor) -> torch.Tensor:
    return value.exp() + 1


def refuse_uncompiled(method: Method) -> None:
    """Raise ValueError for a method that compiled losses would leave out, or that would compile them ever anew."""
    if method.watches_units:
        raise ValueError(
            f"--compile losses: {spell(method)} looks at units in every update, which compiled losses hide"
        )
    if restructures(method):
        raise ValueError(f"--compile losses: {spell(method)} changes what networks consist of; give --compile off")
