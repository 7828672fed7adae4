"""Which measures predict trainability: the statistics against scipy and enumerations, the records, and the page."""

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from benchmarks.foretelling import __main__ as command
from benchmarks.foretelling import correlation, triggers
from benchmarks.foretelling.correlation import (
    RESAMPLES,
    Sample,
    Tau,
    between,
    fewest_blocks,
    overall,
    resampled_overall,
    sign_flips,
    tau_b,
    weights_of,
    within,
)
from benchmarks.foretelling.measuring import measured, measures_of
from benchmarks.foretelling.page import BEGIN, END, said_of, write_page
from benchmarks.foretelling.plan import AGES, Trunks, checkpoints_of, words_of
from benchmarks.foretelling.results import Record, ScoreRecord, read_results, write_results
from benchmarks.foretelling.table import by_network, by_task, everything
from fire_rl.commands.train import train_dqn
from fire_rl.experiments.diagnosis.loaded_run import load_run
from fire_rl.fire import Probe
from fire_rl.training.lines import read_lines
from tests.fixtures.comparison import write_run

stats = pytest.importorskip("scipy.stats")


def sample_of(runs: int, ages: int, seed: int = 0, strata: int = 1, each_block: int = 1) -> Sample:
    """Return values with many ties, which resemble each other within a run."""
    random = np.random.default_rng(seed)
    of_run = np.repeat(random.normal(size=runs), ages)
    x, y = (np.round(of_run + random.normal(size=runs * ages), 0) for _ in range(2))
    run = np.repeat(np.arange(runs), ages)
    return Sample(x, y, run, run // each_block, run % strata)


def by_pairs(sample: Sample, times: Sequence[int]) -> float:
    """Return the tau of a resample, pair by pair: all pairs within a copy of a block, and between different blocks."""
    drawn = [block for block, count in enumerate(times) for _ in range(count)]
    points = [(copy, place) for copy, block in enumerate(drawn) for place in np.flatnonzero(sample.block == block)]
    sums = np.zeros(3)
    for (one, i), (other, j) in itertools.combinations(points, 2):
        if sample.stratum[i] == sample.stratum[j] and (one == other or drawn[one] != drawn[other]):
            a, b = np.sign(sample.x[i] - sample.x[j]), np.sign(sample.y[i] - sample.y[j])
            sums += a * b, a * a, b * b
    return float(sums[0] / np.sqrt(sums[1] * sums[2])) if sums[1:].all() else np.nan


def mean_of_runs(sample: Sample, times: Sequence[int]) -> float:
    """Return the mean of the taus of the runs in a resample; runs without a tau are left out."""
    runs = [sample.run == run for run in np.unique(sample.run)]
    taus = np.array([by_scipy(Sample(*(values[run] for values in vars(sample).values()))) for run in runs])
    weights = np.array([times[sample.block[run][0]] for run in runs]) * np.isfinite(taus)
    return float((np.nan_to_num(taus) * weights).sum() / weights.sum()) if weights.any() else np.nan


def by_scipy(sample: Sample) -> float:
    return float(stats.kendalltau(sample.x, sample.y).statistic)


@pytest.mark.parametrize("seed", range(4))
def test_tau_is_scipys(seed: int):
    sample = sample_of(4, 6, seed)
    assert tau_b(sample.x, sample.y) == pytest.approx(by_scipy(sample), abs=1e-12)
    assert overall(sample).value == pytest.approx(by_scipy(sample), abs=1e-12)
    means = [[values[sample.run == run].mean() for run in range(4)] for values in (sample.x, sample.y)]
    assert between(sample).value == pytest.approx(stats.kendalltau(*means).statistic, abs=1e-12)
    own = [stats.kendalltau(sample.x[sample.run == run], sample.y[sample.run == run]).statistic for run in range(4)]
    assert within(sample).value == pytest.approx(np.nanmean(own), abs=1e-12), "runs without a tau are left out"


def test_a_resample_of_blocks_has_the_tau_of_its_pairs():
    sample = sample_of(6, 4, strata=2, each_block=2)
    every = [times for times in itertools.product(range(4), repeat=3) if sum(times) == 3]
    assert len(every) == 10
    found = resampled_overall(sample, np.array(every, dtype=float))
    expected = [by_pairs(sample, times) for times in every]
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("level", [within, between, overall])
def test_the_interval_is_that_of_all_resamples(level: Any):
    """With five blocks there are 126 resamples, so their distribution is known exactly."""
    sample = sample_of(10, 4, seed=1, each_block=2)
    every = [times for times in itertools.product(range(6), repeat=5) if sum(times) == 5]
    assert len(every) == 126
    shares = np.array([stats.multinomial.pmf(times, 5, [0.2] * 5) for times in every])
    points = sample.means() if level is between else sample
    values = np.array([(mean_of_runs if level is within else by_pairs)(points, times) for times in every])
    known = np.isfinite(values)
    values, shares = values[known], shares[known] / shares[known].sum()
    tau = level(sample)
    for bound, tail in ((tau.low, values <= tau.low + 1e-9), (tau.high, values >= tau.high - 1e-9)):
        at = shares[np.abs(values - bound) < 1e-9].sum()
        assert shares[tail].sum() >= 0.025 - 0.006
        assert shares[tail].sum() - at <= 0.025 + 0.006


def test_pairs_of_different_strata_do_not_count():
    sample = sample_of(6, 3, strata=2)
    shifted = replace(sample, x=sample.x + 100.0 * sample.stratum)
    assert overall(shifted) == overall(sample)
    assert overall(sample).value == pytest.approx(by_pairs(sample, [1] * 6))


@pytest.mark.parametrize("level", [within, between, overall])
def test_copies_of_the_runs_of_a_block_do_not_narrow_its_interval(level: Any):
    sample = sample_of(6, 8)
    copied = Sample(*(np.tile(values, 3) for values in vars(sample).values()))
    copied = replace(copied, run=np.repeat(np.arange(18), 8))
    once, thrice, as_blocks = level(sample), level(copied), level(replace(copied, block=copied.run))
    found, expected = ([tau.value, tau.low, tau.high] for tau in (thrice, once))
    assert found == pytest.approx(expected)
    assert (once.blocks, thrice.blocks, as_blocks.blocks) == (6, 6, 18)
    assert as_blocks.high - as_blocks.low < once.high - once.low, "18 independent runs would know more"


def test_too_few_blocks_settle_nothing():
    assert 2 / 2 ** fewest_blocks(14) <= 0.05 / 14 < 2 / 2 ** (fewest_blocks(14) - 1)
    assert (fewest_blocks(14), fewest_blocks(1)) == (10, 6)
    for blocks, each in ((9, 1), (9, 3), (10, 1)):
        sample = sample_of(blocks * each, 4, each_block=each)
        alike = replace(sample, x=sample.y)
        for level in (within, between, overall):
            tau = level(alike, 14)
            assert (tau.value, tau.low, tau.high) == pytest.approx((1, 1, 1))
            assert tau.blocks == blocks
            assert tau.settled == (blocks >= 10)


@pytest.mark.parametrize("blocks", [2, 5, 9])
def test_sign_flips_are_those_of_scipy(blocks: int):
    sums = np.random.default_rng(blocks).normal(0.5, 1, blocks)
    expected = stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flips(sums) == pytest.approx(expected.pvalue)


def test_drawn_sign_flips_agree_with_all_of_them(monkeypatch: pytest.MonkeyPatch):
    sums = np.random.default_rng(3).normal(0.5, 1, 12)
    p = sign_flips(sums)
    monkeypatch.setattr(correlation, "MOST_FLIPPED", 11)
    assert sign_flips(sums) == pytest.approx(p, abs=0.01)


def test_sign_flips_must_agree_within_runs(monkeypatch: pytest.MonkeyPatch):
    """Eight runs with a tau of 1 and two with -1/3: the resamples exclude 0, and 8 of 1,024 combinations reach this."""
    run = np.repeat(np.arange(10), 4)
    x = np.concatenate([np.tile([1.0, 3, 2, 0], 2), np.tile(np.arange(4.0), 8)])
    sample = Sample(x, np.tile(np.arange(4.0), 10), run, run, np.zeros(40, int))
    assert sign_flips(np.repeat([-1 / 3, 1.0], [2, 8])) == 8 / 2**10
    assert within(sample, 6).settled, "0.0078 <= 0.05 / 6"
    assert not within(sample, 7).settled
    monkeypatch.setattr(correlation, "sign_flips", lambda _: 0.0)
    assert within(sample, 14).settled


def test_what_is_unknown_is_left_out():
    sample = sample_of(6, 5)
    holed = replace(sample, x=np.where(sample.run == 0, np.nan, sample.x))
    assert (overall(holed).blocks, overall(holed).points) == (5, 25)
    constant = replace(sample, x=np.zeros(30))
    assert all(np.isnan(level(constant).value) for level in (within, between, overall))
    few = sample_of(4, 5)
    assert np.isnan(overall(few).low), "no interval for fewer than five blocks"
    assert np.isnan(within(sample_of(8, 5, each_block=2)).low)
    with pytest.raises(ValueError, match="equally long"):
        Sample(np.zeros(2), np.zeros(3), np.zeros(2, int), np.zeros(2, int), np.zeros(2, int))


def test_the_draws_are_fair_and_always_the_same():
    weights = weights_of(7)
    assert weights.shape == (RESAMPLES, 7)
    assert (weights.sum(1) == 7).all()
    assert weights.mean(0) == pytest.approx(np.ones(7), abs=0.03)
    assert (weights == weights_of(7)).all()


def test_independent_measures_are_rarely_settled():
    """At the corrected level of 14 measures, and even of 1, only few of 60 unrelated measures may exclude 0."""
    samples = [replace(sample_of(12, 5, seed), y=sample_of(12, 5, 1_000 + seed).y) for seed in range(60)]
    found = [overall(sample) for sample in samples]
    excluding = sum(tau.low > 0 or tau.high < 0 for tau in found)
    assert excluding <= 12
    assert sum(overall(sample, 14).settled for sample in samples) <= excluding


# Records and the page


def records(runs: int = 6, ages: int = 4) -> list[Record]:
    random, made = np.random.default_rng(0), []
    for run, age in itertools.product(range(runs), range(ages)):
        value = 1.0 - 0.1 * age + 0.01 * random.normal()
        score = {"value": value, "low": value - 0.1, "high": value + 0.1, "rate": 1e-3, "fresh_rate": 1e-3}
        network = {
            "trainability": value,
            "fit": score,
            "replace": score,
            "measures": {"dormant": 0.1 * age, "active": random.normal(), "active/encoder.1": 0.5, "sfe": None},
        }
        about = {"group": "dqn", "agent": "dqn", "task": "game", "place": {"replay_ratio": "4"}, "seed": run}
        line = {
            **about, "run": f"dqn/game-seed{run}", "step": 100 * age, "updates": 400 * age, "networks": {"q": network},
            "probe": {"updates": 100, "rates": [1e-3], "seeds": 3, "points": 5},
            "seconds": {"measures": 0.5, "everything": 3.0}, "version": "0",
        }  # fmt: skip
        made.append(msgspec.convert(line, Record))
    return made


def test_results_are_read_as_they_were_written(tmp_path: Path):
    made = records()
    write_results(tmp_path / "results.jsonl", reversed(made))
    assert read_results(tmp_path / "results.jsonl") == made
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]
    assert read_results(tmp_path / "nothing.jsonl") == []
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"group": "dqn"}\n')
    with pytest.raises(ValueError, match=r"results.jsonl, line 25: .*missing required field"):
        read_results(tmp_path / "results.jsonl")


