"""Networks and training loops that differ from ours: each is handled rightly or refused in words, never silently."""

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import (
    ContinualBackprop,
    Fire,
    L2Init,
    Method,
    MethodNetwork,
    Network,
    Never,
    NoMethod,
    PlasticityManager,
    Position,
    Probe,
    Probed,
    Redo,
    ShrinkPerturb,
    Spectral,
    WeightDecay,
    diagnose,
    fire_,
    measure,
    parse_trigger,
    refresh_statistics_,
    spell,
)
from fire_rl.fire.activity import dormancy_scores
from fire_rl.fire.integrations.hooks import attach
from fire_rl.fire.matrices import last_layers
from fire_rl.fire.polar import full_precision
from fire_rl.fire.probe import Data, Task, curve, plain_optimizer, plain_run
from fire_rl.fire.soundness import notes_on_processes
from fire_rl.fire.trainability import trainability

QUICK = Probe(updates=20, rates=(3e-3,), seeds=3, points=5)


def clones(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def small(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def batches(count: int = 8) -> list[Tensor]:
    return list(torch.randn(count, 16, 4, generator=torch.Generator().manual_seed(1)))


def loss_of(module: nn.Module) -> Callable[[], Tensor]:
    return lambda: module(batches(1)[0]).square().mean()


def managed(module: nn.Module, method: Method, **more: object) -> PlasticityManager:
    network = Network("q", module, clones(module), torch.optim.Adam(module.parameters()), head=("2",))
    given = (NoMethod(), [method]) if method.has_penalty or isinstance(method, WeightDecay) else (method, [])
    return PlasticityManager([network], given[0], Never(), given[1], **more)  # type: ignore[arg-type]


def test_weight_decay_without_gradients_says_that_it_comes_too_late():
    module = small()
    manager = managed(module, WeightDecay())
    with pytest.raises(ValueError, match="call after_step before zero_grad"):
        manager.after_step("q")


def test_weight_decay_decays_the_parameters_of_its_own_network_once():
    actor, critic = small(1), small(2)
    optimizer = torch.optim.SGD([*actor.parameters(), *critic.parameters()], lr=0.5)
    networks = [Network(name, module, clones(module), optimizer) for name, module in (("a", actor), ("c", critic))]
    manager = PlasticityManager(networks, NoMethod(), Never(), [WeightDecay(strength=0.1)])
    before = [clones(actor), clones(critic)]
    for parameter in (*actor.parameters(), *critic.parameters()):
        parameter.grad = torch.zeros_like(parameter)
    for name in ("a", "c"):
        manager.after_step(name)
    for module, old in zip((actor, critic), before, strict=True):
        for key, value in module.state_dict().items():
            torch.testing.assert_close(value, 0.95 * old[key])


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.InstanceNorm1d])
def test_statistics_are_the_means_over_all_batches(kind):
    norm = kind(3, track_running_stats=True)
    given = [3 + 2 * torch.randn(6, 3, 50, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    norm.running_mean.fill_(9.0)
    assert refresh_statistics_(norm, given) == 4
    expected = torch.stack([batch.mean((0, 2)) for batch in given]).mean(0)
    torch.testing.assert_close(norm.running_mean, expected)
    assert norm.momentum == 0.1


def test_statistics_that_no_batch_reaches_stay_and_are_named():
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.aside = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.aside(self.body(inputs)) if self.training else self.body(inputs)

    module = Aside()
    for norm in (module.body, module.aside):
        assert norm.running_mean is not None
        norm.running_mean.fill_(5.0)
    with pytest.warns(UserWarning, match="no batch runs aside: unchanged"):
        refresh_statistics_(module, batches())
    assert (module.state_dict()["aside.running_mean"] == 5.0).all()
    assert (module.state_dict()["body.running_mean"] != 5.0).all()


def test_a_module_without_a_tensor_as_output_is_no_unknown_trainability():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small()

        def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
            return self.inner(inputs), inputs

    with pytest.raises(ValueError, match="give run="):
        trainability(Pair(), Probed(Data.of(batches()), lambda seed: Pair()), QUICK)
    constant = [torch.zeros(16, 4)] * 8
    assert math.isnan(trainability(small(), Probed(Data.of(constant), small), QUICK))


def test_layers_that_are_never_seen_to_run_are_named():
    module, other = small(), small(1)
    manager = managed(module, Redo())
    with pytest.raises(ValueError, match="network 'q': redo: none of its hidden layers was seen to run"):
        manager.act(Position(0, 0), {"q": loss_of(other)})
    with pytest.warns(UserWarning, match="none of its hidden layers was seen to run"):
        manager.measure({"q": lambda: loss_of(other)() + 0 * sum(each.sum() for each in module.parameters())})


def test_a_trigger_whose_measure_is_not_taken_is_named():
    manager = managed(small(), ShrinkPerturb(), triggers=[parse_trigger("hessian>5", cooldown=0)])
    measures = manager.measure({"q": loss_of(manager.networks["q"].module)})
    with pytest.warns(UserWarning, match=r"hessian>5.0 cannot be met"):
        assert manager.triggered(measures, Position(5, 5)) is None


def test_features_of_sequences_are_rows_and_passes_without_gradients_count():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    sequences = torch.randn(30, 5, 4)
    network = MethodNetwork("q", module, clones(module), head=("2",))

    def run(inputs: Tensor) -> Callable[[], Tensor]:
        def without_gradients() -> Tensor:
            with torch.no_grad():
                return module(inputs)

        return without_gradients

    found = [measure(network, run=run(inputs)) for inputs in (sequences, sequences.flatten(0, 1))]
    assert found[0] == found[1]
    assert found[0]["feature_examples"] == 150


def test_measures_restore_replaced_buffers_and_those_of_other_networks():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.seen = small(), torch.zeros(())
            self.register_buffer("count", torch.zeros(()))

        def forward(self, inputs: Tensor) -> Tensor:
            self.count: Tensor = self.count + 1
            return self.inner(inputs)

    one, critic = Counting(), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    networks = [Network(name, module, clones(module)) for name, module in (("one", one), ("critic", critic))]
    manager = PlasticityManager(networks, NoMethod(), Never())
    before, buffer = clones(critic), one.count
    with pytest.warns(UserWarning, match="it names no head"):
        manager.measure({"one": lambda: critic(one(batches(1)[0])).square().mean()})
    assert one.count is buffer
    assert float(buffer) == 0.0
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())


def test_a_diagnosis_leaves_the_global_generator_and_repeats_with_dropout():
    def fresh(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))

    module, before = fresh(9), torch.get_rng_state()
    found = diagnose(module, batches(), fresh=fresh, probe=QUICK)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert diagnose(module, batches(), fresh=fresh, probe=QUICK).to_json() == found.to_json()


