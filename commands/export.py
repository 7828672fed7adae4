"""Export a policy as files that run without this project, or as a card for a model hub."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fire_rl.fire.nearest import choices
from fire_rl.place import called, program
from fire_rl.training.card import Score, is_card
from fire_rl.training.command_line import read_operand
from fire_rl.training.error_words import message_of
from fire_rl.training.export.about import about, divergence, last_score, measured
from fire_rl.training.export.agreement import Agreement, agreement
from fire_rl.training.export.card import card_files
from fire_rl.training.export.formats import FORMATS, made
from fire_rl.training.export.observations import Observations, observations_for
from fire_rl.training.export.writing import require_place, write_files, write_folder
from fire_rl.training.folder import is_folder, is_run, not_a_run
from fire_rl.training.learners import LEARNERS, name_of, read_config
from fire_rl.training.policy import Policy, load_policy, split_run
from fire_rl.training.pretrained import is_pretrained, located
from fire_rl.training.trust import trusted

OBSERVATIONS = 1_000  # on which a file is checked
MOST_EPISODES = 100_000
USAGE = f"""Write a run's policy to a file that runs without this project, or to a card.

  {program("export")} RUN                                the newest checkpoint, as ONNX: RUN/policy-STEP.onnx
  {program("export")} RUN@STEP --format onnx torchscript safetensors --output walk
  {program("export")} RUN --card --output walk-card      a folder that is ready for a model hub; nothing is uploaded
  {program("export")} pretrained:cartpole                a policy that comes with the project

  A file takes batches of observations as the environment gives them; it returns actions in the environment's bounds."""


@dataclass(frozen=True)
class Options:
    """What to write."""

    format: tuple[str, ...] = ()
    """onnx, torchscript or safetensors, or several of them; unset: onnx, or with --card no such file."""
    card: bool = False
    """Write a card instead: a folder with weights, settings, learning curve and a README."""
    output: Path | None = None
    """File to write; without an ending, each format adds its own. With --card: the folder to write."""
    overwrite: bool = False
    """Replace an existing file or card of that name."""
    episodes: int = 100
    """Episodes on which a card's score is measured, if the environment is installed; 0: the run's last evaluation."""
    seed: int = 1_000
    """Seed of these episodes' starts, as for the evaluate command."""
    trust: Path | None = None
    """The run, if its config names your own environment or method: gives permission to import that Python code."""


