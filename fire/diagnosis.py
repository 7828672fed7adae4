"""Measure whether a network can still learn: `diagnose(network, batches)` compares copies with fresh networks.

There are four readings. Each is a share of what fresh networks learn in the same updates on the same batches: 1 is like
a fresh network, 0 is nothing. In `fit` the network learns a new function added to its present outputs, so that every
network begins with the same error. In `replace` it learns the new function in place of its present outputs, so that it
must also unlearn their scale and offset. The other two are the same with the last layer of a fresh network; they show
whether the loss lies in the last layer or in the hidden layers.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from torch import nn

from .event import finite
from .finite import first_not_finite
from .matrices import last_layers
from .network import Network
from .probe import (
    Data,
    MakeOptimizer,
    NothingToLearn,
    Probe,
    Run,
    Task,
    added,
    curve,
    initialised_again,
    learned_share,
    outputs_of,
    plain_optimizer,
    plain_run,
    standardised,
    with_layers_of,
)
from .scores import LEAST, Reading, Score, mean_of
from .undisturbed import streams_kept

Lost: TypeAlias = Literal["nothing", "not settled", "at its own rate", "unlearning", "fitting"]
Where: TypeAlias = Literal["", "not settled", "last layer", "hidden layers"]
Form: TypeAlias = Literal["fit", "replace", "given"]

FORMS: tuple[Form, ...] = ("fit", "replace")
TARGETS_FROM = 1_000  # first seed of the networks whose outputs are targets, away from the fresh networks' seeds


@dataclass(frozen=True)
class Diagnosis:
    """The findings about one network; print them, or store them with `to_json`."""

    network: str
    lost: Lost
    where: Where
    sentence: str
    readings: Mapping[str, Reading]
    probe: Probe
    own_rate: float | None

    def __str__(self) -> str:
        rows = [f"  {name:<26} {reading.best}" for name, reading in self.readings.items()]
        return "\n".join([self.sentence, *rows])

    def to_json(self) -> dict[str, Any]:
        """Return the findings as strict JSON, in which numbers that are not finite become null."""
        readings = {name: reading.to_json() for name, reading in self.readings.items()}
        return dict(finite({**vars(self), "probe": asdict(self.probe), "readings": readings}))


class Bench:
    """Fresh networks and new functions to learn, by probe seed; every network is compared with the same ones."""

    def __init__(
        self, fresh: Callable[[int], nn.Module], data: Data, run: Run, *, optimizer: MakeOptimizer = plain_optimizer,
        rate: float | None = None, probe: Probe | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.data, self.run, self.optimizer, self.own, self.seed = data, run, optimizer, rate, seed
        self.probe = probe or Probe()
        self.rates = tuple(sorted({*self.probe.rates, *(() if rate is None else (rate,))}))
        seeds = range(seed, seed + self.probe.seeds)
        self.fresh = [fresh(each) for each in seeds]
        self.new = [standardised(outputs_of(fresh(TARGETS_FROM + each), run, data)) for each in seeds]
        if min(task.spread for task in self.new) < 0.01:
            raise NothingToLearn(
                "a fresh network gives nearly the same outputs for all of these inputs: give other batches"
            )
        self._references: dict[Form, Curves] = {}

    def on(self, data: Data, run: Run) -> "Bench":
        """Return a bench of the same fresh networks with other batches, or another `run`, for given targets."""
        other = copy.copy(self)
        other.data, other.run, other._references = data, run, {}
        return other

    def read(
        self, name: str, modules: Sequence[nn.Module], form: Form, rates: Sequence[float] = (),
        given: Task | None = None,
    ) -> Reading:  # fmt: skip
        """Probe one network, or one network for each seed. With the form "given" all seeds learn the targets `given`.

        The best rate is chosen with the first seed; the other seeds run only at that rate and at the training's own.
        """
        rates, seeds = tuple(rates) or self.rates, self.probe.seeds
        usual = self._references.setdefault(form, Curves(self, self.fresh, form, given))
        curves = usual if modules is self.fresh else Curves(self, modules, form, given)
        best, fresh_best = (max(rates, key=lambda rate, each=each: each.share(rate, 1)) for each in (curves, usual))
        if usual.share(fresh_best, seeds) < LEAST:
            raise NothingToLearn(
                f"the probe {name!r} shows nothing: fresh networks learn only {usual.share(fresh_best, seeds):.0%} "
                f"in {self.probe.updates} updates; give more updates, or other learning rates than "
                f"{', '.join(f'{rate:g}' for rate in rates)}"
            )
        own = None
        if self.own is not None and self.own in rates and usual.share(self.own, seeds) >= LEAST:
            own = Score.of(curves.shares(self.own, seeds), usual.shares(self.own, seeds), self.own, self.own)
        return Reading(
            name,
            Score.of(curves.shares(best, seeds), usual.shares(fresh_best, seeds), best, fresh_best),
            own,
            _middle(curves.of(best, seeds)),
            _middle(usual.of(fresh_best, seeds)),
            {rate: curves.share(rate, 1) for rate in rates},
            {rate: usual.share(rate, 1) for rate in rates},
        )


class Curves:
    """The curves of one network, or of one for each seed, by learning rate; each is made when it is first needed."""

    def __init__(self, bench: Bench, modules: Sequence[nn.Module], form: Form, given: Task | None) -> None:
        self._bench, self._form, self._given = bench, form, given
        self._modules = [modules[0]] * bench.probe.seeds if len(modules) == 1 else modules
        self._found: dict[float, list[list[float]]] = {}

    def of(self, rate: float, seeds: int) -> list[list[float]]:
        """Return the curves of the first `seeds` seeds."""
        found = self._found.setdefault(rate, [])
        found += [self._learned(rate, number) for number in range(len(found), seeds)]
        return found[:seeds]

    def shares(self, rate: float, seeds: int) -> list[float]:
        """Return the learned shares of the first seeds."""
        return [learned_share(errors) for errors in self.of(rate, seeds)]

    def share(self, rate: float, seeds: int) -> float:
        """Return the mean of the learned shares of the first seeds."""
        return mean_of(self.shares(rate, seeds))

    def _learned(self, rate: float, number: int) -> list[float]:
        bench, module, new = self._bench, self._modules[number], self._bench.new[number]
        task, spread = self._given or new, (self._given or new).spread
        if self._form == "fit":
            task = added(outputs_of(module, bench.run, bench.data), new)
        seed = bench.seed + number
        return curve(module, bench.run, bench.data, task, spread, bench.probe, bench.optimizer, rate, seed)


def diagnose(
    network: nn.Module | Network, batches: Sequence[Any], *, fresh: Callable[[int], nn.Module] | None = None,
    run: Run = plain_run, head: Sequence[str] = (), optimizer: MakeOptimizer = plain_optimizer,
    rate: float | None = None, probe: Probe | None = None, seed: int = 0,
) -> Diagnosis:  # fmt: skip
    """Measure on copies how well a network can still learn.

    Neither the network nor a global random generator is changed. `batches` are inputs: tensors, or tuples with which
    the module is called; the last quarter is held out. `fresh` makes a network of the same kind from a seed; without it
    a copy is initialised again by the `reset_parameters` of its layers. `run` returns a tensor (examples, outputs), if
    calling the module does not. `head` names the modules that contain the last layer; without it the last layer is the
    last one with a weight matrix in the order of registration. `rate` is the training's own learning rate, at which the
    network is probed too.
    """
    module = network.module if isinstance(network, Network) else network
    name = network.name if isinstance(network, Network) else type(network).__name__
    head = head or (network.head if isinstance(network, Network) else ())
    if found := first_not_finite(module.named_parameters()):
        raise ValueError(f"network {name!r} holds {found[1]} in {found[0]}: it has diverged and cannot learn any more")
    make = fresh or (lambda number: initialised_again(module, number))
    with streams_kept(module):
        bench = Bench(make, Data.of(batches), run, optimizer=optimizer, rate=rate, probe=probe, seed=seed)
        return examine(module, name, bench, last_layers(module, head))


def examine(module: nn.Module, name: str, bench: Bench, layers: Collection[str]) -> Diagnosis:
    """Return the diagnosis of a network; the readings with a fresh last layer are made only if something is lost."""
    readings: dict[str, Reading] = {form: bench.read(form, [module], form) for form in FORMS}
    for form in FORMS:
        reading = readings[form]
        if layers and (reading.lost or reading.lost_at_own):
            mixed = [with_layers_of(module, fresh, layers) for fresh in bench.fresh]
            readings[headed(form)] = bench.read(headed(form), mixed, form, _few(bench, reading))
    lost, where = _judge(readings)
    return Diagnosis(
        name, lost, where, _sentence(name, lost, where, readings, bench.own), readings, bench.probe, bench.own
    )


def headed(form: str) -> str:
    """Return the name of the reading with the last layer of a fresh network."""
    return f"{form}, new last layer"


def _few(bench: Bench, reading: Reading) -> tuple[float, ...]:
    """Return the best rates and the training's own rate: further rates would add nothing."""
    return tuple(sorted({reading.best.rate, reading.best.fresh_rate, *(() if bench.own is None else (bench.own,))}))