def test_cells_hold_the_networks_of_one_kind():
    made = records()
    (network,), (task,), pooled = by_network(made), by_task(made), everything(made)
    assert (network.title, task.title, pooled.runs, pooled.checkpoints) == ("DQN, q", "game, q", 6, 24)
    taus = pooled.taus
    assert taus["dormant"]["within runs"].value == pytest.approx(-1.0)
    assert taus["updates"]["within runs"].value == pytest.approx(-1.0)
    assert not taus["dormant"]["within runs"].settled, "six blocks are too few"
    assert everything(records(10)).taus["dormant"]["within runs"].settled
    other = [msgspec.structs.replace(each, run=f"{each.run}-other", place={"replay_ratio": "16"}) for each in made]
    both = everything([*made, *other])
    assert (both.runs, both.blocks) == (12, 6), "the same seed at two replay ratios is one block"
    assert both.taus["dormant"]["within runs"].blocks == 6
    assert np.isnan(taus["dormant"]["same age"].value), "all runs have the same value at each age"
    assert np.isnan(taus["updates"]["same age"].value)
    by_age = [[each for each in made if each.step == step] for step in (0, 100, 200, 300)]
    pairs = [
        np.sign((one.networks["q"].measures["active"] - other.networks["q"].measures["active"])
                * (one.networks["q"].trainability - other.networks["q"].trainability))
        for group in by_age for one, other in itertools.combinations(group, 2)
    ]  # fmt: skip
    assert taus["active"]["same age"].value == pytest.approx(np.mean(pairs))
    assert "sfe" not in taus, "it was never measured"
    assert "active/encoder.1" not in taus, "measures of layers are kept in the records only"
    assert pooled.ordered()[-1] == "active"


