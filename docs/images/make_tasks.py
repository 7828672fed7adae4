"""Draws `h1-tasks.png`: every native task as its own camera sees it, the robot among the task's objects.

Run from the checkout's root: python -m docs.images.make_tasks
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fire_rl import envs
from fire_rl.envs.humanoid.scene import CAMERA
from fire_rl.envs.rendering import Renderer

COLUMNS = 5
WIDTH, HEIGHT = 240, 180  # of one task
LABEL = 20  # the line with its name
GAP = 4
SMOOTH = 3  # drawn this much larger and reduced, for smooth edges
STEPS = 15  # environment steps of holding the pose: 0.3 s
COLORS = 256
# Metres from the start to where there is something to see.
PLACES = {
    "h1-hurdle": (6.3, 0.0, 0.0),
    "h1-crawl": (3.2, 0.0, -0.42),
    "h1-maze": (1.2, 0.0, 0.0),
    "h1-stair": (2.05, 0.0, 0.54),
    "h1-slide": (2.6, 0.0, 0.86),
    "h1-pole": (0.45, 0.0, 0.0),
}
LEANING = {"h1-crawl": (0.77, 0.0, 0.64, 0.0)}  # quaternions; the others stand
TARGET = Path(__file__).parent / "h1-tasks.png"


def main() -> None:
    """Draw all tasks in one picture."""
    names = [name for name in envs.names() if name.startswith("h1-")]
    rows = -(-len(names) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (WIDTH + GAP) - GAP, rows * (HEIGHT + LABEL + GAP) - GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for index, name in enumerate(names):
        row, column = divmod(index, COLUMNS)
        left, top = column * (WIDTH + GAP), row * (HEIGHT + LABEL + GAP)
        sheet.paste(drawn(name), (left, top + LABEL))
        pen.text((left + WIDTH // 2, top + LABEL // 2), name, fill="black", font=font, anchor="mm")
    sheet.quantize(COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f"{TARGET}: {len(names)} tasks, {TARGET.stat().st_size / 1000:.0f} kB")


def drawn(name: str) -> Image.Image:
    """The task's picture, the robot having held its start's pose for a moment."""
    env: Any = envs.make(name, seed=0)
    env.reset()
    qpos = env.data.qpos.copy()
    qpos[:3] += PLACES.get(name, (0.0, 0.0, 0.0))
    qpos[3:7] = LEANING.get(name, qpos[3:7])
    env.set_state(qpos, np.zeros(env.model.nv))
    for _ in range(STEPS):
        env.step(holding(env.model))
    renderer = Renderer(env.model, CAMERA, width=SMOOTH * WIDTH, height=SMOOTH * HEIGHT)
    pixels = renderer.draw(env.data, env.simulation.task.markers(env.simulation.physics))
    renderer.close()
    env.close()
    return Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def holding(model: Any) -> np.ndarray:
    """The action whose targets are the start's joint positions."""
    low, high = model.actuator_ctrlrange.T
    targets = model.key_qpos[0][model.jnt_qposadr[model.actuator_trnid[:, 0]]]
    return np.clip(2 * (targets - low) / (high - low) - 1, -1, 1).astype(np.float32)


if __name__ == "__main__":
    main()
