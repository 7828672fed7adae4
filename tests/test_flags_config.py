"""--config: YAML means what it would mean typed, or names a run; hostile files are refused; runs can be repeated."""

import json
import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fire_rl.commands.compare import make_grid
from fire_rl.commands.compare_options import read_options
from fire_rl.commands.train import train_sac as train
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.command_line import read_command_line
from fire_rl.training.config import Config
from fire_rl.training.learners import LEARNERS, config_to_json, read_config
from fire_rl.training.unresolved import shortest_words, unresolved, words_again
from tests.fixtures import calling

pytestmark = pytest.mark.usefixtures("unrendered_module")
TINY = [
    *("--env", "Pendulum-v1", "--action-repeat", "1", "--steps", "120", "--learning-starts", "40", "--reinit", "fire"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "8", "--eval-every", "60", "--eval-episodes", "1"),
    *("--threads", "1", "--device", "cpu", "--measure-every", "0", "--seed", "3"),
]


quietly = partial(calling.quietly, train)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config") / "run"
    quietly(*TINY, "--run-dir", str(folder))
    return folder


def config_of(*words: str, agent: str = "sac") -> Config:
    return read_command_line(words, LEARNERS[agent]).config


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_yaml_is_read_as_if_it_were_typed_and_flags_win(tmp_path: Path):
    path = written(
        tmp_path,
        """# as nanoGPT, SB3 or one of ours would write it
preset: Quick
env_id: H1-Walk
total_timesteps: 1e5
agent: {lr: 1e-3, gamma: null}
reinit: FIRE
reinit_at: [20k, 4e4]
video: no
batch-size: 64
""",
    )
    typed = "--preset quick --env h1-walk --steps 100000 --learning-rate 1e-3 --reinit fire --reinit-at 20000 40000"
    assert config_of("--config", str(path)) == config_of(*typed.split(), "--batch-size", "64")
    assert config_of("--config", str(path), "--lr", "0.1") == config_of(
        *typed.split(), "--batch-size", "64", "--learning-rate", "0.1"
    )
    other = config_of("--config", str(path), "--preset", "paper", "--steps", "2e5")
    assert isinstance(other, AgentRun)
    assert (other.run.steps, other.agent.critic_width) == (200_000, 512), "the file overrides the preset"


def test_a_run_is_a_config_too_its_folder_and_its_file(run: Path):
    asked = config_of(*TINY)
    assert read_config(run).run.reinit_at, "the run's own file has the length that was computed"
    for path in (run, run / "config.json"):
        assert config_of("--config", str(path)) == asked
    longer = config_of("--config", str(run), "--steps", "1000").resolved()
    assert longer.run.reinit_at == (500,), "half of the longer run"
    assert config_of("--config", str(run), "--reinit", "none").run.reinit_at == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("critic_widht: 5", "unknown flag --critic-widht; did you mean --critic-width"),
        ("steps: many", "--steps 'many' given; allowed is a whole number"),
        ("steps: [1, 2]", "--steps '1 2' given; allowed is a whole number"),
        ("steps:\n", "--steps 'None' given; allowed is a whole number"),
        ("resume: runs/x", "--resume can be given only on the command line"),
        ("trust: runs/x", "--trust can be given only on the command line"),
        ("run_dir: x", "--run-dir can be given only on the command line"),
        ("help: 1", "'help' is not the name of a setting"),
        ("out_dir: x", "--run-dir can be given only on the command line"),
        ("seed: 1\nseed: 2", "line 2: 'seed' is given twice"),
        ("run: {seed: 1}\nagent: {seed: 2}", "'seed' is given twice"),
        ("a: {b: {c: 1}}", "a group inside a group"),
        ("reinit_at: [[1]]", "a list may hold only texts and numbers"),
        ("env: !!python/object/apply:os.system [touch owned]", "line 1: tags"),
        ("env: !env h1-walk", "tags"),
        ("a: &a [x, x]\nb: [*a, *a, *a]", "anchors and aliases"),
        ("<<: *base", "anchors and aliases"),
        ("- 1\n- 2", "settings are lines such as"),
        ("just a text", "settings are lines such as"),
        ("seed: 1\n---\nseed: 2", "a second document"),
        ("seed: 'open", "cannot be read as YAML"),
        ("seed: [1, 2", "cannot be read as YAML"),
        ("\tseed: 1", "cannot be read as YAML"),
        ("env: '--trust'", "env cannot be '--trust'"),
        ('env: "a\\nb"', "env cannot be"),
        ("[1, 2]: 3", "a setting's name is a short text"),
        ("? {a: 1}\n: 3", "a setting's name is a short text"),
        ("--seed: 1", "is not the name of a setting"),
        ("x" * 300 + ": 1", "a setting's name is a short text"),
        ("[" * 5_000, "settings are lines"),
        ("a: " + "{a: " * 3_000, "a group inside a group"),
        ("a: " + "[" * 3_000, "a list may hold"),
        ("reinit_at: [" + "1, " * 20_000 + "1]", "entries"),
        ("# " + "x" * 100_000, "more than the 64,000"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"seed: \x00", "cannot be read as YAML"),
        ("epochs: 3", "flag of train_vision.py"),
        ("policy_lr: 3e-4", "one rate here: --learning-rate"),
        ("env: Breakout", "use train_dqn.py"),
        ("reinit: my_module:Method", "names code outside fire-rl, --reinit my_module:Method"),
        ("env: my_module:Task-v0", "names code outside fire-rl, --env my_module:Task-v0"),
        ("regularize: [my_module:Method]", "names code outside fire-rl"),
    ],
)
def test_a_wrong_or_hostile_file_is_refused_in_one_line(text: str | bytes, complaint: str, tmp_path: Path):
    path = written(tmp_path, text)
    with pytest.raises(ValueError) as caught:
        read_command_line(["--config", str(path)], LEARNERS["sac"])
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("owned").exists()


