"""The published methods of each vision task: their hyper-parameters, and that each of them works on the networks."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.nn import functional

from fire_rl.agents.vision import NETWORKS, TASKS, make_network, published
from fire_rl.agents.vision.published import PUBLISHED
from fire_rl.fire import (
    METHODS,
    REGULARIZERS,
    Fire,
    Network,
    Never,
    NoMethod,
    PlasticityManager,
    Position,
    parse_method,
    spell,
)

NAMES = ["none", "reset", "shrink-perturb", "dash", "fire", "redo", "cbp", "snr", "l2-init", "parseval"]
# As in the scripts of isaac7778/FIRE at c37a0ac (vision/scripts), in the order of their lines.
SCRIPTS = """
warm-start cifar10 --dash-alpha 0.3 --dash-lambda 0.05 --parseval 1e-3 --cbp 1e-4 1000 --redo 0.5 --regen 1e-3 --snr 0.99
warm-start cifar100 --dash-alpha 0.1 --dash-lambda 0.05 --parseval 1e-5 --cbp 1e-4 100 --redo 0.5 --regen 1e-3 --snr 0.99
warm-start tinyimagenet --dash-alpha 0.1 --dash-lambda 0.05 --parseval 1e-3 --cbp 1e-4 1000 --redo 0.5 --regen 1e-3 --snr 0.92
continual cifar10 --dash-alpha 0.3 --dash-lambda 0.05 --parseval 1e-3 --cbp 1e-5 1000 --redo 0.05 --regen 1e-5 --snr 0.92
continual cifar100 --dash-alpha 0.1 --dash-lambda 0.05 --parseval 1e-5 --cbp 1e-5 1000 --redo 0.01 --regen 1e-4 --snr 0.96
continual tinyimagenet --dash-alpha 0.1 --dash-lambda 0.1 --parseval 1e-4 --cbp 1e-5 1000 --redo 0.01 --regen 1e-5 --snr 0.99
class-incremental cifar100 --dash-alpha 0.3 --dash-lambda 0.3 --parseval 1e-5 --cbp 1e-5 1000 --redo 0.01 --regen 1e-5 --snr 0.92
class-incremental tinyimagenet --dash-alpha 0.3 --dash-lambda 0.1 --parseval 1e-3 --cbp 1e-4 1000 --redo 0.05 --regen 1e-4 --snr 0.98
"""  # noqa: E501


@pytest.mark.parametrize("line", SCRIPTS.strip().splitlines(), ids=lambda line: " ".join(line.split()[:2]))
def test_hyper_parameters_are_those_of_the_public_scripts(line):
    task, data, *words = line.split()
    alpha, least, parseval, rate, maturity, tau, regen, percentile = (
        float(word) for word in words if not word.startswith("--")
    )
    methods: Mapping[str, Any] = published(task, data, "vgg16")
    assert (methods["dash"].alpha, methods["dash"].least) == (alpha, least)
    assert (methods["parseval"].strength, methods["parseval"].scale) == (parseval, 1.0)
    assert (methods["cbp"].replacement_rate, methods["cbp"].maturity, methods["cbp"].decay) == (rate, maturity, 0.99)
    assert methods["redo"].tau == tau
    assert methods["l2-init"].strength == regen / 2
    assert methods["snr"].rejection == pytest.approx(1 - percentile)
    assert methods["shrink-perturb"].keep == 0.2


def test_every_published_setting_is_one_of_the_scripts():
    assert [f"{task} {data}" for task, data in PUBLISHED] == [
        " ".join(line.split()[:2]) for line in SCRIPTS.strip().splitlines()
    ]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("network", NETWORKS)
def test_methods_have_their_own_names_and_can_be_spelled(task, network):
    methods = published(task, "cifar100", network)
    assert list(methods) == NAMES
    for name, method in methods.items():
        assert type(method) is {**METHODS, **REGULARIZERS}[name]
        assert spell(method, methods) == name
        if name in METHODS:
            assert parse_method(spell(method)) == method


def test_other_data_have_what_was_published_for_cifar10_and_options_may_be_changed():
    for data in ("fashion", "digits", "cifar10"):
        assert published("continual", data, "small") == published("continual", "cifar10", "resnet18")
        assert published("class-incremental", data, "small") == published("class-incremental", "cifar100", "small")
    methods = published("warm-start", "fashion", "vit-tiny")
    assert parse_method("fire:solver=exact", methods) == Fire(solver="exact", include=("*.query", "*.key"))


def test_an_unknown_task_or_network_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"task 'warm' given; allowed are warm-start, .*; nearest is warm-start"):
        published("warm", "cifar10", "small")
    with pytest.raises(ValueError, match=r"network 'vit' given; .* nearest is vit-tiny"):
        published("continual", "cifar10", "vit")


def network_of(name):
    shape = {"vit-tiny": (3, 8, 8), "small": (1, 8, 8)}[name]
    module = make_network(name, shape, 3, seed=0)
    initial = {key: value.clone() for key, value in module.state_dict().items()}
    images, labels = torch.randn(6, *shape, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3
    optimizer = torch.optim.Adam(module.parameters())
    loss = lambda: functional.cross_entropy(module(images), labels)  # noqa: E731
    return Network(name, module, initial, optimizer, encoder=("encoder",), head=("head",)), loss


def test_fire_projects_query_and_key_alone_in_the_vit_and_every_matrix_elsewhere():
    for name in ("vit-tiny", "small"):
        network, loss = network_of(name)
        before = {key: value.clone() for key, value in network.module.state_dict().items()}
        PlasticityManager([network], published("warm-start", "cifar10", name)["fire"], Never()).act(
            Position(0, 0), {name: loss}
        )
        changed = {key for key, value in network.module.named_parameters() if not torch.equal(value, before[key])}
        if name == "vit-tiny":
            names = {key for key in before if key.endswith(("query.weight", "key.weight"))}
            assert len(names) == 24
        else:
            names = {key for key, value in before.items() if value.ndim > 1}
        assert changed == names


@pytest.mark.parametrize("network_name", ["small", pytest.param("vit-tiny", marks=pytest.mark.slow)])
def test_every_published_method_acts_and_learns_on(network_name):
    presets = published("warm-start", "cifar100", network_name)
    for name in NAMES:
        network, loss = network_of(network_name)
        method, regularizers = (NoMethod(), [presets[name]]) if name in REGULARIZERS else (presets[name], [])
        manager = PlasticityManager([network], method, Never(), regularizers)
        for update in range(3):
            if update == 1 and method.acts_at_events:
                manager.act(Position(update, update), {network_name: loss})
            penalty = manager.penalty(network_name)
            network.optimizer.zero_grad()
            (loss() if penalty is None else loss() + penalty).backward()
            network.optimizer.step()
            manager.after_step(network_name)
        assert all(value.isfinite().all() for value in network.module.state_dict().values()), name


def test_a_reset_restores_initial_values_and_running_statistics():
    network, loss = network_of("small")
    for _ in range(3):
        loss().backward()
        network.optimizer.step()
    assert not torch.equal(network.module.encoder[1].running_mean, network.initial["encoder.1.running_mean"])
    PlasticityManager([network], published("warm-start", "cifar10", "small")["reset"], Never()).act(Position(0, 0))
    for key, value in network.module.state_dict().items():
        assert torch.equal(value, network.initial[key]), key
