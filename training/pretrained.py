"""Trained policies that come with the project, each a card, by name: `pretrained:cartpole`."""

from pathlib import Path

from fire_rl.fire.nearest import nearest

PREFIX = "pretrained:"
PLACE = Path(__file__).resolve().parents[1] / "pretrained"  # beside `training`, in a checkout and where it is installed


def pretrained_names() -> list[str]:
    """Those that there are."""
    return sorted(path.parent.name for path in PLACE.glob("*/config.json"))


def is_pretrained(text: str) -> bool:
    """Whether a policy that comes with the project is meant."""
    return text.startswith(PREFIX)


def located(run: str | Path) -> Path:
    """The folder of a run, a card, or a policy that comes with the project; one line where there is none such."""
    text = str(run)
    if not is_pretrained(text):
        return Path(run)
    name, names = text.removeprefix(PREFIX).lower(), pretrained_names()
    if not names:
        raise ValueError(f"{text[:200]!r} given; there are no policies in {PLACE}: was fire-rl installed whole?")
    if name not in names:
        raise ValueError(
            f"{text[:200]!r} given; there are {', '.join(PREFIX + name for name in names)}; "
            f"nearest is {PREFIX}{nearest(name, names)}"
        )
    return PLACE / name
