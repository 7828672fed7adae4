"""Files of published results: which are read, and which are refused in one line."""

import pytest

from fire_rl.commands import compare
from fire_rl.experiments.analysis.axis import analyse_all
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.published.files import COLUMNS, MOST_BYTES, read_published, same_environment
from tests.fixtures import published_runs
from tests.fixtures.comparison import write_run
from tests.fixtures.published_runs import OPTIONS, STEPS, in_walk, joined, rows, write

ours = published_runs.ours


@pytest.mark.parametrize("numbered", [True, False])
def test_a_file_gives_each_method_its_seeds_and_their_returns_by_step(tmp_path, numbered):
    found = [*rows(), *rows("FlashSAC", "h1-sit_hard-v0", (4000,))]
    one, other = read_published([write(tmp_path / "all.csv", found, numbered=numbered)])
    assert (one.name, other.name) == ("xqc (published)", "FlashSAC (published)")
    assert [series.seed for series in one.runs["h1-walk-v0"]] == [0, 1]
    assert one.runs["h1-walk-v0"][1].returns == {step: step / 100 + 10 for step in STEPS}
    assert other.runs.keys() == {"h1-sit_hard-v0"}


@pytest.mark.parametrize(
    ("theirs", "own", "same"),
    [
        ("h1-walk-v0", "h1-walk", True),
        ("h1_sit_hard_v0", "h1-sit_hard", True),
        ("h1-balance-simple-v0", "fire_rl/h1-balance_simple-v0", True),
        ("h1-walk-v0", "humanoid_bench:h1-walk-v0", True),
        ("h1hand-walk-v0", "h1-walk", False),
        ("humanoid-walk", "h1-walk", False),
        ("Isaac-Velocity-Rough-H1-v0", "h1-walk", False),
        ("dog_trot", "dmc:dog-trot", True),
        ("Ant-v4", "Ant-v5", False),
        ("Ant-v4", "Ant-v4", True),
        ("Breakout", "MinAtar/Breakout-v1", False),
        ("ALE/Breakout-v5", "Breakout", True),
    ],
)
def test_names_of_one_environment_are_distinguished_from_those_of_others(theirs, own, same):
    assert same_environment(theirs, own) == same


def test_values_that_are_not_finite_short_seeds_and_repeated_steps_are_left_out_with_a_note(ours, tmp_path):
    found = [
        *rows(),
        ("xqc", "h1-walk-v0", 0, "avg_return", 5000, "nan"),
        ("xqc", "h1-walk-v0", 0, "avg_return", 7000, ""),
    ]
    found += [("xqc", "h1-walk-v0", 1, "avg_return", 10_000, 999.0), ("xqc", "h1-walk-v0", 7, "avg_return", 5_000, 1.0)]
    results, said = joined(ours, write(tmp_path / "xqc.csv", found))
    method, words = in_walk(results).methods[-1], " ".join(said)
    assert [run.run.seed for run in method.runs] == [0, 1]
    assert [run.final for run in method.runs] == [100.0, 999.0]
    assert "2 of its evaluations with seed 0 are not numbers and are left out" in words
    assert "2 of its evaluations appear twice in the file; the later row is used" in words
    assert "seed 7 left out: no evaluation near the last step of the others, 10,000" in words


def test_methods_of_one_name_are_distinguished_by_their_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    files = [write(tmp_path / name, rows()) for name in ("one.csv", "two.csv", "a/three.csv", "b/three.csv")]
    first, second, third, fourth = (each.name for each in read_published(files))
    assert (first, second) == ("xqc (one.csv)", "xqc (two.csv)")
    assert third == f"xqc ({files[2]})"
    assert fourth == f"xqc ({files[3]})"
    assert len(read_published([files[0], files[0]])) == 1