@pytest.mark.parametrize("all_frozen", [False, True])
def test_a_probe_trains_what_training_trains(all_frozen):
    module, seen = small(), []
    (module if all_frozen else module[0]).requires_grad_(False)

    def make(parameters, rate):
        seen.extend(parameters)
        return plain_optimizer(parameters, rate)

    data = Data.of(batches())
    task = Task(*(tuple(torch.randn(16, 2) for _ in part) for part in data))
    curve(module, plain_run, data, task, 1.0, QUICK, make, 3e-3, 0)
    assert len(seen) == (4 if all_frozen else 2)


def test_a_last_layer_with_several_matrices_is_found():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = nn.Linear(4, 6), nn.GRU(6, 3, batch_first=True)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.last(self.body(inputs).unsqueeze(1))[0][:, 0]

    module = Recurrent()
    assert tuple(last_layers(module)) == ("last",)
    network = Network("q", module, clones(module), head=("last",))
    manager = PlasticityManager([network], NoMethod(), Never())
    with pytest.warns(UserWarning, match="no hidden units are known"):
        found = manager.measure({"q": lambda: module(batches(1)[0]).square().mean()})
    assert found["q/effective_rank"] >= 1


def test_initial_values_on_another_device_are_refused():
    module = small()
    initial = {name: value.to("meta") for name, value in clones(module).items()}
    with pytest.raises(ValueError, match=r"initial\['0.weight'\] is on meta, the module on cpu"):
        PlasticityManager([Network("q", module, initial)], ShrinkPerturb(), Never())


def test_loading_an_unused_generator_resets_one_that_was_used():
    module = small()
    manager = managed(module, ContinualBackprop(replacement_rate=1.0, maturity=0))
    saved, before = copy.deepcopy(manager.tensors()), manager.generators[0].get_state()
    for _ in range(3):
        loss_of(module)().backward()
        manager.after_step("q")
    assert not torch.equal(manager.generators[0].get_state(), before)
    manager.load_tensors(saved)
    assert torch.equal(manager.generators[0].get_state(), before)


@pytest.mark.parametrize("method", [Spectral(), ContinualBackprop(replacement_rate=1.0, maturity=0)])
def test_layers_may_be_unfrozen_later(method):
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    module[0].requires_grad_(False)
    network = Network("q", module, clones(module), torch.optim.Adam(module.parameters()))
    penalised = method.has_penalty
    manager = PlasticityManager([network], NoMethod() if penalised else method, Never(), [method] if penalised else [])
    module[0].requires_grad_(True)
    manager.watch()
    loss_of(module)().backward()
    manager.after_step("q")
    penalty = manager.penalty("q")
    assert (penalty is not None) == penalised


