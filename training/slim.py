"""Run folders made small once the run is over: what results were made from goes, the results stay."""

from pathlib import Path

from .checkpoint import folder_of, read_checkpoint, read_manifest, remove_checkpoint, steps_of
from .durable import Damaged
from .learners import read_config
from .lines import Divergence, EvaluationLine


def slim(run: Path) -> int:
    """Delete a finished run's replay and its checkpoints but for the newest and those asked for; the bytes freed.

    Policies, metrics, TensorBoard events, pictures and records stay. It cannot be continued or branched from any more.
    """
    settings = read_config(run).run
    steps = steps_of(run)
    newest = next((step for step in reversed(steps) if _is_whole(run, step)), None)
    if newest is None:
        raise ValueError("it has no whole checkpoint, whose policy would stay")
    kept = {newest, *(settings.reached(step) for step in settings.checkpoint_at)}
    freed = 0
    for step in steps:
        if step not in kept:
            freed += sum(map(_bytes, folder_of(run, step).glob("*")))
            remove_checkpoint(run, step)
    for path in (run / "replay").glob("*.safetensors"):
        freed += _bytes(path)
        path.unlink()
    return freed


def _is_whole(run: Path, step: int) -> bool:
    try:
        read_checkpoint(run, step)
    except Damaged:
        return False
    return True


def _bytes(path: Path) -> int:
    """What deleting a file frees: nothing where a trunk or a branch shares it."""
    about = path.stat(follow_symlinks=False)
    return about.st_size if about.st_nlink == 1 else 0


def is_slimmed(run: Path) -> bool:
    """Whether the newest checkpoint's replay is gone, all of it."""
    try:
        segments = read_manifest(run, steps_of(run)[-1]).segments
    except (Damaged, IndexError):
        return False
    return bool(segments) and not any((run / "replay" / segment.file).exists() for segment in segments)


def is_over(run: Path) -> bool:
    """Whether the run's last evaluation, the last thing that it does, is on record, or that it diverged."""
    config, last = read_config(run), None
    for _, line in config.reader.of(run):
        last = line or last
    return isinstance(last, Divergence) or (isinstance(last, EvaluationLine) and last.steps >= config.run.steps)
