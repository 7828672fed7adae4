"""Names of Atari games: `Breakout` here is `breakout`, `ALE/Breakout-v5` or `BreakoutNoFrameskip-v4` in ale-py."""

import difflib
import functools
import json
import re
from importlib.util import find_spec
from pathlib import Path

from fire_rl.place import install

from .atari_scores import RANDOM_AND_HUMAN

TWO_PLAYERS_ONLY = {"combat", "joust", "maze_craze", "warlords"}
GYMNASIUMS_SPELLING = re.compile(r"(?:ALE/)?(?P<game>\w+?)(?:-ram)?(?:NoFrameskip|Deterministic)?-v\d+")


@functools.cache
def games() -> dict[str, str]:
    """Return the names of all games, each with its ROM's name; without ale-py, the games of the usual benchmark."""
    spec = find_spec("ale_py")
    if spec is None or not spec.submodule_search_locations:
        return dict.fromkeys(RANDOM_AND_HUMAN, "")
    listed = json.loads((Path(spec.submodule_search_locations[0]) / "roms" / "md5.json").read_text())
    found = sorted(file.removesuffix(".bin") for file in listed)
    return {rom.title().replace("_", ""): rom for rom in found if rom not in TWO_PLAYERS_ONLY}


def is_atari(name: str) -> bool:
    """Whether an environment of this name is an Atari game with the preprocessing of `AtariSettings`."""
    return name in games()


def game_of(name: str) -> str | None:
    """Return the game that a name in any spelling means: Breakout for BreakoutNoFrameskip-v4 and ALE/Breakout."""
    match = GYMNASIUMS_SPELLING.fullmatch(name)
    bare = match["game"] if match else name.removeprefix("ALE/")
    known = {game.lower(): game for game in games()}
    return known.get(bare.lower()) if match or name.startswith("ALE/") else name if name in games() else None


def require_no_other_spelling(name: str) -> None:
    """Raise ValueError, with the name to use, for ids that also choose a preprocessing (`BreakoutNoFrameskip-v4`)."""
    game, bare = game_of(name), name.removeprefix("ALE/")
    if game is not None and game != name:
        raise ValueError(f"environment {name!r} is called {game!r} here; flags such as --sticky-per choose its frames")
    if name.startswith("ALE/"):
        near = difflib.get_close_matches(bare, games(), n=3, cutoff=0.4) or ["Breakout"]
        raise ValueError(f"no Atari game is called {name!r}; the nearest names are {', '.join(near)}")


def rom_of(name: str) -> str:
    """Return ale-py's name of a game's ROM; raise ValueError with what to install if ale-py is missing."""
    if find_spec("ale_py") is None:
        raise ValueError(f"the Atari game {name!r} needs the module 'ale_py', which is missing: {install('atari')}")
    return games()[name]
