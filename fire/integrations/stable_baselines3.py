"""A callback that runs FIRE or any other method in Stable-Baselines3's SAC, TD3 and DQN.

model.learn(100_000, callback=PlasticityCallback("fire", every=25_000))
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from stable_baselines3 import DQN, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback

from .. import published
from ..event import Event
from ..manager import PlasticityManager
from ..methods import Injection, Method, ResetHead
from ..record import Record, built_in_restructures, restore_structure
from ..schedule import At, Either, Every, Never, Position, Schedule
from ..spelling import parse_method, parse_regularizer, spell
from ..trigger import TRAINABILITY, parse_trigger
from .hooks import Attached, attach
from .stable_baselines3_networks import Algorithm, declare_units, group_heads, losses, plastic_networks

Kind = TypeVar("Kind", SAC, TD3, DQN)


class PlasticityCallback(BaseCallback):
    """Apply a method to a model's networks: every N updates, at given environment steps, or when a measure triggers it.

    `method` is a text as on our command lines, or a `Method`. `every` counts gradient updates (SB3's
    `train/n_updates`); `at` counts environment steps of all environments together (`num_timesteps`). `when` is a
    trigger such as "dormant>0.25", which waits `cooldown` updates after the start and after any event. Measures of the
    networks are logged to SB3's logger every `measure_every` updates; 0 means never.
    """

    def __init__(
        self,
        method: str | Method = "fire",
        *,
        every: int | None = None,
        at: int | Sequence[int] | None = None,
        when: str | Sequence[str] = (),
        cooldown: int = 10_000,
        scope: str | None = None,
        regularizers: str | Sequence[str | Method] = (),
        measure_every: int = 1_000,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        self.method, self.scope = method, scope
        several = (regularizers,) if isinstance(regularizers, str) else regularizers
        self.regularizers = [parse_regularizer(one) if isinstance(one, str) else one for one in several]
        self.every, self.at = every, (at,) if isinstance(at, int) else tuple(at or ())
        self.triggers = [parse_trigger(text, cooldown) for text in ((when,) if isinstance(when, str) else when)]
        if given := next((trigger for trigger in self.triggers if trigger.measure == TRAINABILITY), None):
            raise ValueError(f"when={str(given)!r} given; trainability is not measured here: use another measure")
        self.measure_every = measure_every
        if measure_every < (1 if self.triggers else 0):
            raise ValueError(f"measure_every={measure_every} given; allowed is 0 or more, and with when=... 1 or more")
        self._schedule(self._chosen_method(published.DQN))  # a misspelled method is refused before training starts
        self._kept: SavedWithModel | None = None
        self._before = Position(0, 0)
        self._measured = 0  # updates at the last measurement

    @property
    def events(self) -> Sequence[Event]:
        """The newest 1,000 events, of this callback and of earlier callbacks of the same model."""
        return [] if self._kept is None else self.manager.events

    @property
    def manager(self) -> PlasticityManager:
        """The plasticity manager, which is made when training starts."""
        assert self._kept is not None, "there is no model yet"
        return self._kept.manager

    def _chosen_method(self, presets: Mapping[str, Method]) -> Method:
        method = parse_method(self.method, presets) if isinstance(self.method, str) else self.method
        if self.scope is None:
            return method
        if not hasattr(method, "scope"):
            raise ValueError(f"scope={self.scope}: method {spell(method)} has no scope")
        return method.altered({"scope": self.scope})

    def _schedule(self, method: Method) -> Schedule:
        if method.needs_inputs:
            raise ValueError(f"{spell(method)} given; Stable-Baselines3 has no repair after an event: leave it out")
        schedules: list[Schedule] = []
        if self.every is not None:
            schedules.append(Every(self.every))
        if self.at:
            schedules.append(At(self.at))
        if method.acts_at_events and not schedules and not self.triggers:
            raise ValueError(f"{spell(method)} acts at events: give every=UPDATES, at=STEPS or when=MEASURE>NUMBER")
        if method.acts_every_step and not method.acts_at_events and (schedules or self.triggers):
            raise ValueError(f"{spell(method)} acts at every gradient step: give neither every, at nor when")
        return Either(tuple(schedules)) if schedules else Never()

    # Called by SB3

    def _init_callback(self) -> None:
        model = self.model
        if not isinstance(model, SAC | TD3 | DQN):
            raise ValueError(f"{type(model).__name__} given; allowed are Stable-Baselines3's SAC, TD3 and DQN")
        if self._kept is None or vars(model).get("plasticity") is not self._kept:
            self._kept = vars(model)["plasticity"] = self._take_over(model)  # an attribute, which SB3 saves

    def _on_training_start(self) -> None:
        assert self._kept is not None
        self._kept.attached.detach()  # still attached if the last `learn` was interrupted
        self._kept.attached = attach(self.manager)
        self._before = self._position()
        self._measured = self._before.updates

    def _on_rollout_start(self) -> None:
        self._act_if_due()  # after the updates of the previous rollout

    def _on_step(self) -> bool:
        self._act_if_due()
        return True

    def _on_training_end(self) -> None:
        self._act_if_due()
        self._log_figures()
        assert self._kept is not None
        self._kept.attached.detach()

    def _take_over(self, model: Algorithm) -> "SavedWithModel":
        """Make a manager for the model, with the state of an earlier one from another callback or a loaded file."""
        saved = vars(model).get("plasticity")
        if isinstance(saved, SavedWithModel):
            saved.attached.detach()
            saved = saved.state()
        if saved is None and model._n_updates:
            warnings.warn(
                f"the model was already trained for {model._n_updates} updates: its current weights are taken as its "
                "initial weights",
                stacklevel=2,
            )
        method = self._chosen_method(published.DQN if isinstance(model, DQN) else published.SAC)
        grouped = saved is not None and bool(saved["grouped"])
        if isinstance(model, DQN) and isinstance(method, Injection) and not grouped:
            group_heads(model)
            saved, grouped = saved and _regrouped(model, saved), True
        declare_units(model)
        networks = plastic_networks(model, saved and saved["initial"])
        if isinstance(model, DQN) and isinstance(method, ResetHead) and method.layers == "last":
            # DQN's head may be two modules in sequence; the second one has the last layer.
            networks = tuple(replace(network, head=network.head[-1:]) for network in networks)
        schedule, seed, unit = self._schedule(method), model.seed or 0, "environment steps"
        manager = PlasticityManager(networks, method, schedule, self.regularizers, self.triggers, seed, unit)
        if saved is not None:
            manager.events = Record.from_state(saved, built_in_restructures, unit)  # the networks have their structure
            manager.load_tensors(saved["tensors"])
        return SavedWithModel(manager, grouped)

    def _position(self) -> Position:
        return Position(self.model._n_updates, self.model.num_timesteps)

    def _act_if_due(self) -> None:
        before, self._before = self._before, self._position()
        due = self.manager.due(before, self._before)
        if self.manager.triggered(self._measure(), self._before) or due:
            self._act()

    def _measure(self) -> dict[str, float]:
        """Return the networks' measures if a multiple of `measure_every` updates has passed, otherwise nothing."""
        every, updates = self.measure_every, self._before.updates
        if not every or updates // every == self._measured // every:
            return {}
        self._measured = updates
        values = self.manager.measure(losses(cast(Algorithm, self.model), seed=updates))
        for name, value in values.items():
            if name.count("/") == 1:  # measures of single layers would flood the log
                self.logger.record(f"plasticity/{name}", value, exclude="stdout")
        return values

    def _act(self) -> None:
        examples = None
        if self.manager.method.needs_loss:
            examples = losses(cast(Algorithm, self.model), seed=self._before.updates)
        event = self.manager.act(self._before, examples)
        if self.verbose:
            print(event)
        self.logger.record("plasticity/events", self.manager.event_count)
        for report in event.networks:
            for when in ("before", "after"):
                values = [getattr(matrix, f"deviation_{when}") for matrix in report.matrices]
                mean = sum(values) / len(values) if values else math.nan
                self.logger.record(f"plasticity/{report.name}_deviation_{when}", mean)
            for key, value in report.outcome.items():
                self.logger.record(f"plasticity/{report.name}/{key}", value)
        self._log_figures()

    def _log_figures(self) -> None:
        for key, value in self.manager.figures().items():
            self.logger.record(f"plasticity/{key}", value)


