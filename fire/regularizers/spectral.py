"""Spectral regularization: strength times the sum of (sigma^k - 1)^2 over weights and of ||b||^(2k) over biases.

Source: "Learning Continually by Spectral Regularization", Lewandowski, Bortkiewicz, Kumar, György, Schuurmans,
Ostaszewski and Machado, ICLR 2025, arXiv 2406.06811: k = 2, strength tuned. sigma is the largest singular value. It is
estimated by one power iteration per step, which continues from the last one: v = W'u and u = Wv, each divided by its
length; d sigma / dW = u v'. After an event that rewrites weights, some steps pass until the estimate is right again.
A norm's gain counts as a diagonal matrix and its shift as a bias, since factors are pulled towards 1 and added terms
towards 0. A convolution's filters are the rows of its matrix; each ensemble member counts separately.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..devices import stacked
from ..methods.method import option
from ..network import MethodNetwork, Network
from .regularizer import Regularizer, with_gradient
from .trained import (
    TrainedMatrix,
    TrainedVector,
    all_matrices,
    new_gradients,
    owners,
    trained_matrices,
    trained_vectors,
)

FIRST_ITERATIONS = 15  # power iterations before the first step; with fewer, the first sigma is far too small


@dataclass(frozen=True, kw_only=True)
class Spectral(Regularizer):
    """Keep largest singular values near 1 and biases near 0: strength (sum (sigma^k - 1)^2 + sum ||b||^(2k))."""

    has_penalty: ClassVar[bool] = True
    capturable: ClassVar[bool] = True

    strength: float = option(1e-4, "factor of the penalty; 0 or more")
    k: int = option(2, "power of the singular value; 1 or more")
    iterations: int = option(1, "power iterations at each gradient step")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("k", "iterations"):
            self.require(getattr(self, name) >= 1, name, "given; allowed is 1 or more")

    def check(self, network: Network) -> None:
        """Raise ValueError if the module has a weight of unknown layout."""
        trained_matrices(network.module)

    @torch.no_grad()
    def begin(self, network: MethodNetwork) -> None:
        """Start from a random unit vector u for each matrix, and turn it towards the largest singular value."""
        for found in all_matrices(network.module):  # also frozen ones, which may be trained later
            shape = found.rows().shape[:-1]
            left = torch.randn(shape, generator=network.generator).to(found.parameter)
            network.memory[found.name] = left / left.norm(dim=-1, keepdim=True)
            turn(found, network.memory[found.name], FIRST_ITERATIONS)

    def penalty(self, network: MethodNetwork) -> Tensor | None:
        """Return the penalty of spectral norms, biases and gains, after some more steps of power iteration."""
        matrices = trained_matrices(network.module)
        biases, gains = trained_vectors(network.module)
        if not (matrices or biases or gains) or not self.strength:
            return None
        with torch.no_grad():
            turned = [turn(found, network.memory[found.name], self.iterations) for found in matrices]
            lengths = [bias.rows().norm(dim=-1) for bias in biases]
            largest = [gain.rows().abs().max(-1, keepdim=True) for gain in gains]
            sigmas = [sigma for sigma, _, _ in turned] + [gain.values for gain in largest]
            terms = [(sigma.pow(self.k) - 1).square().sum() for sigma in sigmas]
            terms += [length.pow(2 * self.k).sum() for length in lengths]
            value = self.strength * stacked(terms).sum()

        def gradients(factor: Tensor) -> list[Tensor]:
            factor = factor * self.strength
            powers = [2 * self.k * (sigma.pow(self.k) - 1) * sigma.pow(self.k - 1) for sigma in sigmas]
            slopes = [power * factor.to(power.device) for power in powers]

            def write(index: int, rows: Tensor) -> None:
                _, left, right = turned[index]
                torch.mul((slopes[index].unsqueeze(-1) * left).unsqueeze(-1), right.unsqueeze(-2), out=rows)

            return [
                *new_gradients(matrices, write),
                *(_diagonal(*of) for of in zip(gains, largest, slopes[len(matrices) :], strict=True)),
                *(self._towards_zero(bias, length, factor) for bias, length in zip(biases, lengths, strict=True)),
            ]

        parameters = [*owners(matrices), *(vector.parameter for vector in (*gains, *biases))]
        return with_gradient(value, parameters, gradients)

    def _towards_zero(self, bias: TrainedVector, length: Tensor, factor: Tensor) -> Tensor:
        slope = 2 * self.k * length.pow(2 * self.k - 2) * factor.to(length.device)
        return (slope.unsqueeze(-1) * bias.rows()).view(bias.parameter.shape)


def turn(found: TrainedMatrix, kept: Tensor, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return sigma = ||Wv||, u and v of every matrix in a stack, after power iterations that start from u in `kept`.

    The new u is written to `kept`. Matrices are processed one by one, since batched products with vectors are slow.
    """
    rows = found.rows()
    stack = rows.shape[:-2]
    weights = rows.reshape(-1, *rows.shape[-2:]).unbind()
    lefts = list(kept.view(-1, rows.shape[-2]).unbind())
    for _ in range(iterations):
        rights = [_unit(weight.mT @ left)[0] for weight, left in zip(weights, lefts, strict=True)]
        images = [_unit(weight @ right) for weight, right in zip(weights, rights, strict=True)]
        # A matrix of zeros has no largest direction: keep u.
        lefts = [torch.where(sigma > 0, image, left) for (image, sigma), left in zip(images, lefts, strict=True)]
    left, right = torch.stack(lefts), torch.stack(rights)
    kept.copy_(left.view(kept.shape))
    sigma = torch.stack([length for _, length in images])
    return sigma.view(stack), left.view(*stack, -1), right.view(*stack, -1)


def _unit(vector: Tensor) -> tuple[Tensor, Tensor]:
    length = torch.linalg.vector_norm(vector)
    return vector / length.clamp_min(torch.finfo(vector.dtype).tiny), length


def _diagonal(gain: TrainedVector, largest: Sequence[Tensor], slope: Tensor) -> Tensor:
    """Return the gradient for a gain: only its largest entry, the largest singular value, gets one."""
    rows = gain.rows()
    _, index = largest
    gradient = torch.zeros_like(rows).scatter_(-1, index, slope * rows.gather(-1, index).sign())
    return gradient.view(gain.parameter.shape)
