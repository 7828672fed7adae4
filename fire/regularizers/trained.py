"""The trained parameters of a module as regularizers see them: matrices as rows, biases and gains, and their gradients.

Rows have the shape (d_out, d_in); in a convolution each filter is one row, of length d_in x kernel positions. Stacks
(groups of a convolution, members of an ensemble) remain stacks of matrices, each counted separately.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..layers import Matrix
from ..matrices import LEFT_ALONE, last_layers, take_inventory


@dataclass(frozen=True)
class TrainedMatrix:
    """A matrix, and the parameter that holds it."""

    matrix: Matrix
    parameter: nn.Parameter
    kernel_dimensions: int  # how many leading dimensions of the view are kernel positions

    @classmethod
    def of(cls, matrix: Matrix, parameter: nn.Parameter) -> "TrainedMatrix":
        """Return a matrix with its parameter; raise ValueError if no dimensions of its view are kernel positions."""
        shape, positions = matrix.view.shape, matrix.kernel_positions
        for count in range(len(shape) - 1):
            if math.prod(shape[:count]) == positions:
                return cls(matrix, parameter, count)
        raise ValueError(
            f"matrix {matrix.name!r}: kernel_positions={positions} given, but the first dimensions of its view of "
            f"shape {tuple(shape)} do not multiply to that number"
        )

    @property
    def name(self) -> str:
        """The matrix's name."""
        return self.matrix.name

    def rows(self) -> Tensor:
        """Return (*stack, d_out, d_in x kernel positions), detached; a view except for some convolutions."""
        return self._rows(self._placed(self.matrix.view))

    def write(self, gradient: Tensor, write: Callable[[Tensor], None]) -> None:
        """Fill the matrix's part of the parameter's gradient: call `write` with a tensor of the shape of `rows()`."""
        view = self.matrix.view
        offset = view.storage_offset() - self.parameter.storage_offset()
        placed = self._placed(gradient.as_strided(view.shape, view.stride(), gradient.storage_offset() + offset))
        rows = self._rows(placed)
        write(rows)
        if rows.untyped_storage().data_ptr() != gradient.untyped_storage().data_ptr():
            placed.copy_(rows.view(placed.shape))

    def _placed(self, view: Tensor) -> Tensor:
        """Move kernel positions to the end: (*kernel, *stack, d_out, d_in) becomes (*stack, d_out, d_in, *kernel)."""
        kernel = range(self.kernel_dimensions)
        return view.movedim(tuple(kernel), tuple(range(-len(kernel), 0)))

    def _rows(self, placed: Tensor) -> Tensor:
        return placed.flatten(-1 - self.kernel_dimensions)


@dataclass(frozen=True)
class TrainedVector:
    """A bias or a norm's gain; in an ensemble, those of all members."""

    name: str
    parameter: nn.Parameter
    width: int

    def rows(self) -> Tensor:
        """Return the values as (members, width), detached."""
        return self.parameter.detach().reshape(-1, self.width)


def all_matrices(module: nn.Module) -> list[TrainedMatrix]:
    """Return the matrices of all weights, frozen ones too; raise ValueError if a module has an undeclared weight."""
    return list(_inventory(module).matrices)


def trained_matrices(module: nn.Module) -> list[TrainedMatrix]:
    """Return the matrices of all trained weights; raise ValueError if a module has an undeclared weight."""
    return [found for found in all_matrices(module) if found.parameter.requires_grad]


def trained_vectors(module: nn.Module) -> tuple[list[TrainedVector], list[TrainedVector]]:
    """Return the trained biases, including shifts of norms, and the trained gains of norms."""
    inventory = _inventory(module)
    biases = [vector for vector in inventory.biases if vector.parameter.requires_grad]
    return biases, [vector for vector in inventory.gains if vector.parameter.requires_grad]


def output_addresses(module: nn.Module, head: tuple[str, ...]) -> set[int]:
    """Return the memory addresses of the last matrix of each head, or of the module if no head is named."""
    known = _inventory(module).outputs
    if head not in known:
        known[head] = {matrix.view.data_ptr() for matrix in last_layers(module, head).values()}
    return known[head]


def owners(matrices: Sequence[TrainedMatrix]) -> list[nn.Parameter]:
    """Return the parameters that hold the matrices, each once."""
    return list({id(found.parameter): found.parameter for found in matrices}.values())


def new_gradients(matrices: Sequence[TrainedMatrix], write: Callable[[int, Tensor], None]) -> list[Tensor]:
    """Return a gradient for each of `owners`; `write(n, rows)` fills in the rows of the n-th matrix."""
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
    """The matrices, biases and gains of a module, and the memory addresses of its parameters at that time.

    `outputs` has the addresses of the last matrices of heads that were asked for.
    """

    addresses: list[tuple[int, int]]
    matrices: list[TrainedMatrix]
    biases: list[TrainedVector]
    gains: list[TrainedVector]
    outputs: dict[tuple[str, ...], set[int]] = field(default_factory=dict)


# Taking an inventory takes as long as a small update on a GPU, so it is repeated only when tensors have changed.
_inventories: WeakKeyDictionary[nn.Module, _Inventory] = WeakKeyDictionary()


def _inventory(module: nn.Module) -> _Inventory:
    parameters = list(module.parameters())
    addresses = [(id(parameter), parameter.data_ptr()) for parameter in parameters]
    if module not in _inventories or _inventories[module].addresses != addresses:
        inventory = take_inventory(module).declared(exclude=False)
        matrices = [TrainedMatrix.of(matrix, module.get_parameter(matrix.parameter)) for matrix in inventory.matrices]
        vectors = [vector for name in inventory.left if (vector := _vector(module, name))]
        biases = [vector for vector in vectors if "bias" in vector.name.rpartition(".")[2]]
        holders = {matrix.parameter.rpartition(".")[0] for matrix in inventory.matrices}
        gains = [vector for vector in vectors if _is_gain(vector, holders)]
        _inventories[module] = _Inventory(addresses, matrices, biases, gains)
    return _inventories[module]


def _is_gain(vector: TrainedVector, holders: set[str]) -> bool:
    """Whether this is a norm's gain, and not a further weight of a module that holds matrices."""
    owner, _, key = vector.name.rpartition(".")
    return key == "weight" and (vector.parameter.ndim <= 1 or owner not in holders)


def _vector(module: nn.Module, name: str) -> TrainedVector | None:
    """Return a bias or gain. In torch's own layers a parameter is one vector; elsewhere one per ensemble member."""
    parameter, owner = module.get_parameter(name), module.get_submodule(name.rpartition(".")[0])
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag | nn.PReLU) or not parameter.numel():
        return None
    width = parameter.numel() if isinstance(owner, LEFT_ALONE) or not parameter.ndim else parameter.shape[-1]
    return TrainedVector(name, parameter, width)