def body(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    missing = f"no run given: {program('export')} RUN, RUN@STEP or pretrained:NAME"
    name, options = read_operand(Options(), arguments, "export", "RUN[@STEP]", USAGE, missing)
    formats, policy = _formats(options), _policy(name, options)
    if options.card:
        _card(policy, name, options)
    else:
        _files(policy, name, formats, options)
    return 0


def _formats(options: Options) -> tuple[str, ...]:
    """Return the formats asked for; raise ValueError if one is unknown or its packages are missing."""
    formats = tuple(dict.fromkeys(text.lower() for text in options.format))
    for text in formats:
        if text not in FORMATS:
            raise ValueError(f"--format {text!r} given; allowed are {choices(text, FORMATS)}")
    if options.card and formats:
        raise ValueError("--format given with --card, whose weights are safetensors: call the command twice")
    if not 0 <= options.episodes <= MOST_EPISODES or options.seed < 0:
        raise ValueError(
            f"--episodes {options.episodes} --seed {options.seed} given; "
            f"allowed are 0 to {MOST_EPISODES:,}, and 0 or above"
        )
    formats = formats or (() if options.card else ("onnx",))
    for text in formats:
        FORMATS[text].require(text)
    return formats


def _policy(name: str, options: Options) -> Policy:
    """Return the named policy; raise ValueError, in one line, if the run has no policy or has diverged."""
    text, step = split_run(name)
    folder = located(text)
    if not is_run(folder):
        raise ValueError(not_a_run(folder))
    config = read_config(folder)
    if not config.acts:
        raise ValueError(
            f"{folder} is a run of {LEARNERS[name_of(config)].script}; only runs of {called('sac')} and "
            f"{called('dqn')} have a policy to export"
        )
    policy = load_policy(text, step, trusted(folder, options.trust))
    if step is None and not is_card(folder) and (ended := divergence(policy)):
        raise ValueError(
            f"{folder} diverged {ended.said}; its newest whole checkpoint is at step {policy.step:,}: "
            f"to export that one, give {name}@{policy.step}"
        )
    return policy


def _files(policy: Policy, name: str, formats: Sequence[str], options: Options) -> None:
    paths = _paths(policy, name, formats, options.output)
    for path in paths.values():
        require_place(path, options.overwrite)
    texts = about(policy)
    observations, source = observations_for(policy, OBSERVATIONS)
    contents = {kind: _checked(policy, kind, texts, observations, source) for kind in formats}
    _say_what(policy)
    write_files({path: contents[kind][0] for kind, path in paths.items()}, options.overwrite)
    for kind, path in paths.items():
        content, found = contents[kind]
        print(f"  {path} ({_size(len(content))}): {found.said}")


def _checked(
    policy: Policy, kind: str, texts: Mapping[str, str], observations: Observations, source: str
) -> tuple[bytes, Agreement]:
    content, run = made(policy, kind, texts)
    return content, agreement(policy, run, observations, source)


def _paths(policy: Policy, name: str, formats: Sequence[str], output: Path | None) -> dict[str, Path]:
    endings = {kind: FORMATS[kind].ending for kind in formats}
    stem = output or _beside(policy, name, f"policy-{policy.step}", "")
    if output is not None and is_folder(stem):
        example = stem / f"policy{next(iter(endings.values()))}"
        raise ValueError(f"--output {stem} given, which is a folder; allowed is a file, such as {example}")
    if output is not None and stem.suffix in [kind.ending for kind in FORMATS.values()]:
        if list(endings.values()) != [stem.suffix]:
            raise ValueError(f"--output {stem} given with --format {' '.join(formats)}; leave its ending out")
        return dict.fromkeys(formats, stem)
    return {kind: stem.with_name(stem.name + ending) for kind, ending in endings.items()}


def _beside(policy: Policy, name: str, stem: str, ending: str) -> Path:
    """Return a path in the run's folder; for a policy that comes with the project, one in the working directory."""
    if is_pretrained(name):
        return Path(f"{policy.run.name}{ending}")
    return policy.run / stem


def _card(policy: Policy, name: str, options: Options) -> None:
    folder = options.output or _beside(policy, name, f"card-{policy.step}", "-card")
    require_place(folder, options.overwrite, folder=True)
    score, note = _score(policy, options)
    observations, source = observations_for(policy, OBSERVATIONS)
    weights, found = _checked(policy, "safetensors", about(policy, score), observations, source)
    files = card_files(policy, weights, score, folder.name)
    write_folder(folder, files, options.overwrite)
    _say_what(policy)
    print(f"  {folder} ({_size(sum(map(len, files.values())))}): {', '.join(sorted(files))}")
    print(f"  {found.said}")
    print(f"  {note}")


def _score(policy: Policy, options: Options) -> tuple[Score | None, str]:
    """Return a newly measured score if the environment is installed, else the run's last one, and a sentence."""
    if options.episodes:
        try:
            score = measured(policy, options.episodes, options.seed)
        except Exception as error:  # a package may be missing, and environments raise any error
            return _last(policy, f"the score was not measured again ({message_of(error)}): ")
        interval = f"95% interval {score.low:.1f} to {score.high:.1f}"
        return score, f"mean return {score.mean:.1f}, {interval}: {score.occasion}"
    return _last(policy, "")


def _last(policy: Policy, why: str) -> tuple[Score | None, str]:
    if (score := last_score(policy)) is None:
        return None, f"{why}the card has no score, since the run has no evaluation"
    return score, f"{why}mean return {score.mean:.1f}, {score.occasion}"


def _say_what(policy: Policy) -> None:
    numbers = sum(value.numel() for value in policy.module().parameters())
    print(f"{policy.config.run.env}, checkpoint at step {policy.step:,}: a policy of {numbers:,} parameters")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} KB"
