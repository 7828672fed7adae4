"""The progress bar keeps bar, rate, time left and last evaluation at 60, 80 and 120 columns."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
import time
from typing import Any

import pytest

from fire_rl.training.bar import LEAST_BAR, RunBar

TITLES = ("h1-walk fire seed 0", "MinAtar/Breakout-v1 redo:tau=0.1+l2-init seed 12", "cifar10 dash seed 3")


def drawn(title: str, columns: int | None, evaluation: str | None) -> str:
    out = io.StringIO()
    bar = RunBar(total=1_000_000, unit="step", unit_scale=True, ncols=columns, desc=title, file=out, mininterval=0)
    bar.tell(1234.5, evaluation)
    bar.n = 253_412
    bar.start_t -= 1_000
    bar.refresh()
    line = out.getvalue().split("\r")[-1]
    bar.close()
    return line


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("columns", [60, 80, 100, 120, None])
@pytest.mark.parametrize("evaluation", ["312.4", "63.2%", "-12345.6"])
def test_nothing_that_matters_is_cut(title: str, columns: int | None, evaluation: str):
    line = drawn(title, columns, evaluation)
    assert columns is None or len(line) <= columns
    assert re.search(rf"\|.{{{LEAST_BAR},}}\|", line), "the bar"
    assert "25%" in line
    assert re.search(r"\dstep/s", line)
    assert "49:0" in line, "the time left"
    assert f"eval {evaluation}" in line or f"last evaluation {evaluation}" in line
    if columns is None or (columns >= 80 and len(title) < 24):
        assert line.startswith(title)


def test_a_terminal_of_any_width_is_filled_before_the_first_evaluation():
    for columns in range(20, 200):
        assert len(drawn(TITLES[0], columns, None)) <= columns


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_on_a_terminal(columns: int):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    words: dict[str, Any] = {"unit": "step", "dynamic_ncols": True, "mininterval": 0, "desc": "h1-walk fire seed 0"}
    with os.fdopen(theirs, "w") as terminal, RunBar(total=4, file=terminal, **words) as bar:
        for _ in range(4):
            time.sleep(0.05)
            bar.tell(9.5, "31.4")
            bar.update(1)
    text = b""
    while True:
        try:
            piece = os.read(ours, 4_096)
        except OSError:  # the end of a pseudo-terminal on Linux
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    lines = [line for line in re.split(r"[\r\n]+", text.decode()) if "eval" in line]
    assert lines
    assert all(len(line) <= columns and "|" in line and "step/s" in line for line in lines)