def test_other_things_than_files_are_refused(tmp_path: Path, run: Path):
    link = tmp_path / "link.yaml"
    link.symlink_to(written(tmp_path, "seed: 1"))
    for path, complaint in (
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "is not a run"),
        (link, "symbolic link"),
        (Path("/dev/zero"), "is not a regular file"),
    ):
        with pytest.raises(ValueError, match=complaint):
            config_of("--config", str(path))
    for words in (["--resume", str(run)], ["--branch-from", str(run)]):
        with pytest.raises(ValueError, match="an earlier run's settings stay as they are"):
            config_of("--config", str(run), *words)
    with pytest.raises(ValueError, match="so no preset is allowed"):
        config_of("--config", str(run), "--preset", "quick")
    with pytest.raises(ValueError, match=r"that is a run of train_sac\.py"):
        config_of("--config", str(run), agent="dqn")


def test_code_that_a_file_names_is_imported_only_where_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Path
):
    (tmp_path / "a_module_of_a_file.py").write_text(
        "from pathlib import Path\nfrom fire_rl import Reset\n"
        f"Path({str(tmp_path / 'imported')!r}).touch()\n\n\nclass Mine(Reset):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    described = json.loads((run / "config.json").read_text())
    described["run"]["reinit"] = "a_module_of_a_file:Mine"
    strange = tmp_path / "strange" / "config.json"
    strange.parent.mkdir()
    strange.write_text(json.dumps(described))
    path = written(tmp_path, "reinit: a_module_of_a_file:Mine")
    for words in (
        ["--config", str(path)],
        ["--config", str(strange)],
        ["--config", str(strange), "--trust", str(path)],
    ):
        with pytest.raises(ValueError, match=r"names code outside fire-rl|given; the run is"):
            config_of(*words)
        with pytest.raises(ValueError, match=r"names code outside fire-rl|given; the run is"):
            read_options([*words, "--agent", "sac"])
    assert config_of("--config", str(strange), "--reinit", "reset").run.reinit == "reset", "the file is not read"
    assert not (tmp_path / "imported").exists()
    assert config_of("--config", str(path), "--trust", str(path)).methods.method.acts_at_events
    assert (tmp_path / "imported").exists()


def test_a_tracker_that_a_file_names_is_not_trusted_either(tmp_path: Path):
    path = written(tmp_path, "track: a_module_of_a_file:Tracker\nenv: h1-stand")
    with pytest.raises(ValueError, match=r"names code outside fire-rl, --track a_module_of_a_file:Tracker"):
        read_options(["--config", str(path)])
    with pytest.raises(ValueError, match=r"names code outside fire-rl, --track"):
        config_of("--config", str(path))
    read_options(["--config", str(path), "--trust", str(path)])
    read_options(["--config", str(path), "--track", "a_module_of_a_file:Tracker"])


def test_comparisons_read_files_too(tmp_path: Path, run: Path):
    path = written(
        tmp_path, "algo: SAC\nmethods: [None, FIRE]\nseeds: 0-1\nlr: [1e-4, 3e-4]\nenv: H1-Stand\nsteps: 1e5"
    )
    options, passed = read_options(["--config", str(path), "--seeds", "0-2"])
    assert (options.env, options.reinit, options.seeds) == (("h1-stand",), ("none", "fire"), ("0-2",))
    assert [axis.values for axis in make_grid(options, passed).axes] == [("1e-4", "3e-4")]
    options, passed = read_options(["--config", str(run), "--dir", str(tmp_path / "grid")])
    assert options.env == ("Pendulum-v1",)
    flags = dict(passed)
    assert flags["--critic-width"] == ("8",)
    assert not {"--seed", "--threads", "--reinit", "--reinit-at"} & flags.keys()
    with pytest.raises(ValueError, match="can be given only on the command line"):
        read_options(["--config", str(written(tmp_path, "dir: x"))])


def test_a_run_says_and_keeps_the_command_that_repeats_it_bit_by_bit(run: Path, tmp_path: Path):
    kept = json.loads((run / "config.json").read_text())["repeat"]
    words = shlex.split(kept)
    assert words[:2] == ["python", "train_sac.py"]
    assert words[-2:] == ["--seed", "3"]
    assert "--reinit-at" not in words, "it follows from the length"
    said = quietly(*words[2:], "--run-dir", str(tmp_path / "again"))
    assert f"repeat it with  {kept}\n" in said
    quietly("--config", str(run), "--run-dir", str(tmp_path / "third"))
    lines = [figures(folder) for folder in (run, tmp_path / "again", tmp_path / "third")]
    assert lines[0] == lines[1] == lines[2]
    assert read_config(tmp_path / "again") == read_config(run)


def figures(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics without times and rates."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if not re.search("second", name) and name != "networks"}
        for line in lines
    ]


def test_the_command_of_a_branch_names_its_trunk(run: Path, tmp_path: Path):
    step = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["environment_steps"]
    folder = tmp_path / "branch"
    quietly("--branch-from", f"{run}@{step}", "--reinit", "RESET", "--steps", "200", "--run-dir", str(folder))
    words = shlex.split(json.loads((folder / "config.json").read_text())["repeat"])
    assert words[2:4] == ["--branch-from", f"{run}@{step}"]
    assert words[4:] == ["--reinit", "reset", "--steps", "200", "--threads", "1"]
    other = quietly(*words[2:], "--run-dir", str(tmp_path / "other"))
    assert "a new run" in other or "continuing" in other
    assert figures(folder) == figures(tmp_path / "other")


@pytest.mark.parametrize(
    ("agent", "line", "words"),
    [
        ("sac", "", "--seed 0"),
        ("sac", "--preset quick --reinit fire --seed 7", "--preset quick --reinit fire --seed 7"),
        ("sac", "--preset quick --steps 50k --reinit redo", "--preset quick --reinit redo --steps 50000 --seed 0"),
        ("sac", "--reinit fire --reinit-at 10 20", "--reinit fire --reinit-at 10 20 --seed 0"),
        ("dqn", "--preset quick --reinit fire", "--preset quick --reinit fire --seed 0"),
        ("dqn", "--env Pong --preset atari100k", "--preset atari100k --env Pong --seed 0"),
        ("vision", "--preset quick --reinit fire:solver=exact", "--preset quick --reinit fire:solver=exact --seed 0"),
        ("language", "--preset quick --regularize l2-init", "--preset quick --regularize l2-init --seed 0"),
    ],
)
def test_the_shortest_command_has_what_differs_and_nothing_that_follows(agent: str, line: str, words: str):
    asked = config_of(*line.split(), agent=agent)
    assert shortest_words(asked.resolved()) == words.split()
    assert config_of(*words.split(), agent=agent).resolved() == asked.resolved()
    assert unresolved(asked.resolved()).resolved() == asked.resolved()
    assert words_again(asked) == shortest_words(asked)


@pytest.mark.parametrize("agent", LEARNERS)
def test_every_preset_is_named_and_nothing_else(agent: str):
    for name, preset in LEARNERS[agent].presets.items():
        words = shortest_words(preset.config.resolved())
        assert config_of(*words, agent=agent).resolved() == preset.config.resolved()
        assert len(words) == (2 if name == next(iter(LEARNERS[agent].presets)) else 4), words
        assert config_to_json(config_of(*words, agent=agent)) == config_to_json(preset.config)
