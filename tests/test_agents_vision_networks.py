"""The vision networks: published sizes, the images they accept, and the hidden units that methods find in them."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from fire_rl.agents.vision import NETWORKS, make_network
from fire_rl.fire import (
    Network,
    Never,
    PlasticityManager,
    Position,
    declare_units,
    hidden_layers,
    measure,
    parse_method,
)
from fire_rl.fire.tracing import _trace
from fire_rl.fire.unit_weights import HiddenLayer

PUBLISHED = [
    ("resnet18", (3, 32, 32), 10, 11_436_618),
    ("vit-tiny", (3, 32, 32), 100, 5_373_700),
    ("vgg16", (3, 64, 64), 200, 18_075_912),
]
SHAPES = {
    "resnet18": [(3, 32, 32), (1, 28, 28), (1, 8, 8), (3, 17, 40)],
    "vit-tiny": [(3, 32, 32), (1, 28, 28), (1, 8, 8), (2, 4, 12)],
    "vgg16": [(3, 32, 32), (1, 40, 64)],
    "small": [(1, 28, 28), (1, 8, 8), (3, 32, 32), (4, 1, 5)],
}
TINY = {"resnet18": (3, 8, 8), "vit-tiny": (3, 8, 8), "vgg16": (3, 32, 32), "small": (1, 8, 8)}


def vit(shape: tuple[int, int, int]) -> Any:
    return make_network("vit-tiny", shape, 3, seed=0)


def images(shape, count=4, seed=0):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "shape", "classes", "parameters"), PUBLISHED)
def test_sizes_are_the_published_ones(name, shape, classes, parameters):
    module = make_network(name, shape, classes, seed=0)
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters


def test_the_small_network_has_the_size_that_was_tried():
    module = make_network("small", (1, 28, 28), 10, seed=0)
    shapes = [tuple(weight.shape) for weight in module.parameters() if weight.ndim > 1]
    assert shapes == [(16, 1, 3, 3), (32, 16, 3, 3), (64, 32, 3, 3), (128, 1024), (10, 128)]


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name, shapes in SHAPES.items() for shape in shapes])
def test_images_of_other_sizes_and_channels_are_taken(name, shape):
    module = make_network(name, shape, 7, seed=0)
    logits = module(images(shape))
    assert logits.shape == (4, 7)
    functional.cross_entropy(logits, torch.arange(4)).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("vgg16", (1, 8, 8), r"'vgg16' cannot take images of 8x8 pixels; allowed are sides of at least 32"),
        ("vgg16", (1, 28, 28), "28x28"),
        ("vit-tiny", (3, 30, 32), r"'vit-tiny' cannot take images of 30x32 pixels; allowed .* multiples of 4"),
        ("vit-tiny", (3, 0, 32), "each 1 or more"),
        ("resnet", (3, 32, 32), "'resnet' given; allowed are resnet18, vit-tiny, vgg16, small; nearest is resnet18"),
    ],
)
def test_what_a_network_cannot_take_is_refused_in_one_line(name, shape, message):
    with pytest.raises(ValueError, match=message) as refused:
        make_network(name, shape, 10, seed=0)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_initial_values_depend_only_on_the_seed_and_global_generators_stay_as_they_are(name):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = (make_network(name, TINY[name], 3, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    for (key, first), second, third in zip(one.named_parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second), key
        assert first.ndim < 2 or not torch.equal(first, third), key


def test_positions_and_class_token_are_drawn_from_a_unit_normal():
    encoder = vit((3, 32, 32)).encoder
    for values in (encoder.positions, encoder.class_token):
        assert abs(values.mean()) < 4 / values.numel() ** 0.5
        assert values.std().item() == pytest.approx(1.0, abs=4 / (2 * values.numel()) ** 0.5)
    assert encoder.positions.shape == (1, 65, 192)


def test_a_patch_is_read_row_by_row_with_channels_last():
    module = vit((2, 8, 12))
    numbered = torch.arange(2 * 8 * 12).view(1, 2, 8, 12)
    read = []
    module.encoder.patches.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    module(numbered.float())
    wanted = numbered[0, :, 4:8, 8:12].permute(1, 2, 0).flatten()  # the last of two rows of three patches
    assert torch.equal(read[0][0, 5], wanted.float())


def test_attention_is_that_of_torch_s_own_layer():
    attention = vit((3, 8, 8)).encoder.blocks[0].attention
    theirs = nn.MultiheadAttention(192, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([getattr(attention, key).weight for key in ("query", "key", "value")]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.weight.copy_(attention.output.weight)
        theirs.out_proj.bias.copy_(attention.output.bias)
    tokens = images((5, 192), 2)
    normed = attention.norm(tokens)
    torch.testing.assert_close(attention(tokens), theirs(normed, normed, normed)[0], rtol=1e-5, atol=1e-6)


def units(name: str) -> tuple[nn.Module, tuple[HiddenLayer, ...]]:
    module = make_network(name, TINY[name], 10, seed=0)
    return module, hidden_layers(module)


def test_hidden_units_are_those_after_norm_and_activation():
    counts = {name: [layer.shape[0] for layer in units(name)[1]] for name in NETWORKS}
    assert counts["resnet18"] == [64, 64, 128, 128, 256, 256, 512, 512, 512]
    assert counts["vit-tiny"] == [768] * 12
    vgg = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert counts["vgg16"] == [*vgg, 1024, 1024]
    assert counts["small"] == [16, 32, 64, 128]
    for name in ("resnet18", "vgg16", "small"):
        module, layers = units(name)
        for layer in layers:
            convolution = module.get_parameter(layer.incoming[0].name).ndim == 4
            assert len(layer.norm) == (2 if convolution else 0), layer.name
            assert isinstance(module.get_submodule(layer.name), nn.ReLU)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pass_through_the_network_finds_no_other_units(name):
    """The units declared from the order of modules are those that the computation itself shows."""
    module, known = units(name)
    report = declare_units(module, images(TINY[name]))
    assert [layer.name for layer in report.layers] == [layer.name for layer in known]
    traced, _ = _trace(make_network(name, TINY[name], 10, seed=0), images(TINY[name]))
    for found, declared in zip(traced, known, strict=True):
        for one, other in ((found.incoming, declared.incoming), (found.outgoing, declared.outgoing)):
            assert [weights.name for weights in one] == [weights.name for weights in other]


@pytest.mark.parametrize("name", NETWORKS)
def test_units_whose_outgoing_weights_are_0_change_no_output(name):
    module, layers = units(name)
    module.eval()
    given = images(TINY[name])
    with torch.no_grad():
        for layer in layers:
            for weights in layer.outgoing:
                weights.of(module)[0] = 0.0
        before = module(given)
        for layer in layers:
            layer.incoming[0].of(module)[0] = 3.0
        after = module(given)
    torch.testing.assert_close(before, after)


def network_of(name):
    module = make_network(name, TINY[name], 3, seed=0)
    initial = {key: value.clone() for key, value in module.state_dict().items()}
    given, labels = images(TINY[name], 6), torch.arange(6) % 3
    loss = lambda: functional.cross_entropy(module(given), labels)  # noqa: E731
    kind = NETWORKS[name]
    optimizer = torch.optim.Adam(module.parameters())
    return Network(name, module, initial, optimizer, encoder=kind.encoder, head=kind.head), loss


@pytest.mark.parametrize("name", ["small", "vit-tiny"])
@pytest.mark.parametrize(
    "method", ["redo:tau=0.9", "cbp:maturity=0,replacement_rate=0.1", "snr:longest=1,apply_every=1"]
)
def test_methods_of_units_work_on_them(name, method):
    network, loss = network_of(name)
    manager = PlasticityManager([network], parse_method(method), Never())
    for update in range(3):
        loss().backward()
        network.optimizer.step()
        if manager.acts_every_step:
            manager.after_step(name)
        else:
            manager.act(Position(update, update), {name: loss})
    changed = [value for each in manager.events for value in each.networks[0].outcome.values()]
    figures = manager.method.figures(manager._given[0][1][name])
    assert sum(changed) > 0 or figures["replaced units"] > 0
    assert all(value.isfinite().all() for value in network.module.state_dict().values())


@pytest.mark.parametrize("name", ["small", "vit-tiny"])
def test_measures_see_units_that_are_silenced_and_the_head_s_features(name):
    network, loss = network_of(name)
    layer = hidden_layers(network.module)[0]
    with torch.no_grad():
        for weights in layer.norm or layer.incoming:
            weights.of(network.module)[:4] = 0.0
    found = measure(network, loss=loss)
    assert 4 / layer.shape[0] <= found[f"dormant/{layer.name}"] < 1
    assert 0 < found["active"] <= 1
    assert 1 <= found["effective_rank"] <= 6
