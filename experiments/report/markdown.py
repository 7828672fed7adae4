"""Writes a report as Markdown: the same chapters, sections, tables and notes as on the page, without the images."""

import re
from collections.abc import Iterable, Iterator, Sequence

from .sections import Chapter, Report, Section, Table


def markdown(report: Report) -> str:
    """Return the text of `summary.md`."""
    return "\n\n".join(_report(report)) + "\n"


INTERVAL = re.compile(r"\\\[((?:[\d+−.,kM ]|never)+)\\\](?![(\[\\:])")  # numbers in brackets that are not a link


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, also in a table."""
    found = re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", " ".join(text.split()))
    return INTERVAL.sub(r"[\1]", found)


def _report(report: Report) -> Iterator[str]:
    yield f"# {escaped(report.title)}"
    yield (
        f"{escaped(report.lead)}. Steps are {report.terms['unit']}. The figures that the text mentions are in "
        "report.html."
    )
    yield from _notes(report.notes)
    for chapter in report.chapters:
        yield from _chapter(chapter)
    yield "## What was run and with what"
    yield _bullets(f"{name}: {value}" for name, value in report.facts.items())
    if report.command:
        yield f"This command makes the report again:\n\n{_fenced(report.command)}"


def _fenced(command: str) -> str:
    """Return a command as a block of code that can be copied."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
    return f"{fence}sh\n{command}\n{fence}"


def _chapter(chapter: Chapter) -> Iterator[str]:
    yield f"## {escaped(chapter.title)}"
    if chapter.lead:
        yield escaped(chapter.lead)
    if chapter.findings:
        yield _bullets(chapter.findings)
    yield from _notes(chapter.notes)
    for section in chapter.sections:
        yield from _section(section)


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield "Please note:"
        yield _bullets(notes)


def _section(section: Section) -> Iterator[str]:
    """Yield the parts of a section; if it has no tables, its figures are described in words."""
    yield f"### {escaped(section.title)}"
    if section.text:
        yield escaped(section.text)
    if section.figures and not section.tables:
        yield _bullets(figure.image.alt for figure in section.figures)
    yield from map(_table, section.tables)
    if section.notes:
        yield escaped(" ".join(section.notes))


def _table(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *(map(escaped, row.cells) for row in table.rows)]
    return "\n".join([f"{escaped(table.caption)}:", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)
