"""Runs the parts one after the other, each in its own process, so that a failed part does not stop the others."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from .part import Part, Setting

LEAST = 3.0  # seconds; a part with less time left does not begin
ROOT = Path(__file__).resolve().parents[2]
Result = dict[str, Any]  # rows, seconds, and an error if the part failed


def run_parts(
    parts: Iterable[Part], setting: Setting, until: float, log: Path, keep: Callable[[Part, Result], None]
) -> None:
    """Run all parts until the monotonic time `until`; each result is kept before the next part begins."""
    for part in parts:
        limit = min(part.limit, until - time.monotonic())
        if limit < LEAST:
            keep(part, {"rows": [], "seconds": 0.0, "error": "not begun: no time was left"})
        else:
            keep(part, run_part(part, replace(setting, limit=limit, begun=time.monotonic()), log))


def run_part(part: Part, setting: Setting, log: Path) -> Result:
    """Run one part and stop it at its limit; its output goes into the log, from which an error's line is taken."""
    with tempfile.TemporaryDirectory() as folder, log.open("ab") as said:
        said.write(f"==== {part.name}\n".encode())
        said.flush()
        place, rows, begun = said.tell(), Path(folder) / "rows", time.monotonic()
        command = [sys.executable, "-m", "benchmarks.gpu.child", part.entry, setting.to_json(), str(rows)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=ROOT, start_new_session=True
        )
        try:
            code: int | None = process.wait(setting.limit)
        except subprocess.TimeoutExpired:
            code = None
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGUSR1)  # it prints its current line
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        finally:
            if process.returncode != 0:
                end_all_of(process)
        result: Result = {"rows": read_rows(rows), "seconds": round(time.monotonic() - begun, 1)}
        text = log.read_bytes()[place:].decode(errors="replace")
        return result if code == 0 else result | {"error": error_of(code, setting.limit, text, part.needs)}


def end_all_of(process: subprocess.Popen[bytes]) -> None:
    """Kill the part and all processes that it started, which are in its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_rows(path: Path) -> list[Any]:
    """Return the complete rows; the last one may be incomplete."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def error_of(code: int | None, limit: float, text: str, needs: str) -> str:
    """Return in one line how a part failed; if a package is missing, also what the part needs."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if code is None:
        places = re.findall(r'File "([^"]+)", line (\d+) in (\S+)', text)
        ours = [place for place in places if Path(place[0]).is_relative_to(ROOT)] or places  # innermost first
        where = ", in {}:{} {}".format(Path(ours[0][0]).name, *ours[0][1:]) if ours else ""
        return f"stopped after {limit:.0f} s{where}"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    last = lines[-1][:300] if lines else f"ended with {code}"
    return f"{last}; besides torch and NumPy this part needs {needs}" if "ModuleNotFound" in last and needs else last