def test_the_page_keeps_what_people_wrote(tmp_path: Path, unrendered: None):
    page, made = tmp_path / "diagnosis.md", records()
    write_page(page, made, "python -m benchmarks.foretelling")
    text = page.read_text()
    assert "| `dormant` | −1.00 [−1.00, −1.00] |" in text
    assert "| DQN | game | 4 | 0, 1, 2, 3, 4, 5 | 6 | 24 |" in text
    assert "24 checkpoints of 6 runs" in text
    assert (tmp_path / "diagnosis" / "tau.png").exists()
    lines = (tmp_path / "diagnosis" / "checkpoints.csv").read_text().splitlines()
    assert len(lines) == 25
    first = dict(zip(lines[0].split(","), lines[2].split(","), strict=True))
    assert (first["run"], first["updates"], first["dormant"], first["sfe"]) == ("dqn/game-seed0", "400", "0.1", "")
    page.write_text(text.replace(BEGIN, f"My words.\n\n{BEGIN}") + "\nMore words.\n")
    write_page(page, made[:20], "python -m benchmarks.foretelling")
    again = page.read_text()
    assert "My words.\n\n" + BEGIN in again
    assert again.endswith("\nMore words.\n")
    assert "20 checkpoints" in again
    assert "24 checkpoints" not in again
    page.write_text("No marks.")
    with pytest.raises(ValueError, match="has no place for the tables"):
        write_page(page, made, "")
    assert page.read_text() == "No marks."


