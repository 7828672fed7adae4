"""What all figures of a report share: one look for each method, a canvas, and SVG that follows the reader's theme.

Figures are drawn in the colours of the light theme. For the page, each colour is replaced by a variable, which the SVG
sets for the light and for the dark theme, so that one image serves both. Files for papers keep the colours.

Files for papers are as wide as a column, so that they can be included without scaling and their letters are as large as
those of a caption. Their text is stored as text, in a typeface like Times that comes with Matplotlib.
"""

import base64
import io
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter

from fire_rl.training.metric import Metric

PIXEL = 1 / 96  # inches
INK, MUTED, FAINT, GRID, PAPER = "#1f2429", "#626c77", "#b7bec6", "#e2e6ea", "#ffffff"
TRUNK = "#9aa3ad"  # clearly different from the grey of the method none
DARK = {TRUNK: "#727d88", INK: "#e4e8ec", MUTED: "#9aa5b1", FAINT: "#515b66", GRID: "#30363d", PAPER: "#14181c"}
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
DASHED = (0, (4, 3))
WIDTH = 380  # pixels; a phone shows a figure of this width without scaling
LONGEST_NAME = 34  # letters of a method's name in a figure; the page has the whole name


@dataclass(frozen=True)
class Look:
    """How a method is drawn in all figures; marker and dashes tell methods apart without colours, too."""

    color: str
    dark: str  # its colour in the dark theme
    marker: str
    dashes: Any = "-"  # in Matplotlib's notation


Looks = Mapping[str, Look]  # by method

# Any two colours differ by at least 15 (CIE 1976, in L*a*b*) in both themes, for normal vision and under simulated
# protanopia, deuteranopia and tritanopia (Machado et al., 2009); those of the first five methods by at least 20.
LOOKS = {
    "none": Look("#4d5560", "#c9d1d9", "o"),
    "fire": Look("#dd5f00", "#f08030", "D"),
    "reset": Look("#3673c1", "#2681d7", "s"),
    "shrink-perturb": Look("#00a66e", "#2bdc89", "^"),
    "redo": Look("#851d82", "#b8609a", "v"),
    "reset-head": Look("#8292b7", "#9cb5f2", "<"),
    "dash": Look("#ba8d4a", "#ffc700", "8"),
    "injection": Look("#730020", "#b43f4b", "p"),
    "cbp": Look("#102493", "#7c66a1", "h"),
    "snr": Look("#715800", "#c3ff80", "d"),
}
USUAL = 5  # number of methods whose colours other methods get last
MARKERS = [look.marker for look in LOOKS.values()]
VARIANTS = ((0, (5, 2)), (0, (1, 1)), (0, (7, 2, 1, 2)))

# Names of methods and environments are shown as they are, even if they contain signs of mathematical notation.
STYLE: Any = {
    "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "fire-rl", "font.size": 8.6,
    "axes.labelsize": 8.6, "axes.titlesize": 9.2, "xtick.labelsize": 8.2, "ytick.labelsize": 8.2,
    "legend.fontsize": 8.6, "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": MUTED,
    "axes.titlecolor": INK, "xtick.color": MUTED, "ytick.color": MUTED, "axes.linewidth": 0.7, "grid.color": GRID,
    "grid.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7, "xtick.major.size": 3,
    "ytick.major.size": 3, "figure.facecolor": PAPER, "axes.facecolor": PAPER, "lines.solid_capstyle": "round",
    "axes.formatter.use_mathtext": False, "axes.axisbelow": True, "path.simplify_threshold": 0.3,
    "legend.handlelength": 3.6,  # in letters: two dashes on each side of the marker
}  # fmt: skip


COLUMNS = {"single": 3.25, "double": 6.75}  # inches: one column of a two-column page, and both columns
SERIFS = "'STIX Two Text', 'STIXGeneral', 'Times New Roman', Times, serif"  # the first one that a reader has is used
IN_PAPERS: Any = STYLE | {
    "font.family": ["STIXGeneral", "DejaVu Serif"], "pdf.fonttype": 42, "font.size": 8.0, "axes.labelsize": 8.0,
    "axes.titlesize": 8.0, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "legend.fontsize": 8.0,
    "axes.labelcolor": INK, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
}  # fmt: skip


