"""Write the findings about one checkpoint: `diagnosis.html`, which needs no other file, and `diagnosis.json`."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fire_rl import __version__
from fire_rl.fire.scores import LOSS
from fire_rl.training.durable import write_durably
from fire_rl.training.files import write_json

from ..report.drawing import DARK, GRID, INK, MUTED, PAPER, style
from .examination import Examination
from .figures import WORDS, curves_figure, plane_figure, returns_figure, scores_figure
from .remedies import Effect

PAGE, NUMBERS = "diagnosis.html", "diagnosis.json"


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


def _network(examination: Examination, name: str) -> dict[str, object]:
    diagnosis, nexts = examination.diagnoses[name], examination.nexts[name]
    readings = {**diagnosis.readings, **{WORDS[key]: reading for key, (_, reading) in nexts.items()}}
    rows = []
    for key, reading in readings.items():
        own = ("", "") if reading.own is None else (f"{reading.own.rate:g}", str(reading.own))
        rows.append([key, f"{reading.best.rate:g}, fresh {reading.best.fresh_rate:g}", str(reading.best), *own])
    return {
        "name": name,
        "scores": scores_figure(diagnosis, nexts),
        "curves": curves_figure(diagnosis),
        "plane": plane_figure(examination, name) if examination.remedies else None,
        "rows": rows,
        "remedies": [_row(remedy.name, remedy.effects[name]) for remedy in examination.remedies],
        "kept_meaning": examination.kept_meaning[name],
        "rate": f"{examination.remedies[0].effects[name].trainability.best.rate:g}" if examination.remedies else "",
    }


def _row(name: str, effect: Effect) -> list[str]:
    later = "" if effect.kept_later is None else f"{effect.kept_later.value:.2f}"
    probes = (str(effect.readings[form].best) for form in ("fit", "replace"))
    return [name, str(effect.kept), later, *probes, f"{effect.squared_frobenius_error:.3g}"]
