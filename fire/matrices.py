"""Take the inventory of a module: its weight matrices, its other parameters, and why these are left unchanged.

The matrices of torch's own layers are known (layers.py). Any other module must declare its matrices, because a guess
from a weight's shape can invert the scale: either by a method `plastic_matrices(self) -> Iterable[Matrix]`, with names
relative to itself, or by a call of `register_matrices` for its class. The frozen parts of an injected head are left
unchanged.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from .injected import Injected
from .layers import KNOWN, RECURRENT, Matrix, own_matrices
from .patterns import Parts, Patterns, Split, any_matches, as_patterns, as_split, check_pattern, matches
from .undeclared import message

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
# Layers whose parameters are not matrices in FIRE's sense, whatever their shape: they are left unchanged and listed.
LEFT_ALONE = (*EMBEDDINGS, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _NormBase, nn.PReLU)

# Names of the weights in torch's own layers, which are never 1-D.
WEIGHTS = re.compile(rf"weight|in_proj_weight|[qkv]_proj_weight|{RECURRENT.pattern}")

# Reasons why a parameter is left unchanged.
VECTOR = "not 2-D (biases, gains of norms)"
EMBEDDING = "embedding"
NORM = "gain or shift of a norm"
CONSTANT = "part of an injected head that does not learn"
NOT_NAMED = "not named by its module's plastic_matrices()"
ATTENTION_BIAS = "bias that attention adds as one more key and value"
PACKED = "packed weights that are no parameters, as of quantised modules"
NOT_CHOSEN = "left out by name (include, exclude)"
EMPTY = "empty"


@dataclass(frozen=True)
class Inventory:
    """A module's matrices to work on, the names of parameters left unchanged, and the names of undeclared weights.

    `reasons` maps each reason to the names in `left` that it applies to.
    """

    matrices: tuple[Matrix, ...]
    left: tuple[str, ...]
    undeclared: tuple[str, ...]
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    module: nn.Module | None = field(default=None, repr=False, compare=False)

    def declared(self, exclude: bool = True) -> "Inventory":
        """Return itself, or raise ValueError that names every undeclared weight.

        With `exclude` the message also advises to exclude them, for callers that have such an option.
        """
        if self.undeclared:
            raise ValueError(message(self.undeclared, self.module or nn.Module(), exclude))
        return self


def refuse_not_real(matrices: Iterable[Matrix]) -> None:
    """Raise ValueError, before anything is written, if a matrix holds complex numbers or integers."""
    for matrix in matrices:
        if not matrix.view.is_floating_point():
            kind = str(matrix.view.dtype).removeprefix("torch.")
            raise ValueError(f"{matrix.name!r} holds {kind} numbers; allowed are real ones; nothing was changed")


def take_inventory(
    module: nn.Module, include: Patterns = None, exclude: Patterns = None, split: Split = None
) -> Inventory:
    """Return every matrix of `module`; a shared weight is listed once.

    Patterns are full names of matrices, parameters or modules, with the shell's `*` and `?`. A module's name selects
    everything inside it: "encoder", "*.query". `split` names layers that hold several matrices along their outputs,
    with the number of equal parts or the size of each part: {"*.c_attn": 3}, {"*.qkv_proj": (3072, 1024, 1024)}.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"a {type(module).__name__} given; allowed is the torch.nn.Module that holds the weights")
    include, exclude = as_patterns(include), as_patterns(exclude)
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    found, settled = _find(module, as_split(split))
    known = [matrix.name for matrix, _ in found] + [name for aliases in names.values() for name in aliases]
    for pattern in (*include, *exclude):
        check_pattern(pattern, known)

    def chosen(*aliases: str) -> bool:
        return (not include or any_matches(include, aliases)) and not any_matches(exclude, aliases)

    matrices, undeclared, left = [], [], {}
    for matrix, owner in found:
        if chosen(matrix.name, *names[id(owner)]):
            matrices.append(replace(matrix, parameter=names[id(owner)][0]))
        else:
            left[matrix.name] = NOT_CHOSEN
    claimed = {id(owner) for _, owner in found}
    for parameter in module.parameters():
        name, *_ = aliases = names[id(parameter)]
        if id(parameter) in claimed:
            continue
        if id(parameter) in settled:
            left[name] = settled[id(parameter)] if parameter.ndim > 1 else VECTOR
        elif parameter.ndim <= 1 or not parameter.numel():
            left[name] = VECTOR if parameter.ndim <= 1 else EMPTY
        elif not chosen(*aliases):
            left[name] = NOT_CHOSEN
        else:
            undeclared.append(name)
    reasons: dict[str, tuple[str, ...]] = {}
    for name, reason in (left | dict.fromkeys(_packed(module), PACKED)).items():
        reasons[reason] = (*reasons.get(reason, ()), name)
    return Inventory(tuple(matrices), tuple(left), tuple(undeclared), reasons, module)


