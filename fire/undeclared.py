"""What a person is told about weights that nobody has declared: all of them at once, and what to do, in one line."""

from collections.abc import Mapping, Sequence

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

# How torch takes each off again; the module and the name of its weight are to be put in.
REMOVERS = {
    "weight_norm": "torch.nn.utils.remove_weight_norm({module}, {name!r})",
    "spectral_norm": "torch.nn.utils.remove_spectral_norm({module}, {name!r})",
}
PARAMETRIZED = "torch.nn.utils.parametrize.remove_parametrizations({module}, {name!r})"
OLD_HOOKS = ((WeightNorm, "weight_norm", ("_g", "_v")), (SpectralNorm, "spectral_norm", ("_orig",)))
NAMES = {"_WeightNorm": "weight_norm", "_SpectralNorm": "spectral_norm", "_Orthogonal": "orthogonal"}


def message(undeclared: Sequence[str], module: nn.Module, exclude: bool = True) -> str:
    """One line about every weight in question; with advice to leave it out where the caller can `exclude` something."""
    derived = {name: origin for name, origin in _derived(module).items() if name in undeclared}
    plain = [name for name in undeclared if name not in derived]
    return "; ".join([*([_about_plain(plain, exclude)] if plain else []), *_about_derived(derived, exclude)])


def _about_plain(names: Sequence[str], can_exclude: bool) -> str:
    quoted = ", ".join(map(repr, names))
    what = f"weight {quoted}: its module does not say what matrices it holds"
    what = what if len(names) == 1 else f"weights {quoted}: their modules do not say what matrices they hold"
    these = ("the module", "the weight") if len(names) == 1 else ("each module", "the weights")
    exclude = repr(names[0]) if len(names) == 1 else repr(tuple(names))
    declare = (
        f"{what}; give {these[0]} a method plastic_matrices() that yields fire.Matrix records, or name its class to "
        "fire_rl.register_matrices"
    )
    if not can_exclude:
        return declare
    return f"{declare}, or leave {these[1]} out (--reinit fire:exclude={'|'.join(names)}; fire_: exclude={exclude})"


def _about_derived(derived: Mapping[str, tuple[str, str, str, str]], can_exclude: bool) -> list[str]:
    """For each kind of normalisation, its modules and how it is taken off."""
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for kind, remover, weight, owner in derived.values():
        owners = kinds.setdefault((kind, remover, weight), [])
        if owner not in owners:
            owners.append(owner)
    lines = []
    for (kind, remover, weight), owners in kinds.items():
        call, them = _call(remover, owners[0], weight), "it" if len(owners) == 1 else "them"
        advice = f"take it off ({call})"
        if can_exclude:
            advice = f"take it off first ({call}) and put it on again afterwards, or leave {them} out (fire_: "
            advice += f"exclude={_shown(owners)})"
        named = f"module{'s' * (len(owners) > 1)} {', '.join(map(repr, owners))}"
        lines.append(f"{named}: {kind} makes {weight!r} from other tensors at each pass; {advice}")
    return lines


def _call(remover: str, owner: str, weight: str) -> str:
    return remover.format(module=f"model.get_submodule({owner!r})" if owner else "model", name=weight)


def _shown(owners: Sequence[str]) -> str:
    return repr(owners[0] or "*") if len(owners) == 1 else repr(tuple(owners))


def _derived(module: nn.Module) -> dict[str, tuple[str, str, str, str]]:
    """Tensors from which weights are made at each pass: kind, how it is taken off, name of the weight, its module."""
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
                        found[f"{prefix}{hook.name}{ending}"] = (kind, REMOVERS[kind], hook.name, owner)
    return found