def test_a_tau_in_words():
    assert said_of(Tau(float("nan"))) == "–"
    assert said_of(Tau(-0.5)) == "−0.50"
    assert said_of(Tau(-0.5, -0.7, -0.2, -0.8, 0.1, 9, 90)) == "−0.50 [−0.70, −0.20]"
    assert said_of(Tau(-0.5, -0.7, -0.2, -0.8, -0.1, 9, 90)) == "**−0.50 [−0.70, −0.20]**"


def test_only_an_explicit_page_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unrendered: None):
    monkeypatch.chdir(tmp_path)
    published = Path("docs/results/diagnosis.md")
    published.parent.mkdir(parents=True)
    published.write_text(f"Words.\n{BEGIN}\n{END}\n")
    before = published.read_text()
    write_results(Path("runs/try/results.jsonl"), records())
    options = command.Options(Trunks(groups=("dqn",)), Path("runs/try"), report_only=True)
    assert command.main(options) == 0
    made = Path("runs/try/diagnosis.md").read_text()
    assert made.startswith("# Does any measure predict trainability?\n")
    assert "24 checkpoints of 6 runs" in made
    assert Path("runs/try/diagnosis/tau.png").exists()
    assert published.read_text() == before
    assert [path.name for path in published.parent.iterdir()] == ["diagnosis.md"]
    assert command.main(replace(options, page=published)) == 0
    assert "24 checkpoints of 6 runs" in published.read_text()


# The plan, and one checkpoint


