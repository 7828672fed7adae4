"""What the publications do with each agent: presets for `parse_method`. Methods not named here have their defaults.

With SAC, FIRE and the methods it is compared with rewrite everything, and renew the optimizers and the temperature.
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
    # As in DrQ, except for the size of a head: there it is about half of the agent, here its last linear layers.
    "reset-head": ResetHead(layers="all", optimizer="head", companions="renew", target="same"),
}

DQN: Mapping[str, Method] = {
    "none": NoMethod(),
    "reset": Reset(scope="all", optimizer="keep", target="copy"),
    "shrink-perturb": ShrinkPerturb(keep=0.2, scope="encoder", outside="reset", optimizer="keep", target="same"),
    "fire": Fire(solver="newton-schulz", scope="encoder", outside="reset", optimizer="keep", target="copy"),
    # As in the code of SPR: its target follows at every step, and all of its optimizer is new.
    "reset-head": ResetHead(layers="last", optimizer="renew", target="copy"),
}