def test_a_layer_that_was_frozen_in_the_saved_run_begins_anew():
    def manager_of(frozen: bool) -> PlasticityManager:
        module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
        module[0].requires_grad_(not frozen)
        manager = managed(module, ContinualBackprop(replacement_rate=1.0, maturity=0))
        loss_of(module)().backward()
        manager.after_step("q")
        return manager

    saved, manager = manager_of(frozen=True), manager_of(frozen=False)
    with pytest.warns(UserWarning, match=r"the saved memory lacks 1\.utility, 1\.birth, 1\.owed: these begin anew"):
        manager.load_tensors(saved.tensors())
    prefix = "method.cbp:replacement_rate=1.0,maturity=0.q.memory"
    assert torch.equal(manager.tensors()[f"{prefix}.3.utility"], saved.tensors()[f"{prefix}.3.utility"])


def test_units_of_a_layer_that_begins_anew_are_as_young_as_their_utility():
    def manager_of(frozen: bool) -> PlasticityManager:
        module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
        module[0].requires_grad_(not frozen)
        return managed(module, ContinualBackprop(replacement_rate=1.0, maturity=100))

    def go_on(manager: PlasticityManager, steps: int) -> float:
        for _ in range(steps):
            loss_of(manager.networks["q"].module)().backward()
            manager.after_step("q")
        return manager.figures()["q/replaced units"]

    saved, manager = manager_of(frozen=True), manager_of(frozen=False)
    go_on(saved, 100)
    with pytest.warns(UserWarning, match="begin anew"):
        manager.load_tensors(saved.tensors())
    assert go_on(manager, 1) == 8, "units of the layer that was trained before"
    assert go_on(manager, 99) == 8
    assert go_on(manager, 1) == 16, "units of the layer that began anew"


@pytest.mark.parametrize("maximize", [False, True])
def test_a_corrected_step_does_not_depend_on_its_sign(maximize):
    """Training on -loss with maximize=True is the same as on loss without it."""
    weights = []
    for flipped in (False, maximize):
        module = small()
        optimizer = torch.optim.Adam(module.parameters(), lr=0.05, maximize=flipped)
        method = ContinualBackprop(replacement_rate=0.3, maturity=0, optimizer="renew")
        manager = PlasticityManager([Network("q", module, clones(module), optimizer)], method, Never())
        for _ in range(6):
            optimizer.zero_grad()
            (loss_of(module)() * (-1 if flipped else 1)).backward()
            optimizer.step()
            manager.after_step("q")
        weights.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
    torch.testing.assert_close(weights[0], weights[1])


def test_hooks_skip_frozen_parameters_and_undo_the_scale_of_a_grad_scaler():
    gradients = []
    for scale in (1.0, 1024.0):
        module = small()
        module[0].requires_grad_(False)
        optimizer = torch.optim.Adam(module.parameters())
        initial = {name: value + 1 for name, value in clones(module).items()}
        network = Network("q", module, initial, optimizer)
        attach(PlasticityManager([network], NoMethod(), Never(), [L2Init(strength=0.1)]))
        for parameter in module[2].parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.grad_scale = torch.tensor(scale)  # type: ignore[attr-defined]  # as a GradScaler sets it
        for hook in optimizer._optimizer_step_pre_hooks.values():
            hook(optimizer, (), {})
        gradients.append(module.state_dict(keep_vars=True)["2.weight"].grad / scale)
    assert gradients[0].any()
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_network_without_a_matrix_is_no_network_for_fire():
    module = nn.LayerNorm(4)
    with pytest.raises(ValueError, match="network 'q' has no matrix left to project"):
        PlasticityManager([Network("q", module, clones(module))], Fire(), Never())
    with pytest.raises(ValueError, match="'0' has no values yet, as it is on the meta device"):
        fire_(nn.Sequential(nn.Linear(3, 3, device="meta")))


NEWER = """
import torch
from fire_rl.fire.polar import full_precision
products = torch.backends.cuda.matmul
products.fp32_precision = "tf32"
with full_precision():
    assert products.fp32_precision == "ieee"
assert products.fp32_precision == "tf32"
"""


def test_projections_never_use_tf32():
    """torch has an older and a newer switch. Mixing them is an error, so the newer one is tried in its own process."""
    products, before = torch.backends.cuda.matmul, torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        with full_precision():
            assert not products.allow_tf32
        assert products.allow_tf32
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    if hasattr(products, "fp32_precision"):
        subprocess.run([sys.executable, "-c", NEWER], check=True, cwd=Path(__file__).parent.parent)


def test_a_silent_layer_in_half_precision_is_dead_and_not_unknown():
    assert dormancy_scores(torch.zeros(3, 8, dtype=torch.float16)).tolist() == [0.0, 0.0, 0.0]


def test_methods_that_judge_by_examples_are_noted_in_several_processes(monkeypatch):
    assert notes_on_processes([Redo()]) == []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert notes_on_processes([Fire(), ShrinkPerturb()]) == []
    for method in (Redo(), Fire(repair="head"), Fire(scale=True)):
        assert f"{spell(method)} depends on the examples or inputs" in notes_on_processes([method])[0]