@dataclass(frozen=True)
class PageImage:
    """A figure in the form in which the page contains it."""

    uri: str
    alt: str
    width: int
    height: int


@contextmanager
def style(for_papers: bool = False) -> Iterator[None]:
    """Set the style of figures that are drawn or saved within this context."""
    with warnings.catch_warnings(), matplotlib.rc_context(IN_PAPERS if for_papers else STYLE):
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's fonts have more letters
        yield


def looks(methods: Iterable[str], spellings: Mapping[str, str] | None = None) -> dict[str, Look]:
    """Return one look for each method; it depends on the method's spelling, which `spellings` has for each label."""
    called = {name: (spellings or {}).get(name, name) for name in methods}
    found = _by_spelling(called.values())
    return {name: found[spelled] for name, spelled in called.items()}


def _by_spelling(methods: Iterable[str]) -> dict[str, Look]:
    """Return the look that LOOKS has for a method, and a free one for any other method."""
    names = list(dict.fromkeys(methods))
    found = {name: LOOKS[name] for name in names if name in LOOKS}
    for name in sorted(set(names) - set(found)):
        less_known = list(LOOKS.values())[USUAL:]
        start = zlib.crc32(name.encode()) % len(less_known)
        turned = [*less_known[start:], *less_known[:start], *list(LOOKS.values())[:USUAL]]
        candidates = (
            Look(look.color, look.dark, MARKERS[(MARKERS.index(look.marker) + 3 * turn) % len(MARKERS)], dashes)
            for turn, dashes in enumerate(VARIANTS, 1) for look in turned
        )  # fmt: skip
        taken = {look.color for look in found.values()} if len(found) < len(LOOKS) else set()
        free = (look for look in candidates if look.color not in taken and look not in found.values())
        found[name] = next(free, LOOKS["none"])
    return {name: found[name] for name in names}


def canvas(width: int, height: int, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Any]]:
    """Return a new figure, whose size is given in pixels of the page, and its panels in reading order."""
    figure = Figure(figsize=(width * PIXEL, height * PIXEL), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04)  # type: ignore[union-attr, call-arg]
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        plain(axes)
    return figure, list(panels.flat)


