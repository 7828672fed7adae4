"""Reads the command line of compare.py: its own flags and those of the agent's training script."""

from collections.abc import Mapping, Sequence
from typing import Any

from fire_rl.agents.limits import setting_named
from fire_rl.training.asked import HELP, Command, split, understood, words_of
from fire_rl.training.command_line import command_of, each_once, faults_of, one_path, show_what_there_is
from fire_rl.training.config_file import OF_A_COMPARISON, config_of_run, is_of_a_run, without, words_of_file
from fire_rl.training.known_flags import same_as
from fire_rl.training.learners import LEARNERS
from fire_rl.training.settings import flag, names_with
from fire_rl.training.spoken import as_known
from fire_rl.training.trust import refuse_code_of_a_file, trusted
from fire_rl.training.unresolved import shortest_words

from .sweep.grid import GIVEN_BY_THE_GRID

USUAL = "sac"  # the agent if the command line names none


def as_understood(arguments: Sequence[str], ours: Mapping[str, Any]) -> list[str]:
    """Return the command line with this project's names of flags and values, and with the settings of --config.

    If the command line asks for a list, such as that of the environments, the list is shown instead. `ours` are the
    flags that only comparisons have, with their types.
    """
    agent = USUAL
    for name, values in split(arguments):
        same = same_as(name, "compare")
        if "--agent" in (name, same.ours if same else ""):
            agent = as_known(" ".join(values), LEARNERS)
    learner = LEARNERS.get(agent, LEARNERS[USUAL])  # an unknown agent is refused below
    theirs = command_of(agent if agent in LEARNERS else USUAL)
    hints = {**theirs.hints, **ours}
    command = Command("compare", hints, theirs.published, theirs.elsewhere, (theirs.name,))
    subject = flag(learner.config.subject)

    def read(words: Sequence[str]) -> list[str]:
        said = [("--env" if name == subject else name, values) for name, values in split(words)]
        return understood(words_of(said), command)

    words = each_once(read(arguments))
    flags = dict(split(words))
    if {*HELP} - {"-h", "--help", "--help-all"} & flags.keys():
        show_what_there_is(words, learner)
    if "--config" not in flags:
        return words
    path = one_path("--config", flags)
    trust = one_path("--trust", flags) if "--trust" in flags else None
    flags = {name: values for name, values in flags.items() if name not in ("--config", "--trust")}
    with faults_of(path):
        if is_of_a_run(path):
            config = config_of_run(path, learner.config, {*map(setting_named, flags)}, trust)
            own = {*map(flag, (*names_with(config.run, "own"), *GIVEN_BY_THE_GRID))} - {subject, "--reinit"}
            found = dict(split(read(without(dict(split(shortest_words(config))), own))))
        else:
            found = words_of_file(path, read, OF_A_COMPARISON)
            refuse_code_of_a_file({name: found[name] for name in found.keys() - flags}, path, trusted(path, trust))
    return [*without(found, flags), *words_of(flags.items())]
