"""Code that a run's files name is imported only if the command line names it too, or has --trust RUN."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from fire_rl.envs.original import PREFIX as ORIGINAL
from fire_rl.envs.suite import PREFIX as SUITE
from fire_rl.fire import METHODS, REGULARIZERS

from .config import Config
from .settings import flag
from .tracking.names import is_own


def code_named(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the code outside this project that the settings name as module:NAME, by setting."""
    run = config.run
    named = {
        "env": (run.env,) if ":" in run.env and not run.env.startswith((SUITE, ORIGINAL)) else (),
        "reinit": (run.reinit,) if _is_code(run.reinit, METHODS) else (),
        "regularize": tuple(text for text in run.regularize if _is_code(text, REGULARIZERS)),
        "track": tuple(filter(is_own, run.track)),
    }
    return {name: texts for name, texts in named.items() if texts}


def refuse_code_of_a_file(words: Mapping[str, Sequence[str]], path: Path, trusted: bool) -> None:
    """Do the same as `refuse_code` for the flags in a file of settings, also with the methods of a sweep."""
    for name in ("--env", "--reinit", "--regularize", "--track") if not trusted else ():
        for text in words.get(name, ()):
            parts = re.split(r"\+(?=[a-zA-Z_])", text.partition("@")[0]) if name != "--env" else [text]
            built_in = (*METHODS, *REGULARIZERS) if name != "--env" else (SUITE.rstrip(":"), ORIGINAL.rstrip(":"))
            if is_own(text) if name == "--track" else any(_is_code(part, built_in) for part in parts):
                raise _not_trusted(path, name, text)


def _not_trusted(path: Path, name: str, text: str) -> ValueError:
    return ValueError(
        f"{path} names code outside fire-rl, {name} {text[:200]}, which is not imported only because a file names it: "
        f"if you trust it, add --trust {shlex.quote(str(path))}"
    )


def _is_code(text: str, built_in: Collection[str]) -> bool:
    name, colon, _ = text.strip().partition(":")
    return bool(colon) and name not in built_in


def refuse_code(config: Config, run: Path, given: Collection[str], trusted: bool) -> None:
    """Raise ValueError in one line if the run names code that the command line does not name too, unless trusted."""
    for name, texts in code_named(config).items():
        if not trusted and name not in given:
            raise _not_trusted(run, flag(name), " ".join(texts))


def trusted(run: Path, named: Path | None) -> bool:
    """Whether --trust names this run; raise ValueError if it names another one."""
    if named is not None and named.resolve() != run.resolve():
        raise ValueError(f"--trust {named} given; the run is {run}")
    return named is not None


def trust_words(config: Config, run: Path, evaluated: bool = False) -> list[str]:
    """Return the --trust flag if a later command on this run needs it; an evaluation does not use the run's tracker."""
    return ["--trust", str(run)] if code_named(config).keys() - ({"track"} if evaluated else set()) else []
