"""The part that runs SAC's update in JAX, in its own process and, if given, with its own Python interpreter."""

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch

from fire_rl.agents import SAC

from . import subjects
from .equality import made_in
from .part import Figures, Rows, Setting

PEER = Path(__file__).with_name("jax_peer.py")
EXTRA = f"[cuda{torch.version.cuda.split('.')[0]}]" if torch.version.cuda else ""
HOW = (
    "not installed here; to install it for another interpreter: python3 -m venv jaxenv && jaxenv/bin/pip install "
    f"'jax{EXTRA}', and --jax-python jaxenv/bin/python"
)
UPDATES = 5  # compared with those in JAX, in float64


def jax_rates(setting: Setting, rows: Rows) -> None:
    """Add rows on its speed, and then one on whether it is the same update."""
    python = setting.jax_python or sys.executable
    if subprocess.run([python, "-c", "import jax"], capture_output=True).returncode:
        rows.say("jax", HOW)
        return
    words = ["--device", setting.place.type, "--threads", str(setting.threads), "--seconds", str(setting.seconds)]
    words += ["--quick"] if setting.quick else []
    with subprocess.Popen([python, str(PEER), *words], stdout=subprocess.PIPE, text=True) as peer:
        for line in cast(IO[str], peer.stdout):
            row = json.loads(line)
            if "says" in row:
                rows.say(row["name"], row["says"])
            else:
                rows.add(row["name"], partial(dict, row["figures"]))
    rows.add(f"{UPDATES} updates beside ours, in float64", partial(beside_ours, python, setting.quick))
    if peer.returncode:
        raise RuntimeError(f"the JAX program ended with exit code {peer.returncode}; its output is in log.txt")


def beside_ours(python: str, quick: bool) -> Figures:
    """Return the distance between our weights and JAX's after the same updates, divided by how far these moved them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ours.npz"
        np.savez(path, allow_pickle=False, **our_updates(quick))
        call = [python, str(PEER), "--same", str(path), *(["--quick"] if quick else [])]
        said = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True).stdout
    return cast(Figures, json.loads(said))


def our_updates(quick: bool) -> dict[str, np.ndarray]:
    """Return our weights before and after some updates, with the batches and noise, on the CPU in float64."""
    cpu, wide = torch.device("cpu"), torch.float64
    subject, generator = subjects.sac(cpu, quick), torch.Generator().manual_seed(2)
    agent = made_in(subject, cpu, wide)
    assert isinstance(agent, SAC)
    arrays = arrays_of(agent, "before")
    batches = subject.replay.sample(UPDATES, subject.batch_size, generator)
    batches = type(batches)(*(tensor.to(wide) for tensor in batches))
    noise = torch.randn(UPDATES, 2, subject.batch_size, agent.action_size, generator=generator, dtype=wide)
    for k in range(UPDATES):
        agent.gradient_step(type(batches)(*(tensor[k] for tensor in batches)), noise[k])
    arrays |= arrays_of(agent, "after")
    return arrays | {"noise": noise.numpy()} | {name: value.numpy() for name, value in batches._asdict().items()}


def arrays_of(agent: SAC, when: str) -> dict[str, np.ndarray]:
    """Return an agent's weights as arrays, with `when` at the beginning of their names."""
    networks = {"actor": agent.actor, "critic": agent.critic, "target": agent.target_critic}
    found = {
        f"{when}.{network}.{name}": value.numpy().copy()
        for network, module in networks.items()
        for name, value in module.state_dict().items()
    }
    return found | {f"{when}.log_temperature": agent.log_temperature.detach().numpy().copy()}
