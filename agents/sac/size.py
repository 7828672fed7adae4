"""How large a soft actor-critic is, by arithmetic from its settings."""

from ..size import COPIES, COPIES_WITH_TARGET, FLOAT, Layer, Size

BLOCK_BYTES = 60_000  # Python's objects of a residual block and its optimizer's state, in addition to their numbers


def sac_size(
    observation_size: int,
    action_size: int,
    actor: tuple[int, int],
    critic: tuple[int, int],
    critics: int,
    batch_size: int,
) -> Size:
    """Soft actor-critic's; `actor` and `critic` are the width and the blocks of their SimBa encoders."""
    (actor_width, actor_blocks), (critic_width, critic_blocks) = actor, critic
    head = Layer(actor_width, 2 * action_size)
    joint_size = observation_size + action_size
    actor_parameters = _encoder_parameters(observation_size, *actor) + head.parameters
    critic_parameters = critics * (_encoder_parameters(joint_size, *critic) + critic_width + 1)
    actor_first, critic_first = observation_size * actor_width, critics * joint_size * critic_width
    actor_products = actor_first + 8 * actor_blocks * actor_width**2 + head.products
    critic_products = critic_first + critics * (8 * critic_blocks * critic_width**2 + critic_width)
    # The actor acts twice and is trained; the critic judges twice, leads the actor's gradient to its actions and is
    # trained, its target judges once. Nobody asks for gradients of observations.
    products = 4 * actor_products - actor_first + 6 * critic_products - critic_first
    # Kept for the backward pass by each block: its input, the normalised one, the wide layer; and gradients as wide.
    kept = actor_width * (12 * actor_blocks + 4) + critics * critic_width * (12 * critic_blocks + 4)
    return Size(
        actor_parameters + critic_parameters,
        FLOAT * (COPIES * actor_parameters + COPIES_WITH_TARGET * critic_parameters + batch_size * kept)
        + BLOCK_BYTES * (actor_blocks + 2 * critic_blocks),
        2 * batch_size * products,
    )


def _encoder_parameters(inputs: int, width: int, blocks: int) -> int:
    """Of a SimBa encoder: a linear layer, blocks four times as wide inside with a norm each, a norm."""
    block = 2 * width + Layer(width, 4 * width).parameters + Layer(4 * width, width).parameters
    return Layer(inputs, width).parameters + blocks * block + 2 * width
