"""Code that a run's files name is imported only if the command line names it too."""

from pathlib import Path

import pytest

from fire_rl.training import load_policy
from tests.fixtures.faulty_runs import METHODS, ROOT, TINY, train

pytestmark = pytest.mark.usefixtures("unrendered_module")


def test_code_that_only_a_run_s_files_name_is_not_imported(tmp_path: Path):
    folder, method = tmp_path / "run", f"{METHODS}:Halving"
    said = train(*TINY, "--reinit", method, "--reinit-at", "150", "--run-dir", str(folder))
    assert f"--resume {folder} --steps 800 --trust {folder}" in said
    for arguments in (["--resume", str(folder)], ["--branch-from", f"{folder}@330", "--reinit", "none"]):
        if arguments[0] == "--resume":
            assert f"add --trust {folder}" in train(*arguments, "--steps", "420", code=2)
    with pytest.raises(ValueError, match="not imported only because a file names it"):
        load_policy(folder)
    assert load_policy(folder, trust=True).step == 400
    train("--resume", str(folder), "--steps", "420", "--reinit", method)
    train("--resume", str(folder), "--steps", "440", "--trust", str(folder))
    assert "the run is" in train("--resume", str(folder), "--trust", str(tmp_path), code=2)


def test_an_environment_whose_class_is_in_another_file_is_not_imported_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, inner = tmp_path / "run", tmp_path / "inner_world.py"
    inner.write_text("from gymnasium.envs.classic_control import PendulumEnv\n\n\nclass Own(PendulumEnv):\n    pass\n")
    register = 'import gymnasium\n\ngymnasium.register("Own-v0", entry_point="inner_world:Own", max_episode_steps=50)\n'
    (tmp_path / "outer_world.py").write_text(register)
    monkeypatch.syspath_prepend(tmp_path)
    train(*TINY[2:], "--env", "outer_world:Own-v0", "--run-dir", str(folder))
    assert {path.name for path in (folder / "source").iterdir()} == {"inner_world.py", "outer_world.py"}
    inner.write_text(inner.read_text() + "\n")
    assert f"{inner} has changed" in train("--resume", str(folder), "--trust", str(folder), code=2)
    with pytest.raises(ValueError, match="has changed"):
        load_policy(folder, trust=True)


def test_code_beside_the_project_s_own_is_a_user_s_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, module = tmp_path / "run", ROOT / "fire_of_somebody.py"
    module.write_text((ROOT / "tests" / "fixtures" / "own_methods.py").read_text())
    try:
        train(*TINY, "--reinit", "fire_of_somebody:Halving", "--reinit-at", "150", "--run-dir", str(folder))
    finally:
        module.unlink()
    assert (folder / "source" / "fire_of_somebody.py").exists()


def test_a_run_whose_method_s_source_has_changed_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, module = tmp_path / "run", tmp_path / "wobbling.py"
    module.write_text((ROOT / "tests" / "fixtures" / "own_methods.py").read_text().replace("torch.nan", "0.1"))
    monkeypatch.syspath_prepend(tmp_path)
    train(*TINY, "--reinit", "wobbling:Spoiling", "--reinit-at", "150", "--run-dir", str(folder))
    assert (folder / "source" / "wobbling.py").read_text() == module.read_text()
    module.write_text(module.read_text().replace("0.1", "0.2"))
    said = train("--resume", str(folder), "--steps", "420", "--trust", str(folder), code=2)
    assert f"{module} has changed since {folder} was made with it" in said
    assert "change it back, or begin a new run" in said
