"""The list of all parts, in the order in which they run; one line adds a part.

Limits are in seconds. Their sum is more than the default of ten minutes: most parts take less than their limit, and
on a slow machine the last ones do not begin. `--parts` chooses others, in the order given; `--minutes` gives more time.
"""

from .part import Part

PARTS = {
    part.name: part
    for part in (
        Part("card", "versions and the card", 60, "benchmarks.gpu.card:versions"),
        Part("copy", "bandwidth of copies, and what small things take", 30, "benchmarks.gpu.card:copies"),
        Part("products", "products at our shapes, in each precision", 45, "benchmarks.gpu.card:products"),
        Part("sac", "SAC's updates, in blocks of 2", 130, "benchmarks.gpu.updates:sac_rates"),
        Part("dqn", "DQN's updates, in blocks of 4", 100, "benchmarks.gpu.updates:dqn_rates"),
        Part("equality", "updates that must be equal", 100, "benchmarks.gpu.equality:equal_updates"),
        Part("fire", "FIRE's projection of SAC's networks", 40, "benchmarks.gpu.plasticity:projections"),
        Part("h1-walk", "the whole loop of train_sac.py", 70, "benchmarks.gpu.loops:h1_walk"),
        Part("breakout", "the whole loop of train_dqn.py", 50, "benchmarks.gpu.loops:breakout"),
        Part("resume", "runs stopped and resumed", 100, "benchmarks.gpu.resume:repeated_runs"),
        Part("measures", "the measures of plasticity", 40, "benchmarks.gpu.plasticity:measurements"),
        Part("checkpoint", "checkpoints of SAC", 40, "benchmarks.gpu.plasticity:checkpoints"),
        Part("jax", "SAC's update in JAX", 220, "benchmarks.gpu.peer:jax_rates"),
        Part("processes", "several processes with SAC's updates", 100, "benchmarks.gpu.processes:together"),
    )
}
