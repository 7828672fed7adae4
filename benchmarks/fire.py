"""Each solver on the weights of SAC and of ResNet-18: seconds, deviation from isometry, distance to the polar factor.

Run from the root: `python benchmarks/fire.py [--threads N] [--repeats N]`. Weights are Gaussian. Times are the best of
the repeats, in which the solvers take turns, so that a slow moment of the machine hits all of them alike.
"""

import argparse
import copy
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import cast

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library, when run as a script

import fire


class Ensemble(nn.Module):
    """Linear layers of alike networks, weights stored as (member, in, out)."""

    def __init__(self, members: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, d_in, d_out) / d_in**0.5)

    def plastic_matrices(self) -> Iterable[fire.Matrix]:
        _, d_in, d_out = self.weight.shape
        yield fire.Matrix("weight", self.weight.mT, d_out, d_in)


def simba(members: int, d_in: int, width: int, blocks: int, heads: list[int]) -> nn.Module:
    """The linear layers of a SimBa network: into the width, residual blocks of four times the width, heads."""
    sizes = [(d_in, width), *[(width, 4 * width), (4 * width, width)] * blocks, *[(width, head) for head in heads]]
    return nn.ModuleList(Ensemble(members, *size) for size in sizes)


def sac_networks() -> nn.Module:
    """SAC on h1-walk at its published size: 51 observations, 19 actions."""
    critic = simba(members=2, d_in=51 + 19, width=512, blocks=2, heads=[1])
    actor = simba(members=1, d_in=51, width=128, blocks=1, heads=[19, 19])
    return nn.ModuleDict({"critic": critic, "actor": actor})


def sac_networks_with_dead_units() -> nn.Module:
    """The same after a tenth of every layer's outputs have died."""
    module = sac_networks()
    with torch.no_grad():
        for weight in module.parameters():
            weight[..., 1::10] = 0.0
    return module


def resnet_18() -> nn.Module:
    """The convolutions and the classifier of a ResNet-18."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, bias=False)]
    for d_in, width in [(64, 64), (64, 128), (128, 256), (256, 512)]:
        layers += [nn.Conv2d(size, width, 3, bias=False) for size in (d_in, width, width, width)]
        layers += [nn.Conv2d(d_in, width, 1, bias=False)] if d_in != width else []
    return nn.ModuleList([*layers, nn.Linear(512, 1000)])


@torch.no_grad()
def published_loop(module: nn.Module) -> None:
    """The published formula, one matrix after another as the published code does it."""
    for matrix in fire.take_inventory(module).matrices:
        for view in matrix.view.reshape(-1, matrix.d_out, matrix.d_in):
            factor = view.mT if matrix.d_out < matrix.d_in else view
            factor = factor / factor.norm()
            for _ in range(10):
                factor = 1.5 * factor - 0.5 * factor @ (factor.mT @ factor)


@dataclass
class Row:
    """What a solver makes of one network."""

    name: str
    seconds: float = float("inf")
    numbers: str = ""


@torch.no_grad()
def distance(module: nn.Module, original: nn.Module) -> float:
    """The largest relative distance to a true polar factor, over the directions that the original matrix has."""
    distances = []
    inventories = fire.take_inventory(module), fire.take_inventory(original)
    for matrix, before in zip(*(inventory.matrices for inventory in inventories), strict=True):
        left, values, right = torch.linalg.svd(before.view.double(), full_matrices=False)
        present = (values > 1e-10 * values[..., :1])[..., None, :]
        reached = matrix.view.double() / matrix.scale @ (right.mT * present)
        distances.append((reached - left * present).norm() / (left * present).norm())
    return float(torch.stack(distances).amax())


def measure(module: nn.Module, repeats: int) -> list[Row]:
    loop, solvers = Row("published loop"), [Row(name) for name in fire.SOLVERS]
    for _ in range(repeats):
        started = perf_counter()
        published_loop(module)
        loop.seconds = min(loop.seconds, perf_counter() - started)
        for row in solvers:
            projected = copy.deepcopy(module)
            matrices = fire.fire_(projected, cast(fire.Solver, row.name)).matrices
            row.seconds = min(row.seconds, sum(matrix.seconds for matrix in matrices))
            if not row.numbers:
                deviation = max(matrix.deviation_after for matrix in matrices)
                null_directions = sum(matrix.null_directions for matrix in matrices)
                row.numbers = f"{deviation:>12.2g}{distance(projected, module):>16.2g}{null_directions:>17}"
    return [loop, *solvers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads that torch uses")
    parser.add_argument("--repeats", type=int, default=3, help="runs per solver, of which the fastest counts")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for build in (sac_networks, sac_networks_with_dead_units, resnet_18):
        torch.manual_seed(0)
        module = build()
        count = sum(parameter.numel() for parameter in module.parameters()) / 1e6
        print(f"\n{build.__name__.replace('_', ' ')}: {count:.2f} M weights, {torch.get_num_threads()} threads")
        print(f"{'solver':<16}{'seconds':>9}{'worst DfI':>12}{'worst distance':>16}{'null directions':>17}")
        for row in measure(module, arguments.repeats):
            print(f"{row.name:<16}{row.seconds:>9.3f}{row.numbers}", flush=True)


if __name__ == "__main__":
    main()
