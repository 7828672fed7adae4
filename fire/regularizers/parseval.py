"""Parseval regularization: strength (64 / d_out)^2 ||W W' - scale I||_F^2 for every matrix except output layers.

Source: "Parseval Regularization for Continual Reinforcement Learning", Chung, Cherif, Precup and Meger, NeurIPS 2024,
arXiv 2412.07224, with PPO. There the scale is 2, the square of the layers' initial gain sqrt(2), and the strength 1e-3
(gridworld, MetaWorld) or 1e-4 (CARL), tuned at width 64; its code multiplies it by (64 / width)^2 for other widths.
Biases and norms are left unchanged. The source has multilayer perceptrons only; here the rows of a convolution are its
filters, and each ensemble member's matrix counts separately. The vision experiments of FIRE (arXiv 2602.08040) use
scale 1, no factor for the width, also the output layer, and ||g^2 - scale||^2 for the gains g of each norm:
`scale=1,width=none,outputs=include,norms=include`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..devices import multiply_, stacked
from ..methods.method import option
from ..network import Network
from .regularizer import Regularizer, with_gradient
from .trained import TrainedMatrix, new_gradients, output_addresses, owners, trained_matrices, trained_vectors


@dataclass(frozen=True, kw_only=True)
class Parseval(Regularizer):
    """Keep the rows of hidden layers' weights orthogonal: strength (64 / d_out)^2 ||W W' - scale I||_F^2."""

    has_penalty: ClassVar[bool] = True
    capturable: ClassVar[bool] = True

    strength: float = option(1e-3, "strength for layers of `width` units; 0 or more")
    scale: float = option(2.0, "squared length of a row")
    groups: int = option(1, "groups of a layer's units; rows are made orthogonal within groups only; cheaper")
    width: int | None = option(64, "the strength is multiplied by (width / d_out)^2; none: the same for all layers")
    outputs: Literal["skip", "include"] = option("skip", "the output layers")
    norms: Literal["skip", "include"] = option("skip", "norms' gains, each as a 1x1 matrix")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.scale > 0, "scale", "given; allowed is a number above 0")
        self.require(self.groups >= 1, "groups", "given; allowed is 1 or more")
        self.require(self.width is None or self.width >= 1, "width", "given; allowed is 1 or more, or none")

    def check(self, network: Network) -> None:
        """Raise ValueError if the groups do not divide a layer's units."""
        for found in self._matrices(network):
            units = found.matrix.d_out
            if units % self.groups:
                raise ValueError(f"parseval: groups={self.groups} do not divide the {units} units of {found.name!r}")

    def penalty(self, network: Network) -> Tensor | None:
        """Return the penalty of all trained matrices, and of the norms' gains if they are included."""
        matrices = self._matrices(network)
        gains = trained_vectors(network.module)[1] if self.norms == "include" else []
        if not (matrices or gains) or not self.strength:
            return None
        with torch.no_grad():
            weights = [self._blocks(found.rows()) for found in matrices]
            grams = [[self._gram(block) for block in blocks] for blocks in weights]
            factors = [self._factor(found.matrix.d_out) for found in matrices]
            values = [self._value(*of) for of in zip(weights, grams, factors, strict=True)]
            stretched = [gain.parameter.detach().square() - self.scale for gain in gains]
            values += [self.strength * torch.linalg.vector_norm(each).square() for each in stretched]

        def gradients(factor: Tensor) -> list[Tensor]:
            """Return 4 (W W' - scale I) W times the matrix's factor; for gains 4 (g^2 - scale) g times the strength."""

            def write(index: int, rows: Tensor) -> None:
                multiply_(grams[index], 4 * factors[index] * factor)
                for weight, gram, out in zip(weights[index], grams[index], self._blocks(rows), strict=True):
                    _product(weight, gram, out)

            pairs = zip(stretched, gains, strict=True)
            of_gains = [
                each * gain.parameter.detach() * (4 * self.strength * factor).to(each.device) for each, gain in pairs
            ]
            return [*new_gradients(matrices, write), *of_gains]

        parameters = [*owners(matrices), *(gain.parameter for gain in gains)]
        return with_gradient(stacked(values).sum(), parameters, gradients)

    def _matrices(self, network: Network) -> list[TrainedMatrix]:
        return trained_matrices(network.module) if self.outputs == "include" else hidden_matrices(network)

    def _factor(self, d_out: int) -> float:
        return self.strength * (1.0 if self.width is None else (self.width / d_out) ** 2)

    def _blocks(self, rows: Tensor) -> list[Tensor]:
        """Return each matrix of a stack as (groups, rows, columns), as views; a whole stack could need a copy."""
        stack = rows.reshape(-1, *rows.shape[-2:])
        return [matrix.unflatten(0, (self.groups, -1)) for matrix in stack.unbind()]

    def _gram(self, weight: Tensor) -> Tensor:
        """Return W W' - scale I, or W'W - scale I if there are fewer columns than rows."""
        gram = weight @ weight.mT if _is_wide(weight) else weight.mT @ weight
        gram.diagonal(dim1=-2, dim2=-1).sub_(self.scale)
        return gram

    def _value(self, weights: Sequence[Tensor], grams: list[Tensor], factor: float) -> Tensor:
        """Return the sum of ||W W' - scale I||_F^2; W'W alone would miss scale^2 for each row more than columns."""
        rows, columns = weights[0].shape[-2:]
        missing = max(0, rows - columns) * self.groups * len(weights)
        return factor * (torch.stack(torch._foreach_norm(grams)).square().sum() + missing * self.scale**2)


def hidden_matrices(network: Network) -> list[TrainedMatrix]:
    """Return all matrices but output layers: the last matrix of each head, or of the module if no head is named."""
    outputs = output_addresses(network.module, tuple(network.head))
    return [found for found in trained_matrices(network.module) if found.matrix.view.data_ptr() not in outputs]


def _is_wide(weight: Tensor) -> bool:
    return weight.shape[-2] <= weight.shape[-1]


def _product(weight: Tensor, gram: Tensor, out: Tensor) -> None:
    """Write gram W to `out`, or W gram if `gram` is that of the columns, following the order of `out` in memory."""
    left, right = (gram, weight) if _is_wide(weight) else (weight, gram)
    if out.stride(-1) == 1:
        torch.matmul(left, right, out=out)
    else:
        torch.matmul(right.mT, left.mT, out=out.mT)
