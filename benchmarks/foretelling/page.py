"""The page of results. Only the part between two marks is written here; what people write around it is kept."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fire_rl.experiments.report.spreadsheet import write_table
from fire_rl.fire.scores import LOSS
from fire_rl.training.durable import write_durably

from .correlation import LEAST_BLOCKS, LEVEL, RESAMPLES, Tau, fewest_blocks, within
from .picture import draw
from .results import RESULTS, Record
from .table import AGE, AGENTS, LEVELS, ROWS, Cell, by_network, by_task, everything, points_of

BEGIN = "<!-- begin: written by python -m benchmarks.foretelling -->"
END = "<!-- end: written by python -m benchmarks.foretelling -->"
NEW = """# Does any measure predict trainability?

{begin}
{end}
"""
PICTURE, VALUES = "tau.png", "checkpoints.csv"


def write_page(page: Path, records: Sequence[Record], command: str) -> None:
    """Write the picture and the values, and replace the part of the page between the marks, or make the page."""
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    pooled, cells = everything(records), by_network(records)
    write_durably(folder / PICTURE, draw((pooled, *cells), pooled.ordered()))
    write_values(folder / VALUES, records)
    text = page.read_text() if page.exists() else NEW.format(begin=BEGIN, end=END)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(
            f"{page} has no place for the tables: write the lines {BEGIN!r} and {END!r} once, in this order"
        )
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    middle = "\n\n".join(sections(records, pooled, cells, folder.name, command))
    write_durably(page, f"{before}{BEGIN}\n\n{middle}\n\n{END}{after}".encode())


def sections(
    records: Sequence[Record], pooled: Cell, cells: Sequence[Cell], folder: str, command: str
) -> Iterable[str]:
    """Yield the paragraphs and tables."""
    yield f"    {command}"
    yield f"{_what_was_measured(records)} [All values]({folder}/{VALUES}). The page contains every line of {RESULTS}:"
    yield _table(["agent", "task", "replay ratios", "seeds", "runs", "checkpoints"], _contents(records))
    head = ["network", "task", "trainability: 10%", "median", "90%", "fit lost", "replace lost", "lost"]
    yield _table(head, [_spread(cell) for cell in by_task(records)])
    yield (
        "The columns give quantiles of trainability over the checkpoints. A score of fit or replace is "
        f"*lost* if it is below {LOSS} with an interval below 1; the last column is the share with either of them lost."
    )
    said = "Kendall's tau-b of each measure with trainability: within runs, between runs, and at the same age"
    yield f"![{said}, by network]({folder}/{PICTURE})"
    yield (
        "*Kendall's tau-b with trainability and 95% intervals. A filled mark is settled (bold in the tables): its "
        f"interval excludes 0 also after the correction for {len(ROWS)} measures, it comes from at least "
        f"{fewest_blocks(len(ROWS))} blocks, and within runs a test by sign flips agrees.*"
    )
    yield _how(cells, pooled)
    for cell in (pooled, *cells):
        head = ["measure", *LEVELS]
        rows = [[f"`{name}`", *(said_of(cell.taus[name][level]) for level in LEVELS)] for name in cell.ordered()]
        yield f"### {cell.title[0].upper()}{cell.title[1:]}: {cell.size}"
        yield _table(head, rows)
    tasks = by_task(records)
    order = pooled.ordered()
    yield "### Within runs, by task"
    rows = [
        [f"`{name}`", *(said_of(cell.taus[name]["within runs"]) if name in cell.taus else "" for cell in tasks)]
        for name in order
    ]
    yield _table(["measure", *(cell.title for cell in tasks)], rows)
    yield "### Within runs, for fit and replace separately"
    head = ["measure", *(f"{cell.title}: {form}" for cell in cells for form in ("fit", "replace"))]
    yield _table(head, [[f"`{name}`", *_forms(cells, name)] for name in order])


def _forms(cells: Sequence[Cell], name: str) -> list[str]:
    return [
        said_of(within(cell.sample(name, form), len(ROWS))) if name in cell.taus else ""
        for cell in cells
        for form in ("fit", "replace")
    ]  # fmt: skip


def write_values(path: Path, records: Sequence[Record]) -> None:
    """Write a CSV file with one line for each network of each checkpoint."""
    measures, rows = [name for name in ROWS if name != AGE], []
    scores = [f"{form}{bound}" for form in ("fit", "replace") for bound in ("", "_low", "_high")]
    for record, network, each in points_of(records):
        found = [each.trainability]
        found += [value for form in (each.fit, each.replace) for value in (form.value, form.low, form.high)]
        found += [each.measures.get(name) for name in measures]
        said = ["" if value is None else f"{value:.5g}" for value in found]
        rows.append([record.run, record.task, network, record.seed, record.step, record.updates, *said])
    columns = ["run", "task", "network", "seed", "step", "updates", "trainability", *scores, *measures]
    write_table(path, columns, rows)


def said_of(tau: Tau) -> str:
    """Return a tau with its 95% interval; in bold if it is settled."""
    if not math.isfinite(tau.value):
        return "–"
    value = f"{tau.value:+.2f}".replace("-", "−")
    if not math.isfinite(tau.low):
        return value
    text = f"{value} [{tau.low:+.2f}, {tau.high:+.2f}]".replace("-", "−")
    return f"**{text}**" if tau.settled else text


def _what_was_measured(records: Sequence[Record]) -> str:
    measured = [record for record in records if record.error is None]
    failed = len(records) - len(measured)
    probe = measured[0].probe
    seconds = np.mean([record.seconds["everything"] for record in measured])
    cheap = np.mean([record.seconds["measures"] for record in measured])
    text = (
        f"{len(measured)} checkpoints of {len({record.run for record in measured})} runs. The probe has "
        f"{probe['updates']} updates, {probe['seeds']} seeds and the learning rate "
        f"{' and '.join(f'{rate:g}' for rate in probe['rates'])}. A checkpoint took {seconds:.1f} s of processor time "
        f"on average, {cheap:.1f} s of it for loading it and for the measures."
    )
    return f"{text} {failed} checkpoints could not be measured." if failed else text


def _contents(records: Sequence[Record]) -> list[list[str]]:
    """Return a row for each task: what its records are, counted from the records."""
    rows = []
    for agent, task in dict.fromkeys((record.agent, record.task) for record in records):
        own = [record for record in records if (record.agent, record.task) == (agent, task)]
        ratios = sorted({each.place["replay_ratio"] for each in own if "replay_ratio" in each.place}, key=float)
        seeds = [str(seed) for seed in sorted({each.seed for each in own})]
        counts = [str(len({each.run for each in own})), str(len(own))]
        rows.append([AGENTS[agent], task, ", ".join(ratios) or "–", ", ".join(seeds), *counts])
    return rows


def _spread(cell: Cell) -> list[str]:
    values = cell.outcome()
    known = values[np.isfinite(values)]
    lost = np.array([(each.fit.lost, each.replace.lost) for _, _, each in cell.points])
    shares = [f"{share:.0%}" for share in (*lost.mean(0), lost.any(1).mean())]
    quantiles = [f"{value:.2f}" for value in np.quantile(known, (0.1, 0.5, 0.9))] if len(known) else ["–"] * 3
    record, network, _ = cell.points[0]
    return [network, record.task, *quantiles, *shares]


def _how(cells: Sequence[Cell], pooled: Cell) -> str:
    every = [tau for cell in (pooled, *cells) for taus in cell.taus.values() for tau in taus.values()]
    count = sum(math.isfinite(tau.low) for tau in every)
    excluding = sum(tau.low > 0 or tau.high < 0 for tau in every)
    return (
        "*Within runs* is the mean of the runs' own taus: in one run, only the age differs. *Between runs* is the tau "
        "of the runs' means. *Overall* is the tau of all checkpoints. *Same age* compares only checkpoints of "
        "different seeds with the same numbers of steps and updates: it shows what a measure predicts beyond the age "
        "of the network. Only checkpoints of the same network in the same task are compared with each other. The row "
        f"`{AGE}` is not a measure: it shows what age alone predicts.\n\n"
        "Runs with the same agent, task and seed are not independent, also at different replay ratios: they start from "
        "the same network and are compared with the same fresh networks. They form one *block*. Intervals are 95% "
        f"percentile intervals of {RESAMPLES:,} resamples of whole blocks. With fewer than {LEAST_BLOCKS} blocks there "
        f"is none, and with few blocks they are too narrow. The tables below up to the tasks have {count} intervals. "
        f"If no measure predicted anything, at least about {LEVEL * count:.0f} of them would exclude 0 by chance; "
        f"{excluding} do.\n\n"
        f"A tau in bold is *settled*: its interval excludes 0 also at the level corrected for {len(ROWS)} measures "
        f"(Bonferroni), {LEVEL:g}/{len(ROWS)} = {LEVEL / len(ROWS):.2g}, and it comes from at least "
        f"{fewest_blocks(len(ROWS))} blocks. With n blocks, the smallest possible p of an exact sign-flip test is "
        "2/2^n, so fewer blocks cannot reach this level. *Within runs*, where such a test exists, it must reach this "
        "level too: the taus of all runs of a block could equally well have the opposite sign."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
