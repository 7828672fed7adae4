"""Muon: a matrix moves along its momentum, made nearly orthogonal; parameters that are not hidden matrices use Adam.

    B <- m B + (1 - m) G,   M = (1 - m) G + m B,   W <- W - rate max(1, rows / columns)^0.5 NS(M)

NS is five steps of X <- a X + (b XX' + c (XX')^2) X from X = M / ||M||_F, in bfloat16. A convolution is one matrix,
(out, in x kernel positions), and its learning rate has the factor 1, as in the authors' code.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
kellerjordan.github.io/posts/muon; rates and the choice of parameters as in the vision experiments of FIRE
(arXiv 2602.08040).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from fire_rl.fire.network import lies_in

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a, b, c: chosen for a steep slope at 0, not for convergence
SMALLEST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon for some parameters of a list and Adam for the others, in one group and in the order of the list.

    The group's `lr` is Adam's; Muon's is `muon_ratio` times that, so that a schedule of `lr` changes both. All state is
    created at the start, as zeros. A phase of training may be left to Adam alone (`adam_alone`, `as_made`).
    """

    starts_at_zero: ClassVar[bool] = True  # `fire` may reset it by zeroing its state

    def __init__(
        self,
        parameters: Sequence[Tensor],
        by_muon: Sequence[bool],
        *,
        learning_rate: float = 1e-2,
        momentum: float = 0.95,
        steps: int = 5,
        adam_learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        epsilon: float = 1e-10,
    ) -> None:
        if len(parameters) != len(by_muon):
            raise ValueError(
                f"Muon: {len(parameters)} parameters given, but {len(by_muon)} entries in by_muon; give one for each"
            )
        for parameter, chosen in zip(parameters, by_muon, strict=True):
            if chosen and parameter.ndim < 2:
                raise ValueError(
                    f"Muon: a parameter of shape {tuple(parameter.shape)} given; allowed are two dimensions or more"
                )
        group = {
            "lr": adam_learning_rate,
            "muon_ratio": learning_rate / adam_learning_rate,
            "momentum": momentum,
            "steps": steps,
        }
        super().__init__(parameters, group)
        self._made_with = tuple(by_muon), betas, epsilon
        self.as_made()

    def as_made(self) -> None:
        """From now on update the parameters as was chosen when this optimizer was made; all state starts at zero."""
        self._begin(*self._made_with)

    def adam_alone(self, betas: tuple[float, float], epsilon: float) -> None:
        """From now on update all parameters by Adam, with these settings; all state starts at zero."""
        self._begin((False,) * len(self._made_with[0]), betas, epsilon)

    def _begin(self, by_muon: tuple[bool, ...], betas: tuple[float, float], epsilon: float) -> None:
        (group,) = self.param_groups
        group |= {"by_muon": by_muon, "betas": betas, "eps": epsilon}
        for parameter, chosen in zip(group["params"], by_muon, strict=True):
            zeros = ("momentum_buffer",) if chosen else ("exp_avg", "exp_avg_sq")
            state = {name: torch.zeros_like(parameter) for name in zeros}
            step = {} if chosen else {"step": torch.zeros((), dtype=torch.float32, device=parameter.device)}
            self.state[parameter] = step | state

    def learning_rates(self) -> dict[int, float]:
        """Return the learning rate of each parameter, by its id: Muon's with its factor, or Adam's."""
        (group,) = self.param_groups
        return {
            id(parameter): self._rate(parameter, group) if chosen else group["lr"]
            for parameter, chosen in zip(group["params"], group["by_muon"], strict=True)
        }

    @staticmethod
    def _rate(parameter: Tensor, group: dict[str, Any]) -> float:
        return float(group["lr"] * group["muon_ratio"] * rate_factor(parameter))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step: Muon's for the matrices chosen for it, Adam's for all other parameters."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            chosen = list(zip(group["params"], group["by_muon"], strict=True))
            for parameter, by_muon in chosen:
                if by_muon and parameter.grad is not None:
                    self._muon_step(parameter, parameter.grad, group)
            self._adam_step([each for each, by_muon in chosen if not by_muon and each.grad is not None], group)
        return loss

    def _muon_step(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        momentum = self.state[parameter]["momentum_buffer"]
        momentum.lerp_(gradient, 1 - group["momentum"])
        matrices = as_matrices(gradient.lerp(momentum, group["momentum"]))
        moves = torch.stack([nearly_orthogonal(matrix, group["steps"]) for matrix in matrices])
        parameter.add_(moves.view(parameter.shape), alpha=-self._rate(parameter, group))

    def _adam_step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        if not parameters:
            return
        states = [self.state[parameter] for parameter in parameters]
        adam(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            capturable=parameters[0].is_cuda,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )


def muon_and_adam(
    module: nn.Module, encoder: tuple[str, ...] = ("encoder",), *, adam_learning_rate: float = 1e-3
) -> Muon:
    """Return Muon as published with the vision networks, for the module's trained parameters, in their order.

    Muon updates every parameter of the encoder with two dimensions or more: the convolutions of ResNet-18 and VGG-16;
    in the ViT all linear layers, positions and the class token. Norms, biases and the head use Adam.
    """
    learning = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    return Muon(
        [parameter for _, parameter in learning],
        [parameter.ndim >= 2 and lies_in(name, encoder) for name, parameter in learning],
        learning_rate=10 * adam_learning_rate,
        adam_learning_rate=adam_learning_rate,
    )


def as_matrices(values: Tensor) -> Tensor:
    """View values as (count, rows, columns); a convolution is one matrix with its filters as rows."""
    if values.ndim > 3:
        return values.flatten(1).unsqueeze(0)
    return values.reshape(-1, *values.shape[-2:])


def rate_factor(parameter: Tensor) -> float:
    """Return the factor of the learning rate, larger for tall matrices.

    It depends on the last two dimensions, as in the authors' code; in a convolution these are the square kernel.
    """
    return math.sqrt(max(1.0, parameter.shape[-2] / parameter.shape[-1]))


def nearly_orthogonal(matrix: Tensor, steps: int) -> Tensor:
    """Return the matrix with its singular values moved to between about 0.5 and 1.5, in bfloat16."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.bfloat16()
    found = found.T if tall else found
    found = found / found.norm().clamp(min=SMALLEST_NORM)
    for _ in range(steps):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.T if tall else found
