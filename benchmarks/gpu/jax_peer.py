"""SAC's update at its published sizes for h1-walk in JAX, for one agent and for ten at once. Needs jax and numpy.

    python benchmarks/gpu/jax_peer.py [--device cuda|cpu] [--seconds 2] [--all]    rates, one JSON object per line
    python benchmarks/gpu/jax_peer.py --same FILE.npz      distance from the updates of another program

A jitted call is a block of updates in a fori_loop. As in ours, each update draws its batch from a replay on the device,
normalises it, and draws its noise. There are no environments and no logs.
"""

import argparse
import json
import os
import sys
import time
from typing import Any

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
parser.add_argument("--quick", action="store_true", help="small networks and short timings")
parser.add_argument("--all", action="store_true", help="all variants; compiling takes half a minute for each")
parser.add_argument("--seconds", type=float, default=2.0, help="seconds of each timing")
parser.add_argument("--threads", type=int, default=0, help="1: products on a CPU use one thread")
parser.add_argument(
    "--same", help="file with another program's weights before and after its updates, batches and noise"
)
arguments = parser.parse_args()
os.environ["JAX_PLATFORMS"] = "cpu" if arguments.same else arguments.device
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
if arguments.threads == 1:
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
try:
    import jax
    import jax.numpy as jnp
    import numpy as np
except ImportError as error:
    print(error, file=sys.stderr)
    raise SystemExit(3) from None
if arguments.same:
    jax.config.update("jax_enable_x64", True)

OBSERVATION, ACTION, MEMBERS = 51, 19, 2
CRITIC, ACTOR, BATCH, ROWS = (32, 16, 32, 2_000) if arguments.quick else (512, 128, 256, 20_000)
CRITIC_BLOCKS, ACTOR_BLOCKS = 2, 1
GAMMA, TARGET_RATE, ENTROPY, TEMPERATURE = 0.99, 0.005, -ACTION / 2, 0.01
RATE, BETAS, EPSILON, DECAY = 1e-4, (0.9, 0.999), 1e-8, 1e-2
ROW = (OBSERVATION, ACTION, 1, OBSERVATION, 1)
# The most important first: agents, precision of products ("default" is TF32 on a GPU), updates of a call.
VARIANTS = (1, "highest", 2), (1, "default", 2), (10, "default", 2)
OTHERS = (1, "highest", 100), (10, "highest", 2)  # with --all


Weights = dict[str, Any]  # arrays by name

# Networks: weights by name, stored as (in, out); those of critics have the members as their first axis.


def shapes(inputs: int, width: int, blocks: int, heads: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return the shapes of all linear layers by name."""
    found = {"encoder.embed": (inputs, width)}
    for number in range(blocks):
        found[f"encoder.blocks.{number}.expand"] = (width, 4 * width)
        found[f"encoder.blocks.{number}.contract"] = (4 * width, width)
    return found | {name: (width, size) for name, size in heads.items()}


def new(
    key: Any, inputs: int, width: int, blocks: int, heads: dict[str, int], members: tuple[int, ...] = ()
) -> Weights:
    """Return a new network with zero biases and weights of He's variance; rates do not depend on the values."""
    layers, found = shapes(inputs, width, blocks, heads), {}
    for name, size in layers.items():
        key, own = jax.random.split(key)
        found[f"{name}.weight"] = jax.random.normal(own, (*members, *size)) * (2 / size[0]) ** 0.5
        found[f"{name}.bias"] = jnp.zeros((*members, *(1 for _ in members), size[1]))
    for name in ("encoder.norm", *(f"encoder.blocks.{number}.norm" for number in range(blocks))):
        shape = (*members, *(1 for _ in members), width)
        found |= {f"{name}.weight": jnp.ones(shape), f"{name}.bias": jnp.zeros(shape)}
    return found


def linear(weights: Weights, name: str, x: Any) -> Any:
    """Apply a linear layer."""
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def norm(weights: Weights, name: str, x: Any) -> Any:
    """Apply a layer norm."""
    centred = x - x.mean(-1, keepdims=True)
    unit = centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-6)
    return unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def encode(weights: Weights, x: Any, blocks: int) -> Any:
    """Apply the encoder: an embedding, residual blocks and a norm."""
    x = linear(weights, "encoder.embed", x)
    for number in range(blocks):
        name = f"encoder.blocks.{number}"
        inner = jax.nn.relu(linear(weights, f"{name}.expand", norm(weights, f"{name}.norm", x)))
        x = x + linear(weights, f"{name}.contract", inner)
    return norm(weights, "encoder.norm", x)


