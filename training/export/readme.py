"""The README of a card: the front matter that model hubs read, and what a user of the policy has to know."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from fire_rl.envs.kept_spaces import KeptDiscrete
from fire_rl.place import called, script

from ..card import Score
from ..learners import name_of
from ..policy import Policy
from .about import record_end

LONGEST_COMMAND = 2_000


def readme(
    policy: Policy, about: Mapping[str, str], score: Score | None, command: Sequence[str], branch_from: str | None,
    name: str, picture: bool,
) -> str:  # fmt: skip
    """Return the whole text."""
    run, algorithm = policy.config.run, name_of(policy.config).upper()
    env = run.env
    method = "without a plasticity method" if run.method == "none" else f"with the method {_code(run.method)}"
    parts = [
        _front_matter(policy, score, name),
        f"# {algorithm} on {_code(env)}",
        f"A policy for {_code(env)}, trained with {algorithm} by fire-rl, {method}. "
        f"It is the checkpoint at environment step {policy.step:,}.",
        "## Measured",
        _measured(policy, score),
        *(["![The learning curve of the run](curve.png)"] if picture else []),
        "Every evaluation of the run is in `curve.csv`.",
        "## How it was trained",
        _trained(policy, about, command, branch_from),
        "## How to use it",
        _used(policy, name),
        "## Inputs and outputs",
        _spaces(policy),
        "## Limits",
        _limits(policy),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(policy: Policy, score: Score | None, name: str) -> str:
    """Return the front matter in YAML, with texts quoted as JSON, which is valid YAML: names may hold any character."""
    env, algorithm = policy.config.run.env, name_of(policy.config)
    lines = ["---", "library_name: fire-rl", "pipeline_tag: reinforcement-learning", "tags:"]
    tags = (env, algorithm, "reinforcement-learning", "deep-reinforcement-learning", "fire-rl", "pytorch")
    lines += [f"- {json.dumps(tag)}" for tag in tags]
    if score is not None:
        value = f"{score.mean:.2f} +/- {score.deviation:.2f}"
        lines.append(f"""\
model-index:
- name: {json.dumps(name)}
  results:
  - task:
      type: reinforcement-learning
      name: reinforcement-learning
    dataset:
      name: {json.dumps(env)}
      type: {json.dumps(env)}
    metrics:
    - type: mean_reward
      value: {json.dumps(value)}
      name: mean_reward
      verified: false""")
    return "\n".join([*lines, "---"])


def _measured(policy: Policy, score: Score | None) -> str:
    if score is None:
        return "It was not measured."
    words = policy.config.score_in_words(score.mean)
    share = policy.config.evaluation_exploration
    rows = [
        ("mean return", f"{score.mean:.1f}"),
        ("95% interval of the mean", f"{score.low:.1f} to {score.high:.1f} (bootstrap)"),
        ("standard deviation of the returns", f"{score.deviation:.1f}"),
        ("episodes", f"{score.episodes}"),
        ("how", f"{score.occasion}; {f'a random action with probability {share:g}' if share else 'no random actions'}"),
        *([("normalised score", words)] if words else []),
    ]
    cells = ((name, text.replace("|", "/")) for name, text in rows)
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in cells)])


def _trained(policy: Policy, about: Mapping[str, str], command: Sequence[str], branch_from: str | None) -> str:
    planned, end = policy.config.run.steps, record_end(policy)
    steps = f"{planned:,} environment steps"
    if end is not None and end < planned:
        steps += f" planned, {end:,} of them in the run's record"
    elif policy.step != planned:
        steps += " planned"
    said = [
        _command(policy, command),
        f"Seed {policy.config.run.seed}, {steps}, fire-rl {about['version']}, "
        f"commit {_code(about['commit'])}. Every setting is in `config.json`.",
    ]
    if branch_from:
        said.append(f"The run is a branch of {_code(branch_from)}.")
    if policy.step != planned:
        said.append(f"The policy is the checkpoint at step {policy.step:,}, not at the planned end.")
    return "\n\n".join(said)


def _command(policy: Policy, command: Sequence[str]) -> str:
    """Return the command that started the run, if it was one of the project's commands."""
    name, ours = Path(command[0]).name if command else "", script(name_of(policy.config))
    beginning = {ours: ["python", ours], "fire-rl": ["fire-rl"], "__main__.py": ["fire-rl"]}.get(name)
    if beginning is None:
        flags = f"`{called(name_of(policy.config))}` takes the settings of `config.json` as flags"
        return f"The run was started by code that called fire-rl; {flags}."
    return f"    {' '.join(shlex.join([*beginning, *command[1:]]).split())[:LONGEST_COMMAND]}"


def _used(policy: Policy, name: str) -> str:
    loading = "from fire_rl.training import load_policy"
    return f"""\
```py
{loading}

policy = load_policy({json.dumps(name)})  # this folder
action = policy.act(observation)  # one observation or a batch, as the environment returns it
```

    fire-rl evaluate {shlex.quote(name)} --episodes 100
    fire-rl watch {shlex.quote(name)}
    fire-rl export {shlex.quote(name)} --format onnx    # a file that runs without fire-rl"""


def _spaces(policy: Policy) -> str:
    observation, action = policy.spaces.observation, policy.spaces.action
    shape = " x ".join(map(str, observation.shape))
    if isinstance(action, KeptDiscrete):
        given = f"one of {action.n} actions, numbered from {action.start}"
    else:
        given = f"{' x '.join(map(str, action.shape))} numbers, in the environment's own bounds"
    bounds = msgspec.json.encode(policy.spaces).decode()
    more = "" if len(bounds) > 1_000 else f" In full: `{bounds}`."
    inside = "raw, as the environment returns them; the policy does any scaling itself"
    return f"Observations: {shape} numbers ({observation.dtype}), {inside}. Actions: {given}.{more}"


def _limits(policy: Policy) -> str:
    return (
        "The policy comes from one run with one seed; another seed would give another policy and another score. It was "
        "trained only in this simulated environment, with the settings of `config.json` (action repeat "
        f"{policy.config.run.action_repeat}). The interval covers the random starts of episodes, not "
        "training seeds."
    )


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))[:300]}`"