def _judge(readings: Mapping[str, Reading]) -> tuple[Lost, Where]:
    for form in FORMS:
        if readings[form].lost:
            return ("fitting" if form == "fit" else "unlearning"), _where(readings.get(headed(form)))
    if any(readings[form].best.unsettled for form in FORMS):
        return "not settled", ""
    slow = any(readings[form].lost_at_own for form in FORMS)
    return ("at its own rate" if slow else "nothing"), ""


def _where(mixed: Reading | None) -> Where:
    """Return where the loss lies, from the reading with the last layer of a fresh network."""
    if mixed is None:
        return ""
    return "hidden layers" if mixed.lost else "not settled" if mixed.best.unsettled else "last layer"


def _sentence(name: str, lost: Lost, where: Where, readings: Mapping[str, Reading], own_rate: float | None) -> str:
    """Return the verdict in words, with scores and their 95% intervals."""
    fit, replace = readings["fit"], readings["replace"]
    scores = (
        f"It fits new targets {fit.best} times as well as a fresh network, at learning rate {fit.best.rate:g}, and "
        f"replaces its old outputs {replace.best} times as well, at {replace.best.rate:g}"
    )
    if lost == "nothing":
        return f"{name}: nothing is lost. {scores}{_at_own(readings, own_rate)}."
    if lost == "not settled":
        return f"{name}: not settled. {scores}; more probe seeds or longer probes may settle it."
    if lost == "at its own rate":
        slow = fit if fit.lost_at_own else replace
        assert slow.own is not None
        return (
            f"{name}: it learns as well as a fresh network at learning rate {slow.best.rate:g} ({slow.name} "
            f"{slow.best}), but not at its own {slow.own.rate:g} ({slow.own})."
        )
    mixed = readings.get(headed("fit" if lost == "fitting" else "replace"))
    lies = "" if mixed is None else f" (with a new last layer: {mixed.best})"
    if where == "not settled":
        lies = f"; whether this lies in the last layer is not settled{lies}"
    elif where:
        lies = f"; the loss{' of fitting' if lost == 'fitting' else ''} lies in the {where}{lies}"
    said = "it has lost plasticity" if lost == "fitting" else "it gives up its old outputs more slowly than a fresh one"
    return f"{name}: {said}. {scores}{lies}."


def _at_own(readings: Mapping[str, Reading], rate: float | None) -> str:
    """Return in words at which probes the training's own learning rate says the same; nothing without such a rate."""
    if rate is None:
        return ""
    own = {form: readings[form].own for form in FORMS}
    if unknown := [form for form, score in own.items() if score is None]:
        return f"; at its own rate, {rate:g}, fresh networks learn too little to compare {' and '.join(unknown)}"
    if open_ := [f"{form} {score}" for form, score in own.items() if score is not None and score.unsettled]:
        return f"; at its own rate, {rate:g}, this is not settled: {', '.join(open_)}"
    return f"; at its own rate, {rate:g}, nothing is lost either"


def _middle(curves: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the mean over the seeds at each point."""
    return tuple(mean_of(values) for values in zip(*curves, strict=True))