def values_of(critic: Weights, observations: Any, actions: Any) -> Any:
    """Return the value of each member, (members, batch)."""
    features = encode(critic, jnp.concatenate((observations, actions), -1), CRITIC_BLOCKS)
    return linear(critic, "value", features)[..., 0]


def sample(actor: Weights, observations: Any, noise: Any) -> tuple[Any, Any]:
    """Return actions tanh(mean + std noise), and the logarithm of their density."""
    features = encode(actor, observations, ACTOR_BLOCKS)
    mean, log_std = linear(actor, "mean", features), -10 + 6 * (1 + jnp.tanh(linear(actor, "log_std", features)))
    raw = mean + jnp.exp(log_std) * noise
    normal = -0.5 * noise**2 - log_std - 0.5 * jnp.log(2 * jnp.pi)
    return jnp.tanh(raw), (normal - 2 * (jnp.log(2.0) - raw - jax.nn.softplus(-2 * raw))).sum(-1)


# One update


def moments(weights: Any) -> dict[str, Any]:
    """Return Adam's moments before the first step."""
    return {"first": jax.tree.map(jnp.zeros_like, weights), "second": jax.tree.map(jnp.zeros_like, weights)}


def adam(weights: Any, gradient: Any, held: dict[str, Any], step: Any, decay: float) -> tuple[Any, dict[str, Any]]:
    """Return the weights and moments after AdamW's step number `step`, which begins at 1; it is Adam if decay is 0."""
    one, two = BETAS
    first = jax.tree.map(lambda m, g: one * m + (1 - one) * g, held["first"], gradient)
    second = jax.tree.map(lambda v, g: two * v + (1 - two) * g * g, held["second"], gradient)
    near, far = 1 - one**step, 1 - two**step

    def moved(weight: Any, m: Any, v: Any) -> Any:
        return weight * (1 - RATE * decay) - RATE * (m / near) / (jnp.sqrt(v / far) + EPSILON)

    return jax.tree.map(moved, weights, first, second), {"first": first, "second": second}


def begin(actor: Weights, critic: Weights) -> dict[str, Any]:
    """Return the state of training before the first update."""
    log_temperature = jnp.log(jnp.asarray(TEMPERATURE, actor["mean.weight"].dtype))
    trained = {"actor": actor, "critic": critic, "log_temperature": log_temperature}
    adams = {name: moments(weights) for name, weights in trained.items()}
    return trained | {"target": jax.tree.map(jnp.copy, critic), "adams": adams, "step": jnp.zeros((), jnp.int32)}


def update(state: dict[str, Any], batch: tuple[Any, ...], noise: Any) -> tuple[dict[str, Any], Any]:
    """Do one published update: actor, temperature, critic, target. `noise` is (2, batch, action)."""
    observations, actions, rewards, following, terminated = batch
    step, adams = state["step"] + 1, dict(state["adams"])
    critic, log_temperature = state["critic"], state["log_temperature"]

    def actor_loss(actor: Weights) -> tuple[Any, Any]:
        chosen, log_density = sample(actor, observations, noise[0])
        least = values_of(critic, observations, chosen).min(0)
        return (jnp.exp(log_temperature) * log_density - least).mean(), log_density

    gradient, log_density = jax.grad(actor_loss, has_aux=True)(state["actor"])
    actor, adams["actor"] = adam(state["actor"], gradient, adams["actor"], step, DECAY)

    gradient = jnp.exp(log_temperature) * (-log_density.mean() - ENTROPY)
    log_temperature, adams["log_temperature"] = adam(log_temperature, gradient, adams["log_temperature"], step, 0.0)

    chosen, log_density = sample(actor, following, noise[1])
    least = values_of(state["target"], following, chosen).min(0) - jnp.exp(log_temperature) * log_density
    targets = rewards + GAMMA * (1 - terminated) * least

    def critic_loss(weights: Weights) -> Any:
        return ((values_of(weights, observations, actions) - targets) ** 2).mean(1).sum()

    loss, gradient = jax.value_and_grad(critic_loss)(critic)
    critic, adams["critic"] = adam(critic, gradient, adams["critic"], step, DECAY)
    target = jax.tree.map(lambda slow, fast: slow + TARGET_RATE * (fast - slow), state["target"], critic)
    state = {"actor": actor, "critic": critic, "target": target, "log_temperature": log_temperature}
    return state | {"adams": adams, "step": step}, loss


# Blocks of updates, timed


