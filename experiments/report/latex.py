"""Writes `table.tex`: the scores as a LaTeX table with booktabs, and a caption that describes the intervals."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from ..analysis.method_results import MethodResults
from ..analysis.results import Compared, Comparison, Results
from .paper_figure import caption_of
from .sections import columns_in_words
from .wording import MISSING, failing, schedules_in_words

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "−": r"\ensuremath{-}", "×": r"\ensuremath{\times}", "→": r"\ensuremath{\rightarrow}", "±": r"\ensuremath{\pm}",
    "≥": r"\ensuremath{\geq}", "≤": r"\ensuremath{\leq}", "·": r"\ensuremath{\cdot}", "∞": r"\ensuremath{\infty}",
    "–": "--", "—": "---", "…": r"\ldots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "\u00a0": "~",
}  # fmt: skip
PREAMBLE = r"% In the preamble: \usepackage{booktabs,textcomp}, and for pdfLaTeX \usepackage[T1]{fontenc}."


def escaped(text: str) -> str:
    """Return a text that LaTeX prints as it is; letters that pdfLaTeX does not have are printed as their numbers."""
    return "".join(map(_letter, " ".join(text.split())))


def _letter(letter: str) -> str:
    if letter in SPECIAL:
        return SPECIAL[letter]
    if letter.isascii():
        return letter if letter.isprintable() else ""
    name = unicodedata.name(letter, "")
    if name.startswith(("GREEK SMALL LETTER ", "GREEK CAPITAL LETTER ")) and name.count(" ") == 3:
        return _greek(name)
    if unicodedata.category(letter)[0] in "CM":  # invisible, or combined with another letter
        return ""
    if name.startswith("LATIN ") and ord(letter) < 0x180:
        return letter
    return f"(U+{ord(letter):04X})"


def _greek(name: str) -> str:
    """Return a Greek letter as mathematics. Those that look like Latin letters have no command in LaTeX."""
    word, capital = name.rpartition(" ")[2].lower(), " CAPITAL " in name
    word = {"lamda": "lambda"}.get(word, word)
    with_command = ("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega")
    latin = {"alpha": "A", "beta": "B", "epsilon": "E", "zeta": "Z", "eta": "H", "iota": "I", "kappa": "K", "mu": "M",
             "nu": "N", "omicron": "O", "rho": "P", "tau": "T", "chi": "X"}  # fmt: skip
    if capital:
        return rf"\ensuremath{{\{word.capitalize()}}}" if word in with_command else latin.get(word, "?")
    return "o" if word == "omicron" else rf"\ensuremath{{\{word}}}"


def latex_table(results: Results) -> str:
    """Return the text of `table.tex`, which one pastes or reads with \\input."""
    everything: list[Compared] = [*results.across, *results.comparisons]
    compared = [each for each in everything if any(method.final for method in each.methods)]
    caption = escaped(caption_of([*results.comparisons, *results.across]))
    lines = [PREAMBLE, f"% For the figure of the learning curves: {caption}"]
    if not compared:
        return "\n".join([*lines, "% No run has finished yet, so there is no table.", ""])
    words = dict.fromkeys(each.metric.words for each in compared if isinstance(each, Comparison))
    lines += [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_caption(compared)}}}",
        r"  \label{tab:comparison}",
        r"  \begin{tabular}{lrlll}",
        r"    \toprule",
        rf"    Method & $n$ & Final {escaped(' or '.join(words))}, IQM & Mean & Area, IQM \\",
    ]
    for each in compared:
        lines.append(r"    \midrule")
        if len(compared) > 1:
            unit = "" if isinstance(each, Comparison) else f", in {each.metric.plural}"
            lines.append(rf"    \multicolumn{{5}}{{l}}{{\emph{{{escaped(f'{each.agent}, {each.where}{unit}')}}}}} \\")
        lines += _rows(each)
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def _rows(comparison: Compared) -> list[str]:
    scores = {m.method: [m.final.iqm, m.final.mean, m.area.iqm] for m in comparison.methods if m.final and m.area}
    cells = columns_in_words(list(scores.values()), comparison.metric)
    rows = [_row(comparison.method(name), row) for name, row in zip(scores, cells, strict=True)]
    short = [method for method in comparison.methods if method.published and not method.final]  # a note says why
    return [*rows, *(_row(method, [MISSING] * 3) for method in short)]


def _row(method: MethodResults, cells: Sequence[str]) -> str:
    r"""Return a row. The name is in braces, because a bracket at its beginning would be read as an argument of \\."""
    row = [f"{{{escaped(method.method)}}}", str(method.n or len(method.runs)), *map(escaped, cells)]
    return rf"    {' & '.join(row)} \\"


def _diverged(compared: Sequence[Comparison]) -> str:
    """Return a sentence on how many runs diverged and what they count with; empty if none did."""
    found = [each for each in compared for method in each.methods for run in method.runs if run.run.diverged]
    if not found:
        return ""
    which = "1 run diverged and counts" if len(found) == 1 else f"{len(found)} runs diverged and count"
    return f" {which} with {' or '.join(dict.fromkeys(map(failing, found)))} from there on."


def in_one(ways: Iterable[str]) -> str:
    """Join the descriptions of intervals; those that differ only in the number of runs become one: `of 4 or 6 runs`."""
    numbers: dict[tuple[str, str], dict[str, None]] = {}
    for way in ways:
        match = re.fullmatch(r"(.+ resamples of )(\d+)( runs.*)", way)
        start, number, end = match.groups() if match else (way, "", "")
        numbers.setdefault((start, end), {})[number] = None
    return "; ".join(
        f"{start}{' or '.join(sorted(found, key=lambda number: int(number or 0)))}{end}"
        for (start, end), found in numbers.items()
    )


def _caption(everything: Sequence[Compared]) -> str:
    """Return the caption: the scores, the numbers of runs, the schedules, the intervals, and the runs that diverged."""
    compared = [each for each in everything if isinstance(each, Comparison)]
    methods = [method for each in compared for method in each.methods if method.final]
    counts = sorted({method.n for method in methods})
    runs = f"{counts[0]} runs" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs"
    runs = "a single run" if counts == [1] else runs
    names = list(dict.fromkeys(each.metric.plural for each in compared))
    where = f" on {compared[0].where}" if len(compared) == 1 else ""
    shown = [method for each in everything for method in each.methods]
    made = in_one([m.final.iqm.method for m in shown if m.final and m.final.iqm.bounded])
    brackets = f" Intervals in square brackets: {made} (Agarwal et al., 2021)." if made else ""
    said = schedules_in_words(compared)
    acting = f" The methods act as follows: {said}." if said else ""
    return escaped(
        f"Final {' and '.join(names)}{where}: interquartile mean (IQM) and mean of {runs} for each method, and the IQM "
        f"of the area under the learning curve, divided by its length.{acting}{brackets}{_diverged(compared)}"
    )