def _packed(module: nn.Module) -> list[str]:
    """Return the names of torch's quantised modules, whose weights are not parameters."""
    return [
        name
        for name, child in module.named_modules()
        if "quantized" in type(child).__module__ and {"weight", "get_weight"} & {*dir(type(child))}
    ]


Pairs = list[tuple[Matrix, nn.Parameter]]


def _find(module: nn.Module, split: Sequence[tuple[str, Parts]]) -> tuple[Pairs, dict[int, str]]:
    """Return every matrix with its parameter, and by parameter id the reasons why other parameters are not matrices."""
    found: Pairs = []
    divisible: list[str] = []  # layers that `split` may name
    divided: dict[str, str] = {}  # modules that hold several matrices, with the matrices' names
    injected = [child for child in module.modules() if isinstance(child, Injected)]
    constant = {inner for head in injected for part in (head.old, head.frozen) for inner in part.modules()}
    settled = {id(parameter): CONSTANT for child in constant for parameter in child.parameters()}
    embeddings = {id(child.weight) for child in module.modules() if isinstance(child, EMBEDDINGS)}
    for name, child in module.named_modules():
        if child in constant:
            continue
        if any(is_lazy(parameter) for parameter in child.parameters(recurse=False)):
            raise ValueError(f"module {name!r} has no weights yet: call it once on a batch first")
        if any(parameter.is_meta for parameter in child.parameters(recurse=False)):
            raise ValueError(f"module {name!r} has no values yet, as it is on the meta device")
        _refuse_share(name, child)
        matrices, complete = own_matrices(child)
        own = [matrix for matrix in matrices if matrix.view.numel()]
        if len(own) > 1:
            divided[name] = ", ".join(matrix.name for matrix in own)
            if complete and not isinstance(child, nn.MultiheadAttention):
                _refuse_overlaps(own, module, name)
        if len(own) == 1 and getattr(child, "groups", 1) == 1:
            divisible.append(name)
            parts = next((parts for pattern, parts in split if matches(pattern, name)), None)
            own = own if parts is None else list(_divided(own[0], name, parts))
        claimed = {id(owner) for _, owner in found}
        for matrix in own:
            matrix = replace(matrix, name=f"{name}.{matrix.name}".lstrip("."))
            owner = _owner(matrix, module)
            if id(owner) not in claimed:
                caveats = {"frozen": not owner.requires_grad, "tied": id(owner) in embeddings}
                marked = matrix.caveats | {caveat for caveat, holds in caveats.items() if holds}
                found.append((replace(matrix, caveats=marked), owner))
        if complete or isinstance(child, LEFT_ALONE):
            kind = NOT_NAMED if complete else EMBEDDING if isinstance(child, EMBEDDINGS) else NORM
            settled.update((id(parameter), kind) for parameter in child.parameters(recurse=False))
        if isinstance(child, nn.MultiheadAttention):
            settled.update((id(each), ATTENTION_BIAS) for each in (child.bias_k, child.bias_v) if each is not None)
    for pattern, _ in split:
        already = next((name for name in divided if matches(pattern, name)), None)
        if already is not None and not any_matches((pattern,), divisible):
            raise ValueError(
                f"split: {already!r} holds several matrices, which are projected separately without a split: "
                f"{divided[already]}"
            )
        check_pattern(pattern, divisible)
    return found, settled


def _refuse_share(name: str, child: nn.Module) -> None:
    """Raise ValueError if this process holds only its share of the module's weights, as with FSDP."""
    for key, parameter in child.named_parameters(recurse=False):
        flat = parameter.ndim == 1 and isinstance(child, tuple(KNOWN)) and WEIGHTS.fullmatch(key)
        distributed = any(kind.__name__ == "DTensor" for kind in type(parameter).__mro__)
        if flat or distributed or getattr(parameter, "_is_flat_param", False):
            raise ValueError(
                f"module {name!r} holds only this process's share of its weights. "
                "With FullyShardedDataParallel, make the call inside `with FullyShardedDataParallel."
                "summon_full_params(module):`. With fully_shard, load the full weights (get_model_state_dict) into a "
                "copy of the module that is not sharded, make the call with the copy, and load its weights into the "
                "module (set_model_state_dict; both are in torch.distributed.checkpoint.state_dict and take options="
                "StateDictOptions(full_state_dict=True))."
            )


