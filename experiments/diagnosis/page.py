"""Write the findings about one checkpoint: `diagnosis.html`, which needs no other file, and `diagnosis.json`."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fire_rl import __version__
from fire_rl.fire.diagnosis import LOSS
from fire_rl.training.durable import write_durably
from fire_rl.training.files import write_json

from ..report.drawing import DARK, GRID, INK, MUTED, PAPER, PageImage, style
from .examination import Examination
from .figures import WORDS, curves_figure, plane_figure, returns_figure, scores_figure
from .remedies import Effect

PAGE, NUMBERS = "diagnosis.html", "diagnosis.json"


@dataclass(frozen=True)
class Network:
    """One network's part of the page."""

    name: str
    scores: PageImage
    curves: PageImage
    plane: PageImage | None
    rows: list[list[str]]
    remedies: list[list[str]]
    kept_meaning: str


def write_examination(examination: Examination, folder: Path) -> Path:
    """Write page and numbers, and return the page's path. Each file is whole or absent."""
    with style():
        content = page(examination)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / NUMBERS, examination.to_json())
    write_durably(folder / PAGE, content.encode())
    return folder / PAGE


def page(examination: Examination) -> str:
    """Return the text of the page. Every value that is put into the template is escaped."""
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader([here, here.parent / "report"]), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    names = {"ink": INK, "muted": MUTED, "line": GRID, "paper": PAPER}
    meanings = {WORDS[key]: meaning for each in examination.nexts.values() for key, (meaning, _) in each.items()}
    asked = examination.asked
    return environment.get_template("diagnosis.html.jinja").render(
        title=f"Diagnosis of {examination.run.name}",
        lead=f"{examination.learner} on {examination.task}, step {examination.step:,}, {examination.updates:,} updates",
        sentences=[diagnosis.sentence for diagnosis in examination.diagnoses.values()],
        advice=examination.advice,
        networks=[_network(examination, name) for name in examination.diagnoses],
        returns=returns_figure(examination.remedies),
        return_rows=[
            [remedy.name, str(remedy.returned), "" if remedy.returned_later is None else str(remedy.returned_later)]
            for remedy in examination.remedies
        ],
        meanings=list(meanings.items()),
        probe=asked.probe,
        episodes=asked.episodes,
        recovery=f"{asked.recovery:,}",
        loss=LOSS,
        version=__version__,
        seconds=f"{examination.seconds:,.0f}",
        theme={"light": names, "dark": {name: DARK[color] for name, color in names.items()}},
    )


def _network(examination: Examination, name: str) -> Network:
    diagnosis, nexts = examination.diagnoses[name], examination.nexts[name]
    readings = {**diagnosis.readings, **{WORDS[key]: reading for key, (_, reading) in nexts.items()}}
    return Network(
        name,
        scores_figure(diagnosis, nexts),
        curves_figure(diagnosis),
        plane_figure(examination, name) if examination.remedies else None,
        [
            [
                key,
                f"{reading.best.rate:g}, fresh {reading.best.fresh_rate:g}",
                str(reading.best),
                "" if reading.own is None else f"{reading.own.rate:g}",
                "" if reading.own is None else str(reading.own),
            ]
            for key, reading in readings.items()
        ],
        [_row(remedy.name, remedy.effects[name]) for remedy in examination.remedies],
        examination.kept_meaning[name],
    )


def _row(name: str, effect: Effect) -> list[str]:
    later = effect.kept_later
    return [
        name,
        str(effect.kept),
        "" if later is None else f"{later.value:.2f}",
        str(effect.readings["fit"].best),
        str(effect.readings["replace"].best),
        f"{effect.squared_frobenius_error:.3g}",
    ]
