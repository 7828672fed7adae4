"""The list of all parts, in the order in which they run, and the two groups for machines with ten minutes a call.

Times are in seconds on an H100 or H200: the usual time, which is an estimate and whose sum in a group is below seven
minutes, and the limit. Parts are stopped at their limits; if no time is left for the last ones, they do not begin. One
line adds a part.
"""

from .part import Part

GYMNASIUM, TRAIN, GAMES = "gymnasium", "fire-rl[train]", "fire-rl[train,atari,minatar]"

FIRST = (
    Part("card", "versions and the card", 15, 60, ".card:versions"),
    Part("copy", "bandwidth of copies, and what small things take", 10, 30, ".card:copies"),
    Part("products", "products at our shapes, in each precision", 10, 45, ".card:products"),
    Part("sac", "SAC's updates, in blocks of 2", 95, 160, ".updates:sac_rates", GYMNASIUM),
    Part("dqn", "DQN's updates, in blocks of 4", 95, 160, ".updates:dqn_rates", GYMNASIUM),
    Part("methods", "SAC's updates with methods that act at every step", 30, 60, ".methods:method_rates", GYMNASIUM),
    Part("fire", "FIRE's events on SAC's networks", 15, 40, ".plasticity:projections", GYMNASIUM),
    Part(
        "decision", "decisions without environments, and what waits in them", 20, 45, ".decision:decisions", GYMNASIUM
    ),
    Part("equality", "updates that must be equal", 60, 110, ".equality:equal_updates", GYMNASIUM),
    Part("measures", "the measures of plasticity", 20, 40, ".costs:measurements", TRAIN),
)
SECOND = (
    Part("h1-walk", "the whole loop of train_sac.py", 65, 90, ".loops:h1_walk", TRAIN),
    Part("breakout", "the whole loop of train_dqn.py", 35, 60, ".loops:breakout", GAMES),
    Part("jax", "SAC's update in JAX", 140, 180, ".peer:jax_rates", f"{GYMNASIUM} jax"),
    Part("processes", "several processes with SAC's updates", 75, 110, ".processes:together", GYMNASIUM),
    Part("resume", "runs stopped and resumed", 60, 100, ".resume:repeated_runs", GAMES),
    Part("checkpoint", "checkpoints of SAC", 15, 40, ".costs:checkpoints", TRAIN),
)
GROUPS = {"first": FIRST, "second": SECOND}
PARTS = {part.name: part for part in (*FIRST, *SECOND)}


def chosen(names: tuple[str, ...]) -> list[Part]:
    """Return the parts with these names, each of a part or of a group; the first group without any."""
    return [part for name in names or ("first",) for part in GROUPS.get(name) or (PARTS[name],)]
