"""The only training loop: act, enqueue the updates owed, step the environments, store what happened.

At each boundary between two decisions, in this order: checkpoint, log, measures, event, evaluation. A checkpoint holds
the state before the rest of its boundary, so that a run resumed there, or branched, does that rest itself.
"""

import gc
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import envs
from agents.randomness import restore_generator
from fire import Event, Position, spell
from replay import AdaptiveRatio, Batch, Segment

from .build import Parts
from .checkpoint import Checkpoint, Ratio, Values, prune, write_checkpoint
from .curve import draw_curve
from .divergence import Diverged, require_finite, require_finite_tensors, require_numbers
from .film import evaluation_video
from .history import History
from .log import RunLog
from .made_with import MadeWith
from .measure_curves import draw_measures
from .progress import Progress
from .stopping import EnvironmentCalls
from .threads import Collapse

EXAMPLES = 256  # that measures and methods look at networks on


class Stopped(Exception):
    """The run was asked to stop; its checkpoint is written."""


class BrokenOff(Exception):
    """An evaluation was not brought to its end, since a stop was asked for."""


class NotSaved(Exception):
    """The disk does not take what the run has to keep."""


class Loop:
    """Drives the parts of one run from wherever they are to the end."""

    def __init__(self, folder: Path, parts: Parts, title: str, made_with: MadeWith | None = None) -> None:
        self.folder, self.parts, self.settings, self.title = folder, parts, parts.settings, title
        self.made_with = made_with  # what its checkpoints are bound to
        self.progress = Progress(returns=[0.0] * parts.environment.num_envs, lengths=[0] * parts.environment.num_envs)
        self.ratio = parts.settings.make_ratio()
        self.segments: tuple[Segment, ...] = ()
        self.saved_at: int | None = None  # the environment step of the newest checkpoint
        self.sums: dict[str, Tensor] = {}  # training metrics since the last log line, on the device
        self.summed_updates = 0
        self._update_rate = 0.0  # updates per second since the log line before
        self.observations: np.ndarray | None = None
        self.stop_requested: Callable[[], bool] = lambda: False
        self.calls = EnvironmentCalls()
        self.collapse = Collapse()
        self.log: RunLog

    def train(self) -> None:
        """Run to the end of `--steps`; raises Stopped after a checkpoint when asked to stop, Diverged where it did."""
        self.log = RunLog(self.folder)
        progress, total = self.progress, self.settings.steps
        self._clock = time.perf_counter() - progress.seconds
        self._logged = (time.perf_counter(), progress.environment_steps, progress.updates)
        with tqdm(
            total=total, initial=progress.environment_steps, unit="step", unit_scale=True, dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30, smoothing=0.05, desc=self.title,
        ) as self.bar:  # fmt: skip
            try:
                if self.observations is None:
                    self._open_episodes()
                if progress.owes is not None:
                    self._catch_up(progress.owes)
                while progress.environment_steps < total:
                    self._boundary()
                    self._decide()
                if progress.handled != progress.position:
                    self._boundary(last=True)
            except OSError as error:
                name = os.fsdecode(error.filename or "")
                if self.folder not in Path(name).parents:
                    raise  # the environment's, say
                raise NotSaved(f"{name}: {error.strerror}") from error
            except Diverged as error:
                self.log.write("diverged", self._counts(), {"quantity": error.quantity, "value": error.value})
                raise
            finally:
                self._attempt("end of TensorBoard's events", self.log.close)

    def _open_episodes(self) -> None:
        """First observations; after a resume without saved environments, open episodes end here as truncated."""
        environment, steps = self.parts.environment, self.progress.environment_steps
        anew = np.random.SeedSequence([self.settings.seed, steps]).generate_state(1)
        seeds = envs.spawn_seeds(int(anew[0]), environment.num_envs) if steps else None
        with self.calls.one():
            self.observations, _ = environment.reset(seed=seeds)  # type: ignore[arg-type]  # Gymnasium allows a list
        require_numbers("observation", self.observations)
        self.parts.replay.cut()
        for member, length in enumerate(self.progress.lengths):
            if length:
                self._end_episode(member, "truncated")

    def _decide(self) -> None:
        """One decision of every environment, and the updates owed for it."""
        parts, progress = self.parts, self.progress
        count = parts.environment.num_envs
        observations = self.observations
        assert observations is not None
        parts.agent.observe(observations)
        learning = progress.decisions >= self.settings.learning_starts
        actions = parts.agent.act(observations, explore=True) if learning else parts.agent.random_actions(count)
        if learning and len(parts.replay):
            self._update(self.ratio.owed(count))
        require_numbers("action", actions)
        with self.calls.one():
            following, rewards, terminated, truncated, infos = parts.environment.step(parts.to_environment(actions))
        true_next = envs.next_observations(following, infos)
        require_numbers("observation", true_next)
        require_numbers("reward", rewards)
        learned = parts.learned_rewards(rewards)
        parts.replay.add(observations, actions, learned, true_next, terminated, truncated)
        self.observations = following
        progress.decisions += count
        progress.environment_steps += count * self.settings.action_repeat
        self._count_episodes(rewards, terminated, infos.get("game_over", terminated | truncated))
        self.bar.update(min(count * self.settings.action_repeat, self.settings.steps - self.bar.n))

    def _update(self, owed: int) -> None:
        """The gradient updates owed, in blocks that end where an event is due."""
        progress = self.progress
        while owed:
            until_event = self.parts.manager.updates_until_event(progress.position)
            block = owed if until_event is None else min(owed, until_event)
            batches = self.parts.replay.sample(block, self.parts.batch_size, self.parts.replay_generator)
            metrics = self.parts.agent.update(batches, self.parts.manager)
            for name, value in metrics.items():
                self.sums[name] = self.sums.get(name, 0) + value * block
            self.summed_updates += block
            before = progress.position
            progress.updates += block
            owed -= block
            if block == until_event and self.parts.manager.due(before, progress.position):
                self._measure()  # the networks as the event finds them
                self._event(progress.position)
                progress.handled = replace(progress.handled, updates=progress.updates)

    def _count_episodes(self, rewards: np.ndarray, terminated: np.ndarray, over: np.ndarray) -> None:
        """Whole ones: where a lost life ends an episode for learning, the game goes on for the log."""
        progress = self.progress
        for member, reward in enumerate(rewards.tolist()):
            progress.returns[member] += reward
            progress.lengths[member] += self.settings.action_repeat
            if over[member]:
                self._end_episode(member, "terminated" if terminated[member] else "truncated")

    def _end_episode(self, member: int, ending: str) -> None:
        progress = self.progress
        progress.episodes += 1
        values = {"return": progress.returns[member], "length": progress.lengths[member], "ending": ending}
        self.log.write("episode", self._counts(), values)
        progress.returns[member], progress.lengths[member] = 0.0, 0

    def _counts(self) -> dict[str, int]:
        """Where the run is, in every unit that people count in."""
        frames = self.parts.world.frames_per_step
        return self.progress.counts() | ({"frames": frames * self.progress.environment_steps} if frames else {})

    # Boundaries

    def _boundary(self, last: bool = False) -> None:
        """Everything due between two decisions."""
        progress, settings = self.progress, self.settings
        before, now = progress.handled, progress.position
        stopping = self.stop_requested()
        requested = any(before.environment_steps < step <= now.environment_steps for step in settings.checkpoint_at)
        due = last or requested or stopping or (now.environment_steps and progress.passed(settings.checkpoint_every))
        if due and self.saved_at != now.environment_steps:
            self.save()
            self._draw(draw_measures, "measures.png")
        if stopping and not last:
            raise Stopped
        if last or (now.environment_steps and progress.passed(settings.log_every)):
            self._log_training()
        due_now = not last and self.parts.manager.due(before, now)
        trigger = self.parts.manager.triggered(self._measure(), now)
        evaluated = False
        try:
            if due_now or (trigger and not last):
                evaluated = self._event(now, "schedule" if due_now else str(trigger), may_break_off=True)
            if not evaluated and (last or progress.passed(settings.eval_every)):
                self._evaluate("scheduled", may_break_off=True)
        except BrokenOff as evaluation:
            self._owe(str(evaluation))
        if last:
            self._draw(draw_measures, "measures.png")
        progress.handled = now

    def _owe(self, occasion: str) -> None:
        """Stop with a checkpoint of this boundary: the one from its beginning, or else gone through but for this."""
        if self.saved_at != self.progress.environment_steps:
            self.progress.handled, self.progress.owes = self.progress.position, occasion
            self.save()
        raise Stopped

    def _catch_up(self, occasion: str) -> None:
        """Make the evaluation that a stop has broken off."""
        try:
            self._evaluate(occasion, may_break_off=True)
        except BrokenOff:
            self._owe(occasion)
        self.progress.owes = None

    def _draw(self, draw: Callable[[History, Path, str], Path | None], name: str) -> None:
        self._attempt(name, lambda: draw(self.log.history, self.folder, self.title))
        gc.collect()  # a picture leaves thousands of objects in cycles, which Python would keep for a long time

    def _attempt(self, what: str, do: Callable[[], object]) -> None:
        """What shows a run must not end it: graphics libraries and disks fail in ways of their own."""
        try:
            do()
        except Exception as error:
            self.bar.write(f"warning: no {what} ({type(error).__name__}: {error}); going on", file=sys.stderr)

    def _event(self, position: Position, cause: str = "schedule", may_break_off: bool = False) -> bool:
        """Evaluate, act on the networks, evaluate again: the cost and the dip are both on record.

        Not where evaluations would take more time than training, at events of a method closer than --eval-every.
        """
        manager, method = self.parts.manager, spell(self.parts.manager.intervention)
        before = manager.latest(method)
        since = position.environment_steps - before.environment_steps if before else math.inf
        evaluated = since >= self.settings.eval_every
        if evaluated:
            self._evaluate("before event")
        event = manager.act(position, self._losses() if manager.intervention.needs_loss else None)
        self._record(event, cause)
        for network in manager.networks.values():
            require_finite_tensors(network.module.named_parameters(), f"of the {network.name} after {method}")
        if evaluated:
            self._say(event, cause)
            self._evaluate("after event", may_break_off)
        return evaluated

    def _record(self, event: Event, cause: str) -> None:
        self.log.write("event", self._counts(), event.to_json() | {"cause": cause})
        for network in event.networks:
            self.log.network_report(network, self.progress.environment_steps)

    def _say(self, event: Event, cause: str) -> None:
        """One line of what the event did, by the method's own account where it gives one."""
        because = "" if cause == "schedule" else f" because {cause}"
        line = f"step {self.progress.environment_steps:,}: {event.method}{because} in {event.seconds:.2f} s, "
        if any(network.figures for network in event.networks):
            line += "; ".join(f"{network.name} {network.said()}" for network in event.networks)
        else:
            matrices = [matrix for network in event.networks for matrix in network.matrices]
            before, after = (sum(getattr(m, f"deviation_{when}") for m in matrices) for when in ("before", "after"))
            line += f"deviation from isometry {before:.4g} -> {after:.4g} (sum over {len(matrices)} weight matrices)"
        self.bar.write(line)

    def _measure(self) -> dict[str, float]:
        """Plasticity measures, where a multiple of --measure-every updates has passed; triggers look at them."""
        progress, every = self.progress, self.settings.measure_every
        if not every or progress.updates // every == progress.measured // every:
            return {}
        progress.measured = progress.updates
        values = self.parts.manager.measure(self._losses(), self.settings.measure_hessian)
        self.log.write("measures", self._counts(), values)
        if isinstance(self.ratio, AdaptiveRatio):
            self._observe(self.ratio, values)
        return values

    def _observe(self, ratio: AdaptiveRatio, measures: Mapping[str, float]) -> None:
        """Let the replay ratio follow the active units of the network that has a target, which is the critic."""
        critic = next(network.name for network in self.parts.manager.networks.values() if network.target is not None)
        before = ratio.ratio
        if f"{critic}/active" in measures and ratio.observe(measures[f"{critic}/active"]):
            self.log.write("ratio", self._counts(), {"replay_ratio": ratio.ratio})
            self.bar.write(f"step {self.progress.environment_steps:,}: replay ratio {before:g} -> {ratio.ratio:g}")

    def _losses(self) -> dict[str, Callable[[], Tensor]]:
        """The networks' losses on examples drawn by a stream of this moment's own: looking leaves the run as it is."""
        parts = self.parts
        if not len(parts.replay):
            return {}
        seeds = np.random.SeedSequence([parts.measure_seed, self.progress.updates]).generate_state(2, np.uint64)
        generator = torch.Generator(parts.replay_generator.device).manual_seed(int(seeds[0]))
        batch = parts.replay.sample(1, EXAMPLES, generator)
        return parts.agent.losses(Batch(*(tensor[0] for tensor in batch)), int(seeds[1]))

    def _evaluate(self, occasion: str, may_break_off: bool = False) -> None:
        """Evaluate; where it may break off, a stop is not kept waiting. Within a block of updates it may not."""
        parts = self.parts

        def act(observations: np.ndarray) -> np.ndarray:
            return parts.to_environment(parts.agent.act(observations, explore=False))

        def act_unless_stopped(observations: np.ndarray) -> np.ndarray:
            if may_break_off and self.stop_requested():
                raise BrokenOff(occasion)
            require_numbers("observation", observations)
            return act(observations)

        returns, lengths = parts.evaluation.run(act_unless_stopped, self.calls)
        mean = float(returns.mean())
        steps, steps_now = (lengths * self.settings.action_repeat).tolist(), self.progress.environment_steps
        values = {"return": mean, "returns": returns.tolist(), "lengths": steps, "occasion": occasion}
        score = envs.normalised_score(self.settings.env, mean)
        if score is not None:
            values["score"] = score
        self.log.write("evaluation", self._counts(), values)
        require_numbers("return of an evaluation", returns)
        self.progress.last_evaluation = mean
        self._show()
        self._draw(draw_curve, "curve.png")
        if (film := parts.film) is not None:
            path, explored = evaluation_video(self.folder, steps_now, occasion), parts.evaluation.explored(act)
            self._attempt(path.name, lambda: film.record(explored, parts.evaluation.seeds[0], path))

    def _means(self) -> dict[str, float]:
        """Of the training metrics since the last log line: where the host waits for the device."""
        if not self.summed_updates:
            return {}
        names = list(self.sums)
        means = torch.stack([self.sums[name] for name in names]) / self.summed_updates
        return dict(zip(names, means.tolist(), strict=True))

    def _log_training(self) -> None:
        means = self._means()
        values: dict[str, Any] = dict(means)
        now, progress = time.perf_counter(), self.progress
        then, steps, updates = self._logged
        elapsed = max(now - then, 1e-9)
        self._update_rate = (progress.updates - updates) / elapsed
        if isinstance(self.ratio, AdaptiveRatio):
            values["replay_ratio"] = self.ratio.ratio
        values |= {
            "seconds": now - self._clock,
            "steps_per_second": (progress.environment_steps - steps) / elapsed,
            "updates_per_second": self._update_rate,
        }
        self.log.write("train", self._counts(), values)
        require_finite(means)
        if progress.updates > updates and (warning := self.collapse.notice(self._update_rate)):
            self.bar.write(f"warning: {warning}", file=sys.stderr)
        self.sums, self.summed_updates = {}, 0
        self._logged = (now, progress.environment_steps, progress.updates)
        self._show()

    def _show(self) -> None:
        last = self.progress.last_evaluation
        evaluation = "" if last is None else f", last evaluation {last:.1f}"
        self.bar.set_postfix_str(f"{self._update_rate:.1f} updates/s{evaluation}", refresh=False)

    # State

    def save(self) -> None:
        """Write a checkpoint of this moment and delete those no longer kept."""
        parts, progress = self.parts, self.progress
        require_finite(self._means())
        agent = parts.agent.state_dict()
        kept = {f"manager.{name}": value for name, value in parts.manager.tensors().items()}
        require_finite_tensors([*agent.items(), *kept.items()], "of the agent, about to be written to a checkpoint")
        progress.seconds = time.perf_counter() - self._clock
        self.segments = tuple(parts.replay.save(self.folder / "replay", self.segments))
        tensors = {f"sums.{name}": value for name, value in self.sums.items()}
        tensors["generator.replay"] = parts.replay_generator.get_state()
        tensors |= kept
        if parts.resumable:
            state = parts.environment.get_state()  # type: ignore[attr-defined]
            tensors |= {f"environment.{name}": torch.from_numpy(np.asarray(value)) for name, value in state.items()}
            tensors["observations"] = torch.from_numpy(self.observations)
        values = Values(
            progress=progress,
            ratio=msgspec.convert(self.ratio.state_dict(), Ratio),
            manager=parts.manager.state_dict(),
            summed_updates=self.summed_updates,
            replay_added=parts.replay.added,
            file_sizes=self.log.sizes(),
        )
        checkpoint = Checkpoint(agent, tensors, values, self.segments)
        write_checkpoint(self.folder, progress.environment_steps, checkpoint, self.made_with)
        self.saved_at = progress.environment_steps
        prune(self.folder, [self.settings.reached(step) for step in self.settings.checkpoint_at])

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint's state into the parts; the log's files are the caller's to cut back."""
        parts, values, tensors = self.parts, checkpoint.values, checkpoint.tensors
        if {len(values.progress.returns), len(values.progress.lengths)} != {parts.environment.num_envs}:
            raise ValueError(f"it has open episodes of other than {parts.environment.num_envs} environments")
        # First what may turn out damaged, then the structure of the networks, then their tensors.
        parts.replay.load(self.folder / "replay", checkpoint.segments, values.replay_added)
        parts.manager.load_state_dict(values.manager)
        parts.agent.load_state_dict(checkpoint.agent)
        parts.manager.load_tensors(_named(tensors, "manager."))
        restore_generator(parts.replay_generator, tensors["generator.replay"])
        self.ratio.load_state_dict(msgspec.to_builtins(values.ratio))
        self.progress = values.progress
        self.saved_at = self.progress.environment_steps
        self.segments, self.summed_updates = checkpoint.segments, values.summed_updates
        self.sums = {name: value.to(parts.agent.device) for name, value in _named(tensors, "sums.").items()}
        if wrong := [name for name, value in self.sums.items() if value.shape or not value.isfinite()]:
            raise ValueError(f"the sum of {wrong[0]} is no number")
        if parts.resumable and "observations" in tensors:  # not in checkpoints of versions that did not save these
            state = {name: value.numpy() for name, value in _named(tensors, "environment.").items()}
            parts.environment.reset()
            parts.environment.set_state(**state)  # type: ignore[attr-defined]  # saved only where there is one
            self.observations = tensors["observations"].numpy()
            space = parts.environment.observation_space
            if (self.observations.shape, self.observations.dtype) != (space.shape, space.dtype):
                raise ValueError(f"its observations have the shape {self.observations.shape}, {space.shape} is needed")
            require_numbers("observation", self.observations)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with it, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
