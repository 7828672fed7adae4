"""Measures each solver on Gaussian weights with the shapes of SAC and ResNet-18: time, DfI, distance to the factor.

Run from the root: `python -m benchmarks.fire [--threads N] [--repeats N]`. DfI is the deviation from isometry; the
distance is that to the polar factor.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import cast

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library, when run as a script

from fire_rl import fire


class Ensemble(nn.Module):
    """The linear layers of several networks of one shape, with weights stored as (member, in, out)."""

    def __init__(self, members: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, d_in, d_out) / d_in**0.5)

    def plastic_matrices(self) -> Iterable[fire.Matrix]:
        """Declare the matrices."""
        _, d_in, d_out = self.weight.shape
        yield fire.Matrix("weight", self.weight.mT, d_out, d_in)


def simba(members: int, d_in: int, width: int, blocks: int, heads: list[int]) -> nn.Module:
    """Return the linear layers of a SimBa network: an embedding, residual blocks of four times the width, and heads."""
    sizes = [(d_in, width), *[(width, 4 * width), (4 * width, width)] * blocks, *[(width, head) for head in heads]]
    return nn.ModuleList(Ensemble(members, *size) for size in sizes)


def sac_networks() -> nn.Module:
    """Return SAC's networks for h1-walk at their published sizes: 51 observations, 19 actions."""
    critic = simba(members=2, d_in=51 + 19, width=512, blocks=2, heads=[1])
    actor = simba(members=1, d_in=51, width=128, blocks=1, heads=[19, 19])
    return nn.ModuleDict({"critic": critic, "actor": actor})


def sac_networks_with_dead_units() -> nn.Module:
    """Return the same networks with a tenth of every layer's outputs dead."""
    module = sac_networks()
    with torch.no_grad():
        for weight in module.parameters():
            weight[..., 1::10] = 0.0
    return module


def resnet_18() -> nn.Module:
    """Return the convolutions and the classifier of a ResNet-18."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, bias=False)]
    for d_in, width in [(64, 64), (64, 128), (128, 256), (256, 512)]:
        layers += [nn.Conv2d(size, width, 3, bias=False) for size in (d_in, width, width, width)]
        layers += [nn.Conv2d(d_in, width, 1, bias=False)] if d_in != width else []
    return nn.ModuleList([*layers, nn.Linear(512, 1000)])


def published(matrix: Tensor) -> Tensor:
    """Apply the published formula to one matrix after another, as the published code does."""
    factors = []
    for one in matrix.reshape(-1, *matrix.shape[-2:]):
        factor = one.mT if one.shape[0] < one.shape[1] else one
        factor = factor / factor.norm()
        for _ in range(10):
            factor = 1.5 * factor - 0.5 * factor @ (factor.mT @ factor)
        factors.append(factor.mT if one.shape[0] < one.shape[1] else factor)
    return torch.stack(factors).reshape(matrix.shape)


SOLVERS: dict[str, Callable[[Tensor], Tensor]] = {"published loop": published}
SOLVERS |= {name: partial(fire.polar_factor, solver=cast(fire.Solver, name)) for name in fire.SOLVERS}


def time_each(matrices: list[fire.Matrix], repeats: int) -> dict[str, float]:
    """Return the best time of each solver; they are timed in turns, so that other load affects all of them equally."""
    seconds = dict.fromkeys(SOLVERS, float("inf"))
    for _ in range(repeats):
        for name, solve in SOLVERS.items():
            started = perf_counter()
            for matrix in matrices:
                solve(matrix.view)
            seconds[name] = min(seconds[name], perf_counter() - started)
    return seconds


def measure_each(matrices: list[fire.Matrix]) -> dict[str, tuple[float, float, int]]:
    """Return each solver's worst DfI, largest relative distance to the polar factor, and number of null directions.

    The distance is measured without a matrix's null directions, in which the polar factor is not unique.
    """
    measures = dict.fromkeys(fire.SOLVERS, (0.0, 0.0, 0))
    for matrix in matrices:
        left, values, right = torch.linalg.svd(matrix.view.double(), full_matrices=False)
        present = (values > 1e-10 * values[..., :1])[..., None, :]
        for name, (deviation, distance, null) in measures.items():
            factor = SOLVERS[name](matrix.view)
            apart = (factor.double() @ (right.mT * present) - left * present).norm() / (left * present).norm()
            reached = fire.singular_values(replace(matrix, view=factor * matrix.scale))
            worst = float((reached.square() - 1).square().sum(-1).amax())
            measures[name] = (max(deviation, worst), max(distance, float(apart)), null + int((reached < 0.01).sum()))
    return measures


def main() -> None:
    """Print a table for each set of networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads that torch uses")
    parser.add_argument("--repeats", type=int, default=3, help="timings per solver; the fastest is used")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for build in (sac_networks, sac_networks_with_dead_units, resnet_18):
        torch.manual_seed(0)
        matrices = list(fire.take_inventory(build()).matrices)
        count = sum(matrix.view.numel() for matrix in matrices) / 1e6
        print(f"\n{build.__name__.replace('_', ' ')}: {count:.2f} M weights, {torch.get_num_threads()} threads")
        print(f"{'solver':<16}{'seconds':>9}{'worst DfI':>12}{'worst distance':>16}{'null directions':>17}")
        measures = measure_each(matrices)
        for name, seconds in time_each(matrices, arguments.repeats).items():
            deviation, distance, null = measures["newton-schulz" if name == "published loop" else name]
            print(f"{name:<16}{seconds:>9.3f}{deviation:>12.2g}{distance:>16.2g}{null:>17}", flush=True)


if __name__ == "__main__":
    main()
