"""Files for a paper: figures of a column's width with real text, a LaTeX table, and every plotted number."""

import csv
import math
import re
import shutil
import string
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from fire_rl.experiments.analysis.axis import analyse_all
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.results import Options, Results
from fire_rl.experiments.report.latex import escaped, in_one, latex_table
from fire_rl.experiments.report.page import write_report
from tests.fixtures.comparison import write_comparison

NASTY = "[a]_{1} & 100% $x$ #~^\\ \"q\" 'τ' é … <b>|"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = write_comparison(tmp_path_factory.mktemp("runs"), methods=("none", "fire"), seeds=range(2), steps=4_000)
    found = find_runs([folder])
    return analyse_all(found.runs, Options(resamples=50), found.trunks, (f"fire={NASTY}",))


@pytest.fixture(scope="module", params=["single", "double"])
def written(
    request: pytest.FixtureRequest, results: Results, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    write_report(results, folder, width=request.param)
    return request.param, folder


def test_figures_are_as_wide_as_a_column_and_their_text_is_text(written: tuple[str, Path]):
    width, folder = written
    points = 72 * {"single": 3.25, "double": 6.75}[width]
    drawing = (folder / "curves.svg").read_text()
    assert float(re.search(r'width="([\d.]+)pt"', drawing)[1]) == pytest.approx(points, abs=1)
    assert ">environment steps</text>" in drawing
    assert "Times New Roman" in drawing
    pdf = (folder / "curves.pdf").read_bytes()
    box: Any = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
    assert float(box[1]) == pytest.approx(points, abs=1)
    assert b"/CIDFontType2" in pdf, "an outline font, embedded as it is"
    assert b"/Type3" not in pdf
    assert b"/BaseFont /" in pdf
    assert b"+STIXGeneral" in pdf


def test_the_same_results_give_the_same_files(written: tuple[str, Path], results: Results, tmp_path: Path):
    width, folder = written
    write_report(results, tmp_path, width=width)
    for path in folder.iterdir():
        if path.name not in ("scores.csv", "report.html", "summary.md"):  # these name their folder
            assert zlib.crc32(path.read_bytes()) == zlib.crc32((tmp_path / path.name).read_bytes()), path.name


def test_every_interval_that_is_plotted_is_in_curves_csv(written: tuple[str, Path], results: Results):
    rows = list(csv.DictReader((written[1] / "curves.csv").open()))
    (comparison,) = results.comparisons
    for method in comparison.methods:
        spelled = results.options.spelled(method.method)
        own = [row for row in rows if row["method"] == spelled and not row["against"]]
        curve = [row for row in own if (row["figure"], row["statistic"]) == ("learning curve", "IQM")]
        assert method.curve is not None
        after = [row for row in curve if row["at_event"] == ""]
        assert [float(row["x"]) for row in after] == method.curve.steps.tolist()
        for key, band in (
            ("value", method.curve.iqm.value),
            ("low", method.curve.iqm.low),
            ("high", method.curve.iqm.high),
        ):
            assert [float(row[key]) for row in after] == band.tolist()
        assert {float(row["x"]) for row in curve if row["at_event"] == "before"} == set(method.curve.before)
        (final,) = [row for row in own if (row["figure"], row["statistic"]) == ("final", "mean")]
        assert method.final is not None
        found = method.final.mean
        assert [float(final[key]) for key in ("value", "low", "high")] == [found.value, found.low, found.high]
        assert final["interval"] == found.method
        assert len([row for row in own if row["statistic"] == "run" and row["seed"] == "0"]) == 5 + len(
            method.curve.before
        )
    (contrast,) = comparison.contrasts
    (difference,) = [row for row in rows if (row["figure"], row["statistic"]) == ("difference, final", "IQM")]
    assert (difference["method"], difference["label"], difference["against"]) == ("fire", NASTY, "none")
    assert float(difference["low"]) == contrast.final.iqm.low
    assert not any(math.isnan(float(row["value"])) for row in rows if row["value"])


def test_the_table_says_how_its_intervals_were_made(results: Results):
    text = latex_table(results)
    assert (
        r"square brackets: 95\% percentile bootstrap, exact, all resamples of 2 runs (Agarwal et al., 2021).}" in text
    )
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") - line.count(r"\&") for line in rows} == {4}
    assert not re.search(r"^\s*\[", text, re.MULTILINE), "it would belong to the end of the row before"


def test_intervals_of_other_numbers_of_runs_are_noted_in_one_sentence():
    said = [f"95% percentile bootstrap, exact, all resamples of {n} runs" for n in (6, 4, 6)]
    assert in_one(said) == "95% percentile bootstrap, exact, all resamples of 4 or 6 runs"
    assert in_one([*said, "another way"]).endswith("of 4 or 6 runs; another way")


def test_every_letter_is_typeset_and_none_is_a_command():
    for letter in string.printable + "äßłτΩ−×→…–’\u200b\U0001f525字":
        set_as = escaped(f"a{letter}b")
        assert "\n" not in set_as
        bare = re.sub(r"\\[{}$&#_%]|\\[a-zA-Z]+(\{(\\[a-zA-Z]+|-)?\})?", "", set_as)
        assert not set(bare) & set("\\{}$&#_%^~"), (letter, set_as)
    assert escaped("τ=0.1") == r"\ensuremath{\tau}=0.1"
    assert escaped("字") == "(U+5B57)"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX on this machine")
def test_table_and_figures_are_set_by_tex(written: tuple[str, Path], tmp_path: Path):
    text = "\\documentclass[twocolumn]{article}\\usepackage{booktabs,textcomp,graphicx}\\usepackage[T1]{fontenc}"
    text += "\\begin{document}\\input{table.tex}\\begin{figure}\\includegraphics{curves.pdf}\\end{figure}"
    text += "".join(f"{escaped(letter)} " for letter in string.printable + "äłτΩ−×→…–’字") + "\\end{document}"
    for name in ("table.tex", "curves.pdf"):
        shutil.copy(written[1] / name, tmp_path)
    (tmp_path / "paper.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2_000:]
