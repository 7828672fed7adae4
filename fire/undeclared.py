"""The error message about undeclared weights: it names all of them and says what to do, in one line."""

from collections.abc import Mapping, Sequence

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

PARAMETRIZED = "parametrize.remove_parametrizations"
OLD_HOOKS = ((WeightNorm, "weight_norm", ("_g", "_v")), (SpectralNorm, "spectral_norm", ("_orig",)))
NAMES = {"_WeightNorm": "weight_norm", "_SpectralNorm": "spectral_norm", "_Orthogonal": "orthogonal"}


def message(undeclared: Sequence[str], module: nn.Module, exclude: bool = True) -> str:
    """Return one line about all undeclared weights; if the caller can `exclude` weights, with that advice too."""
    derived = {name: origin for name, origin in _derived(module).items() if name in undeclared}
    plain = [name for name in undeclared if name not in derived]
    return "; ".join([*([_about_plain(plain, exclude)] if plain else []), *_about_derived(derived, exclude)])


def _about_plain(names: Sequence[str], can_exclude: bool) -> str:
    quoted = ", ".join(map(repr, names))
    what = f"weight {quoted}: its module does not say what matrices it holds"
    what = what if len(names) == 1 else f"weights {quoted}: their modules do not say what matrices they hold"
    exclude = _shown(names)
    these = ("the module", "the weight") if len(names) == 1 else ("each module", "the weights")
    declare = (
        f"{what}; give {these[0]} a method plastic_matrices() that yields fire_rl.Matrix records, or declare its class "
        "by fire_rl.register_matrices"
    )
    if not can_exclude:
        return declare
    return f"{declare}, or leave {these[1]} out (--reinit fire:exclude={'|'.join(names)}; fire_: exclude={exclude})"


def _about_derived(derived: Mapping[str, tuple[str, str, str, str]], can_exclude: bool) -> list[str]:
    """Return a message for each kind of normalisation, with its modules and how to remove it."""
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for kind, remover, weight, owner in derived.values():
        owners = kinds.setdefault((kind, remover, weight), [])
        if owner not in owners:
            owners.append(owner)
    lines = []
    for (kind, remover, weight), owners in kinds.items():
        module = f"model.get_submodule({owners[0]!r})" if owners[0] else "model"
        call, them = f"torch.nn.utils.{remover}({module}, {weight!r})", "it" if len(owners) == 1 else "them"
        advice = f"remove it ({call})"
        if can_exclude:
            advice = f"remove it first ({call}) and add it again afterwards, or leave {them} out (fire_: "
            advice += f"exclude={_shown(owners)})"
        named = f"module{'s' * (len(owners) > 1)} {', '.join(map(repr, owners))}"
        lines.append(f"{named}: {kind} computes {weight!r} from other tensors at each pass; {advice}")
    return lines


def _shown(owners: Sequence[str]) -> str:
    return repr(owners[0] or "*") if len(owners) == 1 else repr(tuple(owners))


def _derived(module: nn.Module) -> dict[str, tuple[str, str, str, str]]:
    """Return the tensors from which weights are computed at each pass: kind, remover, the weight's name, its module."""
    found: dict[str, tuple[str, str, str, str]] = {}
    for owner, child in module.named_modules():
        prefix = f"{owner}." if owner else ""
        if parametrize.is_parametrized(child):
            for weight, parts in child.parametrizations.items():
                kind = ", ".join(NAMES.get(type(part).__name__, type(part).__name__) for part in parts)
                for name, _ in parts.named_parameters():
                    found[f"{prefix}parametrizations.{weight}.{name}"] = (kind, PARAMETRIZED, weight, owner)
        for hook in child._forward_pre_hooks.values():
            for hook_kind, kind, endings in OLD_HOOKS:
                if isinstance(hook, hook_kind):
                    for ending in endings:
                        found[f"{prefix}{hook.name}{ending}"] = (kind, f"remove_{kind}", hook.name, owner)
    return found
