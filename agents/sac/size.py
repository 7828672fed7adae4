"""The size of a soft actor-critic, computed from its settings."""

from ..size import COPIES, COPIES_WITH_TARGET, FLOAT, Layer, Size

BLOCK_BYTES = 60_000  # Python objects of a residual block and its optimizer's state, in addition to their values


def sac_size(
    observation_size: int,
    action_size: int,
    actor: tuple[int, int],
    critic: tuple[int, int],
    critics: int,
    batch_size: int,
) -> Size:
    """Return the size of a soft actor-critic; `actor` and `critic` are the widths and blocks of the SimBa encoders."""
    (actor_width, actor_blocks), (critic_width, critic_blocks) = actor, critic
    head = Layer(actor_width, 2 * action_size)
    joint_size = observation_size + action_size
    actor_parameters = _encoder_parameters(observation_size, *actor) + head.parameters
    critic_parameters = critics * (_encoder_parameters(joint_size, *critic) + critic_width + 1)
    actor_first, critic_first = observation_size * actor_width, critics * joint_size * critic_width
    actor_products = actor_first + 8 * actor_blocks * actor_width**2 + head.products
    critic_products = critic_first + critics * (8 * critic_blocks * critic_width**2 + critic_width)
    # Counted in forward passes, where a backward pass is two and one for inputs only is one. The actor has two forward
    # passes and a backward pass. The critic has two forward passes, one backward pass for the actor's actions only and
    # one for its own training; its target has one forward pass. There are no gradients of observations.
    products = 4 * actor_products - actor_first + 6 * critic_products - critic_first
    # Each block keeps for the backward pass its input, the normalised input and the wide layer, plus their gradients.
    kept = actor_width * (12 * actor_blocks + 4) + critics * critic_width * (12 * critic_blocks + 4)
    return Size(
        actor_parameters + critic_parameters,
        FLOAT * (COPIES * actor_parameters + COPIES_WITH_TARGET * critic_parameters + batch_size * kept)
        + BLOCK_BYTES * (actor_blocks + 2 * critic_blocks),
        2 * batch_size * products,
    )


def _encoder_parameters(inputs: int, width: int, blocks: int) -> int:
    """Return the parameters of a SimBa encoder: a linear layer, blocks with a norm and a hidden layer, a last norm."""
    block = 2 * width + Layer(width, 4 * width).parameters + Layer(4 * width, width).parameters
    return Layer(inputs, width).parameters + blocks * block + 2 * width