def plain(axes: Any) -> None:
    """Give a panel a grid, and remove its upper and right border."""
    axes.grid(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend_lines(looks: Looks) -> list[Line2D]:
    """Return the lines of methods for a legend."""
    labels = shortened_apart(list(looks), [LONGEST_NAME] * len(looks))
    return [
        Line2D(
            [], [], color=look.color, linewidth=1.5, linestyle=look.dashes, marker=look.marker, markersize=4.6,
            markeredgecolor=PAPER, markeredgewidth=0.6, label=label,
        )
        for look, label in zip(looks.values(), labels, strict=True)
    ]  # fmt: skip


def over_steps(axes: Any) -> None:
    """Label the horizontal axis with steps in short form, such as 20k."""
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.locator_params(axis="x", nbins=6)
    axes.margins(x=0.015)


def mark_branch(axes: Any, step: int | None) -> None:
    """Draw a dashed vertical line at the branch, if there is one."""
    if step is not None:
        axes.axvline(step, color=MUTED, linewidth=0.9, linestyle=DASHED, zorder=1)


def printed_in(metric: Metric | None, axis: Any) -> None:
    """Label an axis in the unit in which the metric is printed, such as per cent for shares."""
    if metric is not None and metric.scale != 1:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{metric.scale * value:g}"))


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name for a figure: on one line, without its end if it is long."""
    line = " ".join(name.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def shortened_apart(names: Sequence[str], longest: Sequence[int]) -> list[str]:
    """Return names for one figure, each with its own greatest length, so that different names stay different.

    Names that would look alike are shortened in the middle, and numbered if that does not suffice.
    """
    labels = list(map(shortened, names, longest))
    for cut in (_without_middle, _numbered):
        meant = {label: {name for name, own in zip(names, labels, strict=True) if own == label} for label in labels}
        labels = [
            label if len(meant[label]) == 1 else cut(name, most, 1 + list(dict.fromkeys(names)).index(name))
            for name, label, most in zip(names, labels, longest, strict=True)
        ]
    return labels


def _without_middle(name: str, longest: int, _: int) -> str:
    line = " ".join(name.split())
    end = longest // 2
    return line if len(line) <= longest else f"{line[: longest - 1 - end]}…{line[-end:]}"


def _numbered(name: str, longest: int, number: int) -> str:
    mark = f"{number}: "
    return mark + shortened(name, longest - len(mark))


def page_image(figure: Figure, alt: str, colors: Iterable[Look]) -> PageImage:
    """Return the figure with both themes, as a data link that needs no file."""
    width, height = (round(inches / PIXEL) for inches in figure.get_size_inches())
    content = base64.b64encode(_themed(svg(figure), colors).encode()).decode()
    return PageImage(f"data:image/svg+xml;base64,{content}", alt, width, height)


def svg(figure: Figure, text_as_paths: bool = False) -> str:
    """Return a figure as SVG; the same figure always gives the same text."""
    with matplotlib.rc_context({"svg.fonttype": "path" if text_as_paths else "none"}):
        return _saved(figure, format="svg", metadata={"Date": None, "Creator": None}).decode()


def svg_for_papers(figure: Figure) -> str:
    """Return a figure as SVG with its text as text, in a typeface like that of most papers."""
    return svg(figure).replace("'STIXGeneral', 'DejaVu Serif'", SERIFS)


def pdf(figure: Figure) -> bytes:
    """Return a figure as PDF with its text as text; the same figure always gives the same bytes."""
    return _saved(figure, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, with two pixels for each pixel of the page."""
    return _saved(figure, format="png", dpi=192)


def _saved(figure: Figure, **how: Any) -> bytes:
    """Return a figure as a file, and compute its layout before, as saving would draw the whole figure once more."""
    engine, content = figure.get_layout_engine(), io.BytesIO()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    figure.savefig(content, **how)
    return content.getvalue()


def _themed(drawing: str, colors: Iterable[Look]) -> str:
    """Return an SVG with colours as variables, common fonts and rounded numbers; its texts do not change."""
    pairs = {**DARK, **{look.color: look.dark for look in colors}}
    names = {light: f"--c{index}" for index, light in enumerate(pairs)}

    def tag(match: re.Match[str]) -> str:
        text = re.sub(r"#[0-9a-f]{6}\b", lambda c: f"var({names[c[0]]})" if c[0] in names else c[0], match[0])
        text = re.sub(r"(\d+\.\d\d)\d+", r"\1", text)
        text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
        text = re.sub(r" font-family: [^;\"]*;| transform=\"rotate\(-?0 [^\"]*\"", "", text)
        return " ".join(text.split())

    body = drawing[drawing.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r">\s+<", "><", re.sub(r"<[^>]*>", tag, body))
    body = re.sub(r"<g([^>]*)>((?:<use [^>]*/>)+)</g>", _styled_once, body)
    light = "".join(f"{name}:{color};" for color, name in names.items())
    dark = "".join(f"{name}:{pairs[color]};" for color, name in names.items())
    sheet = f"text{{font-family:{FONTS}}}svg{{{light}}}@media screen and (prefers-color-scheme:dark){{svg{{{dark}}}}}"
    return body.replace(">", f"><style>{sheet}</style>", 1)


def _styled_once(group: re.Match[str]) -> str:
    """Move the common style of a line's markers to their group, which makes the file smaller."""
    styles = set(re.findall(r' style="([^"]*)"', group[2]))
    if len(styles) != 1 or "style=" in group[1]:
        return group[0]
    style = styles.pop()
    plain = group[2].replace(f' style="{style}"', "")
    return f'<g{group[1]} style="{style}">{plain}</g>'
