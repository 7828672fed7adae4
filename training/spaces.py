"""The spaces that an agent is built for: those stored in a run's files, or those of its environment."""

from typing import Any

import msgspec

from fire_rl.agents import Surroundings
from fire_rl.envs.kept_spaces import KeptSpaces, kept_spaces

from .agent_run import AgentRun
from .durable import Damaged
from .trust import code_named


def surroundings_of(config: AgentRun, spaces: KeptSpaces) -> Surroundings:
    """Return the surroundings of a run's agent from stored spaces, without making the environment."""
    try:
        observation, action = spaces.observation.space(), spaces.action.space()
    except ValueError as error:
        raise Damaged(f"the stored spaces are not valid: {error}") from error
    return Surroundings(config.run.env, observation, action, spaces.episode_steps, config.run.action_repeat)


def spaces_of(config: AgentRun, work: dict[str, Any]) -> KeptSpaces:
    """Return the spaces stored in a checkpoint, or else those of the environment.

    An environment of the user's own is made if possible, so that its code is imported and can be compared with the
    run's copy.
    """
    try:
        kept = msgspec.convert(work.get("spaces"), KeptSpaces | None)
    except msgspec.ValidationError as error:
        raise Damaged(f"spaces of the checkpoint: {error}") from error
    if kept is not None and not code_named(config).get("env"):
        return kept
    try:
        return spaces_of_environment(config)
    except Exception as error:  # an environment may raise anything
        if kept is not None:
            return kept
        if not isinstance(error, ValueError):
            raise
        why = "the run was made by a version that did not store its spaces"
        raise ValueError(f"{error}; it is needed, because {why}") from error


def spaces_of_environment(config: AgentRun) -> KeptSpaces:
    """Return the spaces of the run's environment, which is made for this and closed again."""
    environment = config.world.vector(1)
    around = config.surroundings(environment)
    environment.close()
    config.kind.require(around)
    kept = kept_spaces(around.observations, around.actions, around.episode_steps)
    if kept is None:
        raise ValueError(f"{config.run.env} has observations {around.observations} and actions {around.actions}")
    return kept