def block(state: dict[str, Any], key: Any, replay: Any, statistics: tuple[Any, Any], updates: int) -> Any:
    """Do `updates` updates, each on a new batch; return the state, the next key and the last loss."""
    mean, scale = statistics

    def body(_: Any, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        state, key, _ = carry
        key, places, own = jax.random.split(key, 3)
        rows = replay[jax.random.randint(places, (BATCH,), 0, len(replay))]
        edges = np.cumsum(ROW)[:-1].tolist()
        observations, actions, rewards, following, terminated = jnp.split(rows, edges, -1)
        batch = (
            (observations - mean) * scale, actions, rewards[:, 0], (following - mean) * scale, terminated[:, 0]
        )  # fmt: skip
        state, loss = update(state, batch, jax.random.normal(own, (2, BATCH, ACTION)))
        return state, key, loss

    return jax.lax.fori_loop(0, updates, body, (state, key, jnp.float32(0)))


def first_state(key: Any) -> dict[str, Any]:
    """Return the state of a new agent."""
    one, two = jax.random.split(key)
    actor = new(one, OBSERVATION, ACTOR, ACTOR_BLOCKS, {"mean": ACTION, "log_std": ACTION})
    return begin(actor, new(two, OBSERVATION + ACTION, CRITIC, CRITIC_BLOCKS, {"value": 1}, (MEMBERS,)))


def timed(members: int, precision: str, updates: int) -> dict[str, float]:
    """Time the updates of `members` agents together."""
    jax.config.update("jax_default_matmul_precision", None if precision == "default" else precision)
    replay = jax.random.normal(jax.random.key(1), (ROWS, sum(ROW)))
    statistics = jnp.zeros(OBSERVATION), jnp.ones(OBSERVATION)

    def call(state: Any, key: Any, replay: Any, statistics: Any) -> Any:
        return block(state, key, replay, statistics, updates)

    keys, alone = jax.random.split(jax.random.key(0), members), members == 1
    state = jax.jit(first_state)(keys[0]) if alone else jax.jit(jax.vmap(first_state))(keys)
    key = keys[0] if alone else keys
    step = jax.jit(call if alone else jax.vmap(call, in_axes=(0, 0, None, None)), donate_argnums=0)
    begun = time.perf_counter()
    state, key, loss = jax.block_until_ready(step(state, key, replay, statistics))
    compiled, calls = time.perf_counter() - begun, 0
    for seconds in (0.05, 0.1) if arguments.quick else (0.3, arguments.seconds):  # the first warms up
        begun, calls = time.perf_counter(), 0
        while calls == 0 or time.perf_counter() - begun < seconds:
            for _ in range(1 if arguments.device == "cpu" else max(1, 100 // updates)):
                state, key, loss = step(state, key, replay, statistics)
                calls += 1
            jax.block_until_ready(loss)
        total = time.perf_counter() - begun
    if not bool(jnp.isfinite(loss).all()):
        raise SystemExit("the loss is not finite, so the rate has no meaning")
    done = updates * calls
    return {
        "updates/s in all": done * members / total,
        "us of one agent's": 1e6 * total / done,
        "s to compile": compiled,
    }


def same(path: str) -> dict[str, float]:
    """Return the distance from the weights of another program's updates, divided by how far these moved; in float64."""
    given = np.load(path)

    def weights(when: str, name: str) -> Weights:
        prefix = f"{when}.{name}."
        return {key.removeprefix(prefix): jnp.asarray(given[key]) for key in given.files if key.startswith(prefix)}

    state, step = begin(weights("before", "actor"), weights("before", "critic")), jax.jit(update)
    names = ("observations", "actions", "rewards", "next_observations", "terminated")
    for k in range(len(given["noise"])):
        state, _ = step(state, tuple(given[name][k] for name in names), given["noise"][k])
    found = {}
    for name in ("actor", "critic", "target"):
        ours, after = state[name], weights("after", name)
        before = weights("before", "critic" if name == "target" else name)
        square = {"apart": 0.0, "went": 0.0}
        for key, value in after.items():
            square["apart"] += float(jnp.square(value - ours[key]).sum())
            square["went"] += float(jnp.square(value - before[key]).sum())
        found[name] = (square["apart"] / square["went"]) ** 0.5
    temperature = abs(float(state["log_temperature"]) - float(given["after.log_temperature"]))
    return found | {"log temperature": temperature}


if __name__ == "__main__":
    if arguments.same:
        print(json.dumps(same(arguments.same)), flush=True)
        raise SystemExit
    print(json.dumps({"name": "jax", "says": f"{jax.__version__} on {jax.devices()[0].device_kind}"}), flush=True)
    for members, precision, updates in VARIANTS + (OTHERS if arguments.all else ()):
        if precision == "highest" or arguments.device != "cpu":
            name = f"{members} agent{'s' * (members > 1)}, {precision}, blocks of {updates}"
            print(json.dumps({"name": name, "figures": timed(members, precision, updates)}), flush=True)
