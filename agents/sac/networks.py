"""SimBa networks: residual blocks with a LayerNorm before them; an ensemble of critics is one batched product.

Lee et al. 2025, "SimBa: Simplicity Bias for Scaling Up Parameters in Deep RL". Every layer has an optional leading
member dimension, so that an ensemble needs one product per layer and not a loop over its members.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl.fire import HiddenLayer, Matrix, Weights
from fire_rl.fire.unit_weights import as_it_is

LAYER_NORM_EPSILON = 1e-6  # the published (Flax) value; torch's default is 1e-5
TRUNCATED_DEVIATION = 0.87962566103423978  # standard deviation of a standard normal truncated at two sigma


class Linear(nn.Module):
    """`members` linear layers as one batched product: weight (members, in, out), or (in, out) for a single layer."""

    def __init__(self, d_in: int, d_out: int, members: int | None = None) -> None:
        super().__init__()
        lead = () if members is None else (members,)
        self.d_in, self.d_out = d_in, d_out
        self.weight = nn.Parameter(torch.empty(*lead, d_in, d_out))
        self.bias = nn.Parameter(torch.zeros(*lead, *(() if members is None else (1,)), d_out))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the layer's output, for each member (members, batch, out) if there are several."""
        if self.weight.dim() == 2:
            return torch.addmm(self.bias, inputs, self.weight)
        return torch.baddbmm(self.bias, inputs.expand(len(self.weight), -1, -1), self.weight)

    def plastic_matrices(self) -> Iterator[Matrix]:
        """Declare the weight to `fire`, since its shape alone does not say which dimension is the output."""
        yield Matrix("weight", self.weight.transpose(-1, -2), self.d_out, self.d_in)


class LayerNorm(nn.Module):
    """Layer normalisation with separate parameters for each member."""

    def __init__(self, width: int, members: int | None = None) -> None:
        super().__init__()
        shape = (width,) if members is None else (members, 1, width)
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs, normalised over their last dimension."""
        width = self.weight.shape[-1:]
        if self.weight.dim() == 1:
            return functional.layer_norm(inputs, width, self.weight, self.bias, LAYER_NORM_EPSILON)
        return torch.addcmul(self.bias, functional.layer_norm(inputs, width, eps=LAYER_NORM_EPSILON), self.weight)

    def plastic_matrices(self) -> Iterator[Matrix]:
        """Declare to `fire` that there are no matrices: a stack of vectors is not a matrix."""
        yield from ()


class ResidualBlock(nn.Module):
    """x + W2 relu(W1 LayerNorm(x)), where the hidden layer is four times as wide as x."""

    def __init__(self, width: int, members: int | None = None) -> None:
        super().__init__()
        self.norm = LayerNorm(width, members)
        self.expand = Linear(width, 4 * width, members)
        self.activation = nn.ReLU(inplace=True)
        self.contract = Linear(4 * width, width, members)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs plus the block's residual."""
        return inputs + self.contract(self.activation(self.expand(self.norm(inputs))))

    def plastic_units(self) -> Iterator[HiddenLayer]:
        """Declare the units between the two layers to `fire`; each member has its own units."""
        shape = (*self.expand.weight.shape[:-2], self.expand.d_out)
        incoming = (Weights("expand.weight", _transposed), Weights("expand.bias", _by_member))
        outgoing = (Weights("contract.weight", as_it_is, "contract.bias"),)
        yield HiddenLayer("activation", shape, incoming, outgoing, _transposed)


def _transposed(values: Tensor) -> Tensor:
    return values.mT


def _by_member(bias: Tensor) -> Tensor:
    return bias.squeeze(-2) if bias.dim() > 1 else bias


class Encoder(nn.Module):
    """The encoder of actor and critic: a linear layer, residual blocks and a final LayerNorm."""

    def __init__(self, d_in: int, width: int, blocks: int, members: int | None = None) -> None:
        super().__init__()
        self.embed = Linear(d_in, width, members)
        self.blocks = nn.Sequential(*(ResidualBlock(width, members) for _ in range(blocks)))
        self.norm = LayerNorm(width, members)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of the inputs."""
        return self.norm(self.blocks(self.embed(inputs)))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw orthogonal weights for the first layer and He-normal weights for the blocks."""
        orthogonal(self.embed, generator)
        for block in self.blocks:
            assert isinstance(block, ResidualBlock)
            he_normal(block.expand, generator)
            he_normal(block.contract, generator)


class Critic(nn.Module):
    """An ensemble of action values: (batch, observation), (batch, action) -> values (members, batch)."""

    def __init__(self, observation_size: int, action_size: int, width: int, blocks: int, members: int) -> None:
        super().__init__()
        self.encoder = Encoder(observation_size + action_size, width, blocks, members)
        self.value = Linear(width, 1, members)

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Return each member's values of the actions."""
        inputs = torch.cat((observations, actions), dim=-1)
        return self.value(self.encoder(inputs)).squeeze(-1).to(inputs.dtype)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the encoder's weights, and orthogonal weights for the output."""
        self.encoder.initialise(generator)
        orthogonal(self.value, generator)


class Actor(nn.Module):
    """A Gaussian policy before tanh: (batch, observation) -> mean and logarithm of the standard deviation."""

    LOG_STD_MIN, LOG_STD_MAX = -10.0, 2.0

    def __init__(self, observation_size: int, action_size: int, width: int, blocks: int) -> None:
        super().__init__()
        self.encoder = Encoder(observation_size, width, blocks)
        self.mean = Linear(width, action_size)
        self.log_std = Linear(width, action_size)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the bounded logarithm of the standard deviation."""
        features = self.encoder(observations)
        half_range = (self.LOG_STD_MAX - self.LOG_STD_MIN) / 2
        mean, log_std = (head(features).to(observations.dtype) for head in (self.mean, self.log_std))
        return mean, self.LOG_STD_MIN + half_range * (1 + torch.tanh(log_std))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the encoder's weights, and orthogonal weights for the outputs."""
        self.encoder.initialise(generator)
        orthogonal(self.mean, generator)
        orthogonal(self.log_std, generator)


def orthogonal(layer: Linear, generator: torch.Generator) -> None:
    """Draw orthogonal weights of gain 1, separately for each member, and set biases to zero."""
    with torch.no_grad():
        for weight in layer.weight.view(-1, layer.d_in, layer.d_out):
            nn.init.orthogonal_(weight, generator=generator)
        layer.bias.zero_()


def he_normal(layer: Linear, generator: torch.Generator) -> None:
    """Draw He-normal weights truncated at two sigma, with sigma such that their variance is 2 / d_in; zero biases."""
    sigma = math.sqrt(2 / layer.d_in) / TRUNCATED_DEVIATION
    nn.init.trunc_normal_(layer.weight, std=sigma, a=-2 * sigma, b=2 * sigma, generator=generator)
    with torch.no_grad():
        layer.bias.zero_()


def squashed_sample(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return actions tanh(mean + std * noise) and their log-density.

    It uses the identity log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2x)).
    """
    raw = mean + log_std.exp() * noise
    normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    squash = 2 * (math.log(2) - raw - functional.softplus(-2 * raw))
    return torch.tanh(raw), (normal - squash).sum(-1)
