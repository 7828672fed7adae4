"""Draws `h1-tasks.png`: every native task just after its start, as its own camera sees it.

Run from the checkout's root: python -m docs.images.make_tasks
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import envs
from envs.humanoid.picture import Picture

COLUMNS = 5
WIDTH, HEIGHT = 240, 180  # of one task
LABEL = 20  # the line with its name
GAP = 4
SMOOTH = 3  # drawn this much larger and reduced, for smooth edges
STEPS = 15  # environment steps of holding the pose: 0.3 s
COLORS = 128
TARGET = Path(__file__).parent / "h1-tasks.png"


def main() -> None:
    names = [name for name in envs.names() if name.startswith("h1-")]
    rows = -(-len(names) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (WIDTH + GAP) - GAP, rows * (HEIGHT + LABEL + GAP) - GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for index, name in enumerate(names):
        row, column = divmod(index, COLUMNS)
        left, top = column * (WIDTH + GAP), row * (HEIGHT + LABEL + GAP)
        sheet.paste(drawn(name), (left, top + LABEL))
        pen.text((left + WIDTH // 2, top + LABEL // 2), name, fill="black", font=font, anchor="mm")
    sheet.quantize(COLORS, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f"{TARGET}: {len(names)} tasks, {TARGET.stat().st_size / 1000:.0f} kB")


def drawn(name: str) -> Image.Image:
    """The task's picture, the robot having held its start's pose for a moment."""
    env: Any = envs.make(name, seed=0)
    env.reset()
    for _ in range(STEPS):
        env.step(holding(env.model))
    picture = Picture(env.model, width=SMOOTH * WIDTH, height=SMOOTH * HEIGHT)
    pixels = picture.of(env.data, env.world.task.markers(env.world.physics))
    picture.close()
    env.close()
    return Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def holding(model: Any) -> np.ndarray:
    """The action whose targets are the start's joint positions."""
    low, high = model.actuator_ctrlrange.T
    targets = model.key_qpos[0][model.jnt_qposadr[model.actuator_trnid[:, 0]]]
    return np.clip(2 * (targets - low) / (high - low) - 1, -1, 1).astype(np.float32)


if __name__ == "__main__":
    main()
