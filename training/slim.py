"""Make the folder of a finished run smaller: delete what only continuing it would need, and keep the results."""

from collections import Counter
from pathlib import Path

from .checkpoint import folder_of, newest_whole, read_checkpoint, read_manifest, steps_of
from .config import Config
from .durable import Damaged
from .learners import read_config
from .lines import LINE_BYTES, Divergence, EvaluationLine, Line
from .pruning import remove_checkpoint


def slim(run: Path) -> int:
    """Delete a finished run's replay and its checkpoints, except the newest and those of --checkpoint-at.

    Return the number of bytes freed. Policies, metrics, TensorBoard events, pictures and records stay. The run can no
    longer be continued or branched from.
    """
    steps, files = _spare(run)
    freed = 0
    for step in steps:
        freed += sum(map(_bytes, folder_of(run, step).glob("*")))
        remove_checkpoint(run, step)
    for path in files:
        freed += _bytes(path)
        path.unlink()
    return freed


def would_free(run: Path, met: Counter[tuple[int, int]]) -> int:
    """Return the bytes that `slim` would free in a run.

    `met` counts how often each file was met in the runs before, because a file that several runs share by hard links is
    freed with the last of them.
    """
    steps, files = _spare(run)
    freed = 0
    for path in [*(path for step in steps for path in folder_of(run, step).glob("*")), *files]:
        about = path.stat(follow_symlinks=False)
        met[about.st_dev, about.st_ino] += 1
        freed += about.st_size if met[about.st_dev, about.st_ino] == about.st_nlink else 0
    return freed


def _spare(run: Path) -> tuple[list[int], list[Path]]:
    """Return the steps of the checkpoints that only continuing a run would need, and its replay files."""
    settings, newest = read_config(run).run, newest_whole_step(run)
    if newest is None:
        raise ValueError("it has no whole checkpoint whose policy could be kept")
    kept = {newest, *(settings.reached(step) for step in settings.checkpoint_at)}
    return [step for step in steps_of(run) if step not in kept], sorted((run / "replay").glob("*.safetensors"))


def newest_whole_step(run: Path) -> int | None:
    """Return the step of the newest checkpoint whose own files are whole; None if there is none."""

    def whole(step: int) -> int:
        read_checkpoint(run, step)
        return step

    return newest_whole(run, whole, lambda line: None)


def _bytes(path: Path) -> int:
    """Return the bytes that deleting a file frees: 0 if a trunk or a branch shares the file by a hard link."""
    about = path.stat(follow_symlinks=False)
    return about.st_size if about.st_nlink == 1 else 0


def is_slimmed(run: Path) -> bool:
    """Whether all replay files of the newest checkpoint are gone."""
    try:
        segments = read_manifest(run, steps_of(run)[-1]).segments
    except (Damaged, IndexError):
        return False
    return bool(segments) and not any((run / "replay" / segment.file).exists() for segment in segments)


def is_over(run: Path) -> bool:
    """Whether the run has finished or diverged."""
    return has_finished(run) or has_diverged(run)


def has_diverged(run: Path) -> bool:
    """Whether the run's last line says that it diverged."""
    return isinstance(_last(run, read_config(run)), Divergence)


def has_finished(run: Path) -> bool:
    """Whether the run's last line is its last evaluation, which is the last thing a run does."""
    config = read_config(run)
    last = _last(run, config)
    return isinstance(last, EvaluationLine) and last.steps >= config.run.steps


def _last(run: Path, config: Config) -> Line | None:
    """Return the last line that can be read; the file may be too long to be read from its beginning."""
    return next(iter(config.reader.newest(run, LINE_BYTES)[-1:]), None)
