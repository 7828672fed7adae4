"""The examples in the docs run, and what the pages name exists."""

import ast
import contextlib
import importlib
import io
import os
import re
import shlex
import sys
import types
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
PAGES = [
    *("README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md"),
    *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md"))),
]
# Languages of code blocks that no test can run: shells, clusters, files of settings.
NOT_RUN = {"", "bash", "sh", "text", "cpp", "yaml"}
FRAGMENTS = {"docs/runs.md", "docs/export.md"}  # Python for a reader's own run or robot: only its imports are tried.


def blocks(page: str, language: str = "python") -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def importable(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the modules of a page, which are blocks that begin with a file name, to a folder that can be imported."""
    for block in blocks(page):
        if named := re.match(r"# (\w+)\.py\n", block):
            (folder / f"{named[1]}.py").write_text(block)
            monkeypatch.delitem(sys.modules, named[1], raising=False)
            monkeypatch.syspath_prepend(folder)


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_examples_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from fire_rl.training.learners import LEARNERS

    monkeypatch.chdir(tmp_path)
    for name in ("ddpg", "stream"):  # methods that a page registers are removed after the test
        monkeypatch.setitem(LEARNERS, name, LEARNERS["sac"])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    importable(page, tmp_path, monkeypatch)
    for number, block in enumerate(blocks(page)):
        module = types.ModuleType(f"example_{number}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(block, f"{page}, example {number + 1}", "exec"), module.__dict__)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_code_escapes_the_tests(page: str):
    """Every block is Python that is run, or has a language that tests cannot run. No block is hidden by indentation."""
    opened = re.findall(r"^( *)(`{3,})(\w*)", (ROOT / page).read_text(), flags=re.MULTILINE)[::2]
    for indent, _, language in opened:
        assert not indent, f"{page}: an indented block of {language or 'text'}"
        assert language == "python" or language in NOT_RUN or (language == "py" and page in FRAGMENTS), (page, language)


@pytest.mark.parametrize("page", sorted(FRAGMENTS))
def test_fragments_are_python_whose_imports_exist(page: str):
    for block in blocks(page, "py"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fire_rl"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


@pytest.mark.usefixtures("unrendered")
def test_a_user_s_own_method_runs_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from fire_rl.commands.train import train_sac as train
    from fire_rl.training.lines import read_lines

    example = next(block for block in blocks("docs/tutorial/own-method.md") if block.startswith("# noisy.py"))
    (tmp_path / "noisy.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    arguments = "--preset quick --reinit noisy:Noisy:amount=0.2 --steps 120 --learning-starts 20 --eval-every 60"
    sizes = "--eval-episodes 1 --critic-width 8 --actor-width 8 --batch-size 8 --threads 1 --device cpu"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train([*arguments.split(), *sizes.split(), "--run-dir", str(tmp_path / "run")])
    events = [line for line in read_lines(tmp_path / "run" / "metrics.jsonl") if line["kind"] == "event"]
    assert len(events) == 1
    assert "amount=0.2" in events[0]["method"]


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page: str):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_of_the_code_that_a_page_names_exist(page: str):
    rooms = "agents|benchmarks|commands|data|docs|envs|examples|experiments|fire|remote|replay|tests|training"
    for name in re.findall(rf"`((?:{rooms})/[\w/.-]+\.(?:py|json|md))`", (ROOT / page).read_text()):
        assert "NAME" in name or (ROOT / name).exists(), f"{page} names {name}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_docs_name_flags_that_exist(page: str):
    from fire_rl.place import script
    from fire_rl.training.asked import HELP
    from fire_rl.training.command_line import command_line, flags_of
    from fire_rl.training.known_flags import SAME
    from fire_rl.training.learners import LEARNERS

    for agent, learner in LEARNERS.items():
        elsewhere = {name for same in SAME if agent in same.commands for name in same.names.split()}
        known = {*flags_of(command_line(learner.config)), *HELP, *elsewhere}
        for line in (ROOT / page).read_text().splitlines():
            for flag in re.findall(r"(--[a-z][a-z-]*)", line.partition(f"python {script(learner.command)}")[2]):
                assert flag in known, f"{page}: {flag}"


@pytest.mark.parametrize("page", PAGES)
def test_comparisons_of_the_docs_can_be_planned(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from fire_rl.commands.compare import make_grid
    from fire_rl.commands.compare_options import read_options
    from fire_rl.experiments.sweep.plan import plan

    importable(page, tmp_path, monkeypatch)
    text = (ROOT / page).read_text().replace("\\\n", " ")
    words = r"""(?:'[^'`\n]*'|"[^"`\n]*"|[^'"#`&>\n])+"""  # a # or > inside quotes ends no command
    for command in re.findall(rf"python compare\.py (--(?!help|list){words})", text):
        options, passed = read_options(shlex.split(command))
        if not options.report_only:
            assert plan(make_grid(options, passed)), command


def test_no_loaded_file_can_execute_code():
    unsafe = re.compile(r"^\s*(import pickle|from pickle)|(?<!safetensors\.)torch\.load\(|allow_pickle", re.MULTILINE)
    for room in ("agents", "commands", "data", "envs", "experiments", "fire", "remote", "replay", "training"):
        for path in (ROOT / room).rglob("*.py"):
            assert not unsafe.search(path.read_text()), path


def test_imports_point_down():
    """Ground rooms import no other room, agents import only ground rooms, and nothing imports the scripts."""
    machine = {"cores", "memory", "place"}
    allowed = {"fire": set(), "replay": set(), "envs": machine, "data": machine}
    allowed["agents"] = {"data", "fire", "replay", *machine}
    allowed["training"] = {*allowed, *machine}
    allowed["experiments"] = {*allowed, *machine}
    allowed["remote"] = {*allowed, *machine}
    allowed["commands"] = {*allowed, *machine}
    names = "|".join(allowed)
    for room in allowed:
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text()
            for other in re.findall(r"^\s*(?:from|import) fire_rl\.(\w+)", text, re.MULTILINE):
                assert other in allowed[room], f"{os.fspath(path.relative_to(ROOT))} imports {other}"
            bare = re.search(rf"^\s*(?:from (?:{names})(?:\.\w+)* import|import (?:{names})\b)", text, re.MULTILINE)
            assert not bare, f"{os.fspath(path.relative_to(ROOT))}: a room is imported by its full name, fire_rl.ROOM"


def test_runs_their_numbers_and_their_report_import_each_other_only_downwards():
    allowed = {"sweep": set(), "analysis": set(), "report": {"analysis"}, "diagnosis": {"report"}}
    for part, below in allowed.items():
        for path in (ROOT / "experiments" / part).rglob("*.py"):
            others = set(re.findall(r"^\s*from \.\.(\w*)", path.read_text(), re.MULTILINE))
            assert others <= below | {"failure", "kept"}, f"{path.name} imports {others}"


def test_the_driver_does_not_depend_on_what_is_learned_from():
    for name in ("driver", "work", "config", "progress", "history", "lines", "log"):
        imported = re.findall(
            r"^\s*(?:from|import) (?:\.|fire_rl\.)?(\w+)", (ROOT / "training" / f"{name}.py").read_text(), re.MULTILINE
        )
        assert not {"agents", "data", "envs", "reinforcement", "agent_run", "learners", "world"} & set(imported), name


@pytest.mark.parametrize("page", PAGES)
def test_no_figure_is_missing(page: str):
    assert not re.search(r"@@?[A-Z0-9_]+@|MEASURED", (ROOT / page).read_text())
