"""Presets for `parse_method`: what the publications do with each agent. Other methods have their defaults.

With SAC, FIRE and the methods it is compared with rewrite all weights and reset the optimizers and the temperature.
With DQN they rewrite the convolutions, reset the linear layers and keep Adam's state (FIRE, arXiv 2602.08040).
`reset-head` is from Nikishin et al. (arXiv 2205.07802): with SAC as they reset DrQ, with DQN as they reset SPR.
"""

from collections.abc import Mapping

from .methods import Fire, Method, NoMethod, Reset, ResetHead, ShrinkPerturb

SAC: Mapping[str, Method] = {
    "none": NoMethod(),
    "reset": Reset(scope="all", optimizer="renew", companions="renew", target="copy"),
    "shrink-perturb": ShrinkPerturb(keep=0.2, scope="all", optimizer="renew", companions="renew", target="copy"),
    "fire": Fire(solver="newton-schulz", scope="all", optimizer="renew", companions="renew", target="copy"),
    # As in DrQ, except for the size of the head: there it is about half of the agent, here its last linear layers.
    "reset-head": ResetHead(layers="all", optimizer="head", companions="renew", target="same"),
}

DQN: Mapping[str, Method] = {
    "none": NoMethod(),
    "reset": Reset(scope="all", optimizer="keep", target="copy"),
    "shrink-perturb": ShrinkPerturb(keep=0.2, scope="encoder", outside="reset", optimizer="keep", target="same"),
    "fire": Fire(solver="newton-schulz", scope="encoder", outside="reset", optimizer="keep", target="copy"),
    # As in the code of SPR: the target is a copy, as it is after every step there, and the whole optimizer is reset.
    "reset-head": ResetHead(layers="last", optimizer="renew", target="copy"),
}
