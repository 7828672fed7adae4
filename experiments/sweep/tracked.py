"""The flags for trackers that each run of a comparison gets: the same group for all, and a tag for trunk or branch."""

from pathlib import Path

from fire_rl.training.asked import words_of
from fire_rl.training.beginning import folder_name

from .axes import Flags

TRACK, GROUP, TAGS = "--track", "--track-group", "--track-tags"
TRACKING = (TRACK, "--track-project", GROUP, TAGS)
LONGEST_GROUP = 60  # letters


def tracking_words(flags: Flags, folder: Path, kind: str | None = None) -> list[str]:
    """Return a run's flags for trackers. The group has the folder's name unless given; `kind` is added to the tags."""
    given = {name: values for name, values in flags if name in TRACKING}
    if TRACK not in given:
        return []
    given = {GROUP: (folder_name(folder.absolute().name)[:LONGEST_GROUP],), **given}
    if kind is not None:
        given[TAGS] = (*given.get(TAGS, ()), kind)
    return words_of(given.items())


def require_tracker(flags: Flags) -> None:
    """Raise ValueError if flags of tracking are given, but no tracker."""
    given = dict(flags)
    if TRACK not in given and (idle := [name for name in TRACKING if name in given]):
        raise ValueError(f"{idle[0]} given without {TRACK}, so there is no tracker to record to; add {TRACK} NAME")