HEAD = f"{','.join(COLUMNS)}\n".encode()
MISTAKES = {
    "no such layout": (b"step,return\n1,2\n", "has no columns exp_name, env_name, seed, metric, env_step, value"),
    "a column missing": (b"exp_name,env_name,seed,metric,value\n", "has no column env_step"),
    "a column with another name": (
        b"exp_name,env_name,seed,metric,env_steps,value\n",
        "nearest to env_step is env_steps",
    ),
    "a column twice": (b"exp_name,env_name,seed,metric,env_step,value,value\n", "has the column value twice"),
    "nothing at all": (b"", "the first line has none"),
    "no rows": (HEAD, "has no rows"),
    "another metric": (HEAD + b"a,b,0,avg_success,0,1\n", "it has avg_success"),
    "a row too short": (HEAD + b"a,b,0,avg_return\n", "line 2 has 4 values"),
    "words for a number": (HEAD + b"a,b,0,avg_return,0,high\n", "value 'high'"),
    "half a step": (HEAD + b"a,b,0,avg_return,0.5,1\n", "env_step '0.5'"),
    "an endless step": (HEAD + b"a,b,0,avg_return,inf,1\n", "env_step 'inf'"),
    "no seed": (HEAD + b"a,b,,avg_return,0,1\n", "seed ''"),
    "no name": (HEAD + b",b,0,avg_return,0,1\n", "exp_name ''"),
    "a name that controls": (HEAD + b"\x1b[2J,b,0,avg_return,0,1\n", "exp_name '"),
    "an open quote": (HEAD + b'"a,b,0,avg_return,0,1\n', "is not valid CSV"),
    "zero bytes": (b"exp_name,env_name\0", "zero bytes"),
    "no text": (b"\xff\xfe\x00\x01", "not text in UTF-8"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, mistake):
    content, said = MISTAKES[mistake]
    path = tmp_path / "theirs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"theirs\.csv") as refused:
        read_published([path])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_folders_missing_files_and_large_ones_are_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="is not a regular file"):
        read_published([tmp_path])
    with pytest.raises(ValueError, match="No such file"):
        read_published([tmp_path / "none.csv"])
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ValueError, match="more than the"):
        read_published([tmp_path / "large.csv"])
    many = [(f"m{n}", "h1-walk-v0", 0, "avg_return", 0, 1.0) for n in range(30)]
    with pytest.raises(ValueError, match="more than 24 values of exp_name"):
        read_published([write(tmp_path / "many.csv", many)])


def test_a_file_without_any_of_the_environments_is_refused_before_anything_runs(ours, tmp_path):
    file = write(tmp_path / "xqc.csv", rows(env="h1-run-v0"))
    with pytest.raises(
        ValueError, match="has no results in h1-sit_hard or h1-walk; nearest of its 1 environments is h1-run-v0"
    ):
        joined(ours, file)
    arguments = ["--env", "h1-walk", "--seeds", "0", "--dir", str(tmp_path / "runs"), "--against", str(file)]
    with pytest.raises(ValueError, match="has no results in h1-walk"):
        compare.body(arguments)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("label", ["xqc (published)", "XQC (Published)", "Mine (published)"])
def test_a_label_that_looks_like_a_published_method_is_refused(label, tmp_path):
    write_run(tmp_path / "a", env="h1-walk", agent="sac", method="fire", steps=10_000)
    found = find_runs([tmp_path])
    with pytest.raises(ValueError, match="are only for results from --against") as refused:
        analyse_all(found.runs, OPTIONS, found.trunks, (f"fire={label}",))
    assert "\n" not in str(refused.value)


def test_two_methods_of_one_name_are_refused(tmp_path):
    write_run(tmp_path / "runs" / "a", env="h1-walk", agent="sac", method="fire", steps=10_000)
    files = [write(tmp_path / name, rows()) for name in ("one.csv", "two.csv")]
    found = find_runs([tmp_path / "runs"])
    results = analyse_all(found.runs, OPTIONS, found.trunks, ("fire=xqc (one.csv)",))
    with pytest.raises(ValueError, match=r"one\.csv has xqc, which the report would call 'xqc \(one\.csv\)'"):
        joined(results, *files)
    words = ["--env", "h1-walk", "--seeds", "0", "--dir", str(tmp_path / "new"), "--label", "fire=xqc (one.csv)"]
    with pytest.raises(ValueError, match="give the method that was run another --label"):
        compare.body([*words, "--against", *map(str, files)])
    assert not (tmp_path / "new").exists()