def test_the_plan_has_two_hundred_checkpoints_and_ten_ages(tmp_path: Path):
    trunks, count = Trunks(), 0
    for group in trunks.groups:
        words = words_of(group, trunks, tmp_path, 2)
        found = checkpoints_of(group, words)
        assert len({each.key for each in found}) == len(found)
        of_run = [each.step for each in found if each.run == found[0].run]
        assert len(of_run) == len(AGES)
        assert of_run == sorted(of_run)
        count += len(found)
        ratios = {each.about["place"].get("replay_ratio") for each in found}
        assert ratios == {"dqn": {"1", "4", "16"}, "sac": {"1", "4"}, "vision": {None}}[group]
    assert count == 450
    assert not any(tmp_path.iterdir()), "planning writes nothing"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, unrendered_module: None) -> Path:
    run = tmp_path_factory.mktemp("foretelling") / "run"
    words = ["--env", "CartPole-v1", "--steps", "240", "--num-envs", "2", "--learning-starts", "40", "--threads", "1"]
    words += ["--hidden-width", "16", "--batch-size", "8", "--eval-every", "1000", "--eval-episodes", "1"]
    words += ["--measure-every", "50", "--measure-hessian", "True", "--checkpoint-at", "140", "--device", "cpu"]
    train_dqn([*words, "--learning-rate", "1e-3", "--run-dir", str(run)])
    return run


def test_measures_of_a_checkpoint_are_those_that_the_run_logged_there(trained: Path):
    loaded = load_run(trained, 140, False, lambda line: None)
    lines = [line for line in read_lines(trained / "metrics.jsonl") if line["kind"] == "measures"]
    logged = {line["updates"]: line for line in lines}[loaded.updates]
    assert loaded.updates == 100
    found = json.loads(json.dumps(measures_of(loaded)))
    assert found == {name: value for name, value in logged.items() if "/" in name}


def test_a_checkpoint_becomes_a_record(trained: Path):
    about = {"group": "dqn", "agent": "dqn", "task": "CartPole-v1", "place": {}, "seed": 0, "run": "dqn/run"}
    quick = Probe(updates=10, rates=(1e-2,), seeds=3, points=2)
    record = msgspec.convert(measured(trained, 140, about, quick), Record)
    assert (record.key, record.updates, record.error) == (("dqn/run", 140), 100, None)
    q = record.networks["q"]
    assert isinstance(q.fit, ScoreRecord)
    assert q.trainability == min(q.fit.value or 0, q.replace.value or 0)
    assert {"dormant", "hessian", "effective_rank", "deviation", "weight_norm"} <= q.measures.keys()


def test_records_of_another_probe_are_refused(tmp_path: Path):
    made = records()
    command.refuse_other_probe(made, tmp_path)
    other = [msgspec.structs.replace(made[0], probe={"updates": 7})]
    with pytest.raises(ValueError, match="was made with another probe"):
        command.refuse_other_probe(other, tmp_path)


@pytest.mark.slow
def test_the_command_trains_measures_and_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unrendered: None
):
    trunks = Trunks(groups=("dqn",), games=("CartPole-v1",), game_ratios=(1,), game_seeds=1, length=0.05)
    options = command.Options(trunks, tmp_path / "runs", jobs=1)
    assert command.main(replace(options, dry_run=True)) == 0
    assert not (tmp_path / "runs").exists()
    # As a program of its own, whose processes have to find its functions.
    words = ["--groups", "dqn", "--games", "CartPole-v1", "--game-ratios", "1", "--game-seeds", "1", "--length", "0.05"]
    words += ["--dir", str(options.dir), "--jobs", "1"]
    subprocess.run([sys.executable, "-m", "benchmarks.foretelling", *words], check=True)
    made = read_results(tmp_path / "runs" / "results.jsonl")
    assert len(made) == len(AGES)
    assert "| DQN | CartPole-v1 | 1 | 0 | 1 | 10 |" in (tmp_path / "runs" / "diagnosis.md").read_text()
    write_results(tmp_path / "runs" / "results.jsonl", made[2:])
    capsys.readouterr()
    assert command.main(replace(options, delete_replays=True)) == 0
    assert capsys.readouterr().out.count(" (left: ") == 2, "only what is missing is measured"

    def without_clocks(records: list[Record]) -> list[Record]:
        return [msgspec.structs.replace(record, seconds={}) for record in records]

    assert without_clocks(read_results(options.dir / "results.jsonl")) == without_clocks(made)
    assert not list((options.dir / "dqn").glob("*/replay/*.safetensors"))