def _divided(matrix: Matrix, name: str, parts: Parts) -> Iterator[Matrix]:
    """Yield the parts of one matrix, which is divided along its outputs."""
    sizes = [matrix.d_out // max(parts, 1)] * parts if isinstance(parts, int) else list(parts)
    if sum(sizes) != matrix.d_out or min(sizes, default=0) < 1:
        into = f"{parts} equal parts" if isinstance(parts, int) else f"parts of {', '.join(map(str, sizes))}"
        raise ValueError(f"split: the {matrix.d_out} outputs of {name!r} do not divide into {into}")
    if len(sizes) == 1:
        yield matrix
        return
    views: Sequence[Tensor] = matrix.view.split(sizes, dim=-2)
    for index, (view, size) in enumerate(zip(views, sizes, strict=True)):
        yield replace(matrix, name=f"{matrix.name}.{index}", view=view, d_out=size)


def _refuse_overlaps(matrices: Sequence[Matrix], module: nn.Module, name: str) -> None:
    """Raise ValueError if two matrices share entries: the second projection would undo the first."""
    taken: dict[int, tuple[Matrix, Tensor]] = {}
    for matrix in matrices:
        owner, view = _owner(matrix, module), matrix.view
        first, seen = taken.setdefault(id(owner), (matrix, torch.zeros(_reach(owner), dtype=torch.bool)))
        start = (view.data_ptr() - owner.data_ptr()) // view.element_size()
        if start + _reach(view) > seen.numel():
            raise ValueError(f"matrix {matrix.name!r} of module {name!r} extends beyond the end of its parameter")
        part = seen.as_strided(view.shape, view.stride(), start)
        if part.any():
            raise ValueError(
                f"matrices {first.name!r} and {matrix.name!r} of module {name!r} have entries in common, which would "
                "be projected twice: give each entry to one of them"
            )
        part.fill_(True)
        taken[id(owner)] = matrix, seen


def last_layers(module: nn.Module, head: Sequence[str] = ()) -> dict[str, Matrix]:
    """Return the last layer with a weight matrix of each named head, or of the module if none is named.

    The last one is the last in the order of registration; a shared matrix belongs to the last layer that has it. The
    result maps the layer's name to its last matrix.
    """
    found = {}
    for name in head or ("",):
        inside = module.get_submodule(name)
        order = {key: place for place, (key, _) in enumerate(inside.named_modules())}
        shared = _last_of_shared(inside)
        held = [
            (shared.get(id(inside.get_parameter(matrix.parameter))) or holder_of(matrix.name, inside), matrix)
            for matrix in take_inventory(inside).matrices
        ]
        for last, matrix in sorted(held, key=lambda pair: order[pair[0]])[-1:]:
            found[".".join(part for part in (name, last) if part)] = matrix
    return found


def _last_of_shared(module: nn.Module) -> dict[int, str]:
    """Return the name of the last layer that has a parameter, by the parameter's id, if several layers share it."""
    holders: dict[int, list[str]] = {}
    for name, child in module.named_modules():
        for parameter in child._parameters.values() if not isinstance(child, EMBEDDINGS) else ():
            holders.setdefault(id(parameter), []).append(name)
    return {key: names[-1] for key, names in holders.items() if len(names) > 1}


def holder_of(name: str, module: nn.Module) -> str:
    """Return the name of the module that holds a matrix; a module may hold several, whose names have parts."""
    names = {name for name, _ in module.named_modules()}
    while name not in names:
        name = name.rpartition(".")[0]
    return name


def _reach(tensor: Tensor) -> int:
    """Return how many entries of memory the tensor spans, from its first entry to its last."""
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


def _owner(matrix: Matrix, module: nn.Module) -> nn.Parameter:
    """Return the parameter in whose storage the matrix's view lies."""
    address = matrix.view.data_ptr()
    for parameter in module.parameters():
        start = parameter.data_ptr()
        if start <= address < start + parameter.numel() * parameter.element_size():
            return parameter
    raise ValueError(f"matrix {matrix.name!r} is not a view of a parameter: writing to it would not change the module")
