"""Trained policies that come with the project, by name, such as `pretrained:cartpole`; each is a card."""

from pathlib import Path

from fire_rl.fire.nearest import nearest

PREFIX = "pretrained:"
PLACE = Path(__file__).resolve().parents[1] / "pretrained"  # beside `training`, in a checkout and in a wheel


def pretrained_names() -> list[str]:
    """Return the names of all policies that come with the project."""
    return sorted(path.parent.name for path in PLACE.glob("*/config.json"))


def is_pretrained(text: str) -> bool:
    """Whether a name means a policy that comes with the project."""
    return text.startswith(PREFIX)


def located(run: str | Path) -> Path:
    """Return the folder of a run, a card, or a policy that comes with the project; raise ValueError for none."""
    text = str(run)
    if not is_pretrained(text):
        return Path(run)
    name, names = text.removeprefix(PREFIX).lower(), pretrained_names()
    if not names:
        raise ValueError(f"{text[:200]!r} given; there are no policies in {PLACE}: is fire-rl's installation complete?")
    if name not in names:
        raise ValueError(
            f"{text[:200]!r} given; there are {', '.join(PREFIX + name for name in names)}; "
            f"nearest is {PREFIX}{nearest(name, names)}"
        )
    return PLACE / name