# Triggers on held-out seeds


def test_thresholds_are_chosen_on_some_seeds_and_judged_on_others():
    made = records()
    options = triggers.Options(game="game", measures=("trainability<", "dormant>"), choose="10-11", judge="20-21")
    tried: triggers.Tried = {name: triggers.candidates(made, "game", name) for name in options.measures}
    assert tried["dormant>"] == ("dormant>0.075", "dormant>0.15", "dormant>0.225")
    assert tried["trainability<"][0].startswith("trainability<0.")
    names = {name: [triggers.spelled("fire", each) for each in values] for name, values in tried.items()}
    assert names["dormant>"][0] == "fire@when=dormant>0.075"
    found = {name: {10: triggers.Outcome(5.0, 1.0, 2)} for every in names.values() for name in every}
    found |= {names["dormant>"][1]: {10: triggers.Outcome(5.0, 1.0, 1)}}
    found |= {names["trainability<"][2]: {10: triggers.Outcome(4.0, 1.0, 0), 11: triggers.Outcome(7.0, 1.0, 3)}}
    assert triggers.chosen_of(options, tried, found) == [names["trainability<"][2], names["dormant>"][1]]
    triggers.refuse_shared_seeds(options, made)
    for wrong in (replace(options, judge="11-12"), replace(options, choose="5-6"), replace(options, judge="0")):
        with pytest.raises(ValueError, match="would be used twice"):
            triggers.refuse_shared_seeds(wrong, made)
    assert triggers.regular(options) == ["fire@every=10000"]
    assert triggers.regular(replace(options, periods=(5, 7, 5))) == ["fire@every=5", "fire@every=7"]
    assert triggers.regular(replace(options, periods=())) == []
    with pytest.raises(ValueError, match="--periods 0 given"):
        triggers.regular(replace(options, periods=(5, 0)))
    with pytest.raises(ValueError, match="no checkpoint of game has weight_norm"):
        triggers.candidates(made, "game", "weight_norm>")
    with pytest.raises(ValueError, match="no checkpoint of chess has dormant"):
        triggers.candidates(made, "chess", "dormant<")
    for text in ("dormant", "dormnt>", ""):
        with pytest.raises(ValueError, match="allowed is a measure with a side"):
            triggers.candidates(made, "game", text)


def test_runs_with_triggers_are_found_again_by_their_spelling(tmp_path: Path):
    name = triggers.spelled("fire", "trainability<0.9")
    when = {"reinit_when": ("trainability<0.9",), "trainability_every": 10_000}
    for seed in range(20, 26):
        write_run(tmp_path / f"none{seed}", seed=seed, level=10.0 + seed)
        write_run(tmp_path / f"often{seed}", method="fire", seed=seed, settings={"reinit_every": 10_000})
        write_run(tmp_path / f"once{seed}", method="fire", seed=seed, level=11.0 + seed, event_steps=[5_000], dip=0.0)
        write_run(tmp_path / f"when{seed}", method="fire", seed=seed, level=12.0 + seed, settings=when)
    write_run(tmp_path / "other", seed=10, reached=5_000)  # of another --choose
    found = triggers.outcomes(tmp_path, range(20, 26))
    assert set(found) == {"none", "fire", "fire@every=10000", name}
    assert [run.events for run in found["fire"].values()] == [1] * 6
    rows = triggers.table_of(found, ["none", name], [name]).splitlines()
    assert rows[2].startswith("| `none` | 6 | 0 | ")
    assert rows[3].startswith(f"| **`{name}`** | 6 | 0 | ")
    assert "(+" in rows[3], "the difference to no method on the same seeds"
    with pytest.raises(ValueError, match="with the seed 26"):
        triggers.outcomes(tmp_path, range(20, 27))
    write_run(tmp_path / "diverged", seed=30, diverged=5_000)
    assert triggers.outcomes(tmp_path, [30])["none"][30].final == 0.0
    with pytest.raises(ValueError, match="other has no final return"):
        triggers.outcomes(tmp_path, [10])