class SavedWithModel:
    """The manager's state, which SB3 saves with the model as plain dictionaries of tensors."""

    def __init__(self, manager: PlasticityManager, grouped: bool) -> None:
        self.manager, self._grouped = manager, grouped
        self.attached = Attached(manager, [])

    def state(self) -> dict[str, Any]:
        """Return the state as it is saved: initial values, the manager's tensors and its newest events."""
        networks = self.manager.networks.values()
        first = {network.name: dict(network.initial) for network in networks}
        for companion in (companion for network in networks for companion in network.companions):
            first[companion.name] = {str(index): value for index, value in enumerate(companion.initial)}
        return {
            "initial": {name: {key: value.cpu() for key, value in values.items()} for name, values in first.items()},
            "tensors": {key: value.cpu() for key, value in self.manager.tensors().items()},
            "grouped": self._grouped,
            **self.manager.state_dict(),
            "events": [event.to_json() for event in self.manager.events],
        }

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (self.state(),)


def _regrouped(model: DQN, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the saved initial values for a grouped head; the methods' memories, under the old names, are dropped."""
    initial = dict(zip(model.q_net.state_dict(), saved["initial"]["q"].values(), strict=True))
    return {**saved, "initial": {"q": initial}, "tensors": {}}


def load(kind: type[Kind], path: str | Path, **arguments: Any) -> Kind:
    """Load a model like `kind.load`, also if injection changed its structure, which SB3 alone could not load."""

    class Loaded(kind):  # type: ignore[misc, valid-type]
        def _setup_model(self) -> None:
            super()._setup_model()
            saved = vars(self).get("plasticity")
            if saved is not None:
                if saved["grouped"]:
                    group_heads(self)
                restore_structure(plastic_networks(self), saved)

    Loaded.__name__, Loaded.__qualname__ = kind.__name__, kind.__qualname__
    return cast(Any, Loaded.load(path, **arguments))
