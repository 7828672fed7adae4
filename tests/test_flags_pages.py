"""--help fits a screen, is fast and is correct; --help-all and the lists say the rest."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from fire_rl.commands import COMMANDS
from fire_rl.commands.compare_options import Options
from fire_rl.commands.pages import PAGES, page
from fire_rl.fire import METHODS, REGULARIZERS
from fire_rl.training.asked import HELP
from fire_rl.training.command_line import command_of, flags_of, read_command_line
from fire_rl.training.learners import LEARNERS

ROOT = Path(__file__).parent.parent
SCRIPTS = {name: f"train_{name}.py" if name in LEARNERS else f"{name}.py" for name in PAGES}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_screen(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fire_rl.place.IN_A_CHECKOUT", False)
    installed = page(name).splitlines()
    assert f"fire-rl {name}" in installed[0]
    assert max(map(len, installed)) <= 80
    lines = PAGES[name].splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if line.startswith(f"  python {SCRIPTS[name]}")]) == 3, "three examples"


@pytest.mark.parametrize("name", LEARNERS)
def test_pages_of_training_scripts_state_the_defaults_of_the_settings(name: str):
    config = next(iter(LEARNERS[name].presets.values())).config
    values, hints = config.by_name(), command_of(name).hints
    named = re.findall(r"^  (--[a-z-]+) .*?(?:\[(.*)\])?$", PAGES[name], re.MULTILINE)
    assert len(named) > 12
    for flag, default in named:
        assert flag in hints or flag in HELP, flag
        value = values.get(flag[2:].replace("-", "_"))
        if re.fullmatch(r"[\d.,e -]+", default):
            numbers = [float(word.replace(",", "")) for word in default.split()]
            assert numbers == [float(each) for each in (value if isinstance(value, tuple) else (value,))], flag
        elif isinstance(value, str):
            assert default == value, flag


def test_the_page_of_comparisons_states_what_its_options_do():
    usual, hints = Options(), flags_of(Options)
    for flag, default in re.findall(r"^  (--[a-z-]+) .*?(?:\[(.*)\])?$", PAGES["compare"], re.MULTILINE):
        assert flag in hints or flag in (*HELP, "--config"), flag
        value = getattr(usual, flag[2:].replace("-", "_"), None)
        if value and default:
            assert default == (" ".join(value) if isinstance(value, tuple) else str(value)), flag


@pytest.mark.parametrize("name", LEARNERS)
def test_examples_of_pages_can_be_parsed(name: str):
    for line in re.findall(rf"^  python {SCRIPTS[name]} (.*?)(?:   .*)?$", PAGES[name], re.MULTILINE):
        if "PATH" not in line and "class-incremental" not in line:
            read_command_line(line.split(), LEARNERS[name])


@pytest.mark.parametrize("name", PAGES)
def test_help_imports_nothing_that_takes_seconds(name: str):
    command = [sys.executable, "-X", "importtime", SCRIPTS[name], "--steps", "5", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.strip() == PAGES[name]
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "numpy", "gymnasium", "mujoco", "tyro", "fire_rl.training"}


def shown(name: str, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        read_command_line(words, LEARNERS[name])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", LEARNERS)
def test_help_all_has_every_flag_once_with_its_meaning(name: str, capsys: pytest.CaptureFixture[str]):
    text = shown(name, capsys, "--help-all")
    for flag in command_of(name).hints:
        entries = re.findall(rf"^  {flag} .*\n      \S+", text, re.MULTILINE)
        assert len(entries) == 1, flag
    assert "\nOthers\n" not in text, "every flag has its topic"


@pytest.mark.parametrize("name", sorted(SCRIPTS.keys() - LEARNERS.keys()))
def test_help_all_of_the_other_commands_has_the_same_form(name: str, capsys: pytest.CaptureFixture[str]):
    module = import_module(f"fire_rl.commands.{COMMANDS[name].module}")
    with pytest.raises(SystemExit) as ended:
        module.body(["--help-all"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert re.match(rf"usage: {name}\.py [^\n]*\[--FLAG VALUE \.\.\.\]    defaults in brackets\n\n[A-Z]", text)
    for flag in flags_of(module.Options):
        assert len(re.findall(rf"^  {flag} .*\n      \S+", text, re.MULTILINE)) == 1, flag
    assert "╭" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_each_lists_what_it_learns_from(capsys: pytest.CaptureFixture[str]):
    sac, dqn = (shown(name, capsys, "--list-envs") for name in ("sac", "dqn"))
    assert "h1-walk" in sac
    assert "HalfCheetah-v5" in sac
    assert "Breakout" not in sac
    assert "CartPole" not in sac
    assert "MsPacman" in dqn
    assert "MinAtar/Breakout-v1" in dqn
    assert "h1-walk" not in dqn
    assert "Breakout" not in shown("sac", capsys, "--help-all"), "SAC's help has no Atari"
    assert "cifar100" in shown("vision", capsys, "--list-data")


@pytest.mark.parametrize("method", [*METHODS, *REGULARIZERS])
def test_a_method_is_shown_with_source_fields_and_spelling(method: str, capsys: pytest.CaptureFixture[str]):
    text = shown("dqn", capsys, "--list-methods", method.upper())
    assert text.startswith(f"{method}\n")
    assert re.search(r"Written (--reinit|--regularize) ", text)
    if method not in ("none",):
        assert re.search(r"arXiv|Source|Sources|source", text), text
    spelled = re.search(r"with fields (\S+) (\S+)", text)
    if spelled:
        assert read_command_line([spelled[1], spelled[2], "--preset", "quick"], LEARNERS["dqn"]).config.methods
    assert method in shown("dqn", capsys, "--list-methods")


def test_an_unknown_method_gets_the_nearest():
    with pytest.raises(ValueError, match="nearest is fire"):
        read_command_line(["--list-methods", "FYRE"], LEARNERS["sac"])


def test_no_message_points_to_pages_that_an_installed_package_lacks():
    for room in ("agents", "commands", "data", "envs", "experiments", "remote", "replay", "training"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert "docs/" not in node.value, path


def test_scripts_are_thin():
    for name in LEARNERS:
        body = ast.parse((ROOT / SCRIPTS[name]).read_text()).body
        assert len(body) <= 5
