"""What a module trains, as regularizers see it: matrices by their rows, biases, gains; and gradients laid out alike.

A matrix's rows are (d_out, d_in): of a convolution each filter is one row, d_in x kernel positions long. Stacks (groups
of a convolution, members of an ensemble) stay stacks of matrices, each counted by itself.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..matrices import LEFT_ALONE, Matrix, take_inventory


@dataclass(frozen=True)
class TrainedMatrix:
    """A matrix, and the parameter in whose storage it lies."""

    matrix: Matrix
    parameter: nn.Parameter

    @property
    def name(self) -> str:
        return self.matrix.name

    def rows(self) -> Tensor:
        """(*stack, d_out, d_in x kernel positions), detached; a view but for some convolutions."""
        return self._rows(self._placed(self.matrix.view))

    def write(self, gradient: Tensor, write: Callable[[Tensor], None]) -> None:
        """`write` fills a tensor like `rows()`, and so the matrix's part of a gradient laid out as the parameter."""
        view = self.matrix.view
        offset = view.storage_offset() - self.parameter.storage_offset()
        placed = self._placed(gradient.as_strided(view.shape, view.stride(), gradient.storage_offset() + offset))
        rows = self._rows(placed)
        write(rows)
        if rows.untyped_storage().data_ptr() != gradient.untyped_storage().data_ptr():
            placed.copy_(rows.view(placed.shape))

    def _placed(self, view: Tensor) -> Tensor:
        """Kernel positions behind the inputs: (*kernel, *stack, d_out, d_in) as (*stack, d_out, d_in, *kernel)."""
        kernel = range(self._kernel_dimensions)
        return view.movedim(tuple(kernel), tuple(range(-len(kernel), 0)))

    def _rows(self, placed: Tensor) -> Tensor:
        return placed.flatten(-1 - self._kernel_dimensions)

    @property
    def _kernel_dimensions(self) -> int:
        """How many leading dimensions of the view are kernel positions."""
        shape, positions = self.matrix.view.shape, self.matrix.kernel_positions
        return next(count for count in range(len(shape) - 1) if math.prod(shape[:count]) == positions)


@dataclass(frozen=True)
class TrainedVector:
    """A bias or a norm's gain; of an ensemble, as many as members."""

    name: str
    parameter: nn.Parameter
    width: int

    def rows(self) -> Tensor:
        """(members, width), detached."""
        return self.parameter.detach().reshape(-1, self.width)


def trained_matrices(module: nn.Module) -> list[TrainedMatrix]:
    """Of every weight that takes gradients; an error where a module does not say what matrices its weight holds."""
    return [found for found in _inventory(module).matrices if found.parameter.requires_grad]


def trained_vectors(module: nn.Module) -> tuple[list[TrainedVector], list[TrainedVector]]:
    """What takes gradients and is added (biases, norms' shifts), and what multiplies unit by unit (norms' gains)."""
    inventory = _inventory(module)
    biases = [vector for vector in inventory.biases if vector.parameter.requires_grad]
    return biases, [vector for vector in inventory.gains if vector.parameter.requires_grad]


def owners(matrices: Sequence[TrainedMatrix]) -> list[nn.Parameter]:
    """The parameters that hold the matrices, each once."""
    return list({id(found.parameter): found.parameter for found in matrices}.values())


def new_gradients(matrices: Sequence[TrainedMatrix], write: Callable[[int, Tensor], None]) -> list[Tensor]:
    """A gradient for each of `owners`, with the rows of the n-th matrix written by `write(n, rows)`."""
    gradients: dict[int, Tensor] = {}
    for index, found in enumerate(matrices):
        parameter, view = found.parameter, found.matrix.view
        if id(parameter) not in gradients:
            gradient = torch.empty_strided(
                parameter.shape, parameter.stride(), dtype=parameter.dtype, device=parameter.device
            )
            whole = view.numel() == parameter.numel()
            gradients[id(parameter)] = gradient if whole else gradient.zero_()
        found.write(gradients[id(parameter)], lambda rows, index=index: write(index, rows))  # type: ignore[misc]
    return list(gradients.values())


@dataclass(frozen=True)
class _Inventory:
    """Everything of a module that regularizers ask for, and the addresses at which it was found."""

    addresses: list[tuple[int, int]]
    matrices: list[TrainedMatrix]
    biases: list[TrainedVector]
    gains: list[TrainedVector]


# Taking an inventory lasts as long as a small update on a GPU, and changes only when tensors do.
_inventories: WeakKeyDictionary[nn.Module, _Inventory] = WeakKeyDictionary()


def _inventory(module: nn.Module) -> _Inventory:
    parameters = list(module.parameters())
    addresses = [(id(parameter), parameter.data_ptr()) for parameter in parameters]
    if module not in _inventories or _inventories[module].addresses != addresses:
        inventory = take_inventory(module).declared(exclude=False)
        matrices = [TrainedMatrix(matrix, module.get_parameter(matrix.parameter)) for matrix in inventory.matrices]
        vectors = [vector for name in inventory.left if (vector := _vector(module, name))]
        biases = [vector for vector in vectors if "bias" in vector.name.rpartition(".")[2]]
        gains = [vector for vector in vectors if vector.name.rpartition(".")[2] == "weight"]
        _inventories[module] = _Inventory(addresses, matrices, biases, gains)
    return _inventories[module]


def _vector(module: nn.Module, name: str) -> TrainedVector | None:
    """A bias or gain. Torch's own layers have one for each parameter; others one for each ensemble member."""
    parameter, owner = module.get_parameter(name), module.get_submodule(name.rpartition(".")[0])
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag | nn.PReLU) or not parameter.numel():
        return None
    width = parameter.numel() if isinstance(owner, LEFT_ALONE) or not parameter.ndim else parameter.shape[-1]
    return TrainedVector(name, parameter, width)
