"""The driver of every run: it advances the work unit by unit, and at each boundary does what is due there.

The order at a boundary is: checkpoint, log, measures, event, evaluation. A checkpoint holds the state before the other
parts of its boundary, so that a run that continues from it does these parts itself.
"""

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

from fire_rl.fire import Position, spell

from .checkpoint import Checkpoint, Values, write_checkpoint
from .config import Config
from .divergence import Diverged, require_finite, require_finite_tensors, require_numbers
from .lines import AFTER, BEFORE, PHASE, SCHEDULED, EvaluationLine, Rhythm, Scheduled
from .log import in_words
from .made_with import MadeWith
from .output import printable
from .progress import Progress
from .pruning import prune
from .reporter import Reporter
from .sums import Sums
from .tracking.tracking import Tracking
from .work import Losses, State, Work, named

NEWEST = 1_000_000  # bytes of metrics that hold all lines of a decision


class Stopped(Exception):
    """The run was asked to stop; its checkpoint is written."""


class BrokenOff(Exception):
    """An evaluation was interrupted, because the run was asked to stop."""


class NotSaved(Exception):
    """The run's files cannot be written, for example because the disk is full."""


class Driver:
    """Drives the work of one run from its present position to the end."""

    def __init__(self, folder: Path, config: Config, work: Work, made_with: MadeWith | None = None) -> None:
        self.folder, self.config, self.settings, self.work = folder, config, config.run, work
        self.made_with = made_with  # settings, packages and machine, written into each checkpoint
        self.manager = config.manager(work)
        self._method = spell(self.manager.method)  # the name under which the manager keeps the method's latest event
        self.progress = Progress()
        self.saved_at: int | None = None  # the step of the newest checkpoint
        self.sums = Sums()  # of training metrics since the last log line
        self.tracking = Tracking()
        self.stop_requested: Callable[[], bool] = lambda: False
        self.on_evaluation: Callable[[int, float], object] = lambda step, value: None
        self.scheduled = Scheduled(Rhythm())  # the evaluations that `on_evaluation` is told of
        self.stopped_by_callback = False
        self._phase_starts = frozenset(config.run.phase_starts)
        self._unit_ends_at = 0  # the step that the run reaches with the unit of work that is being done
        self._kept_because = ""  # why older files of the replay cannot be deleted
        self.reporter: Reporter

    @property
    def position(self) -> Position:
        """Where the run is: its number of updates and its progress."""
        return Position(self.progress.updates, self.work.steps)

    def count_scheduled(self, rhythm: Rhythm) -> None:
        """Take over the newest evaluations of a run that is continued; `rhythm` says which ones are scheduled."""
        self.scheduled = Scheduled(rhythm)
        for line in self.config.reader.newest(self.folder, NEWEST):
            if isinstance(line, EvaluationLine) and line.value is not None:
                self.scheduled.add(line.steps, line.value, line.occasion)

    def train(self) -> None:
        """Run to the end of `--steps`.

        Raise Stopped, after a checkpoint, if the run was asked to stop; Diverged if a number is not finite; NotSaved if
        a file of the run cannot be written.
        """
        try:
            self.reporter = Reporter(self.folder, self.config, self.work, self.progress, self.tracking)
            with self.reporter.bar:
                try:
                    self._go_on()
                except Diverged as error:
                    values = {"quantity": error.quantity, "value": error.value}
                    self.reporter.attempt("line of the divergence", lambda: self.reporter.write("diverged", values))
                    self.reporter.draw_all(now=True)
                    raise
                finally:
                    self.reporter.attempt("end of TensorBoard's events", self.reporter.log.close)
        except OSError as error:
            name = os.fsdecode(error.filename or "")
            if not name or self.folder not in (Path(name), *Path(name).parents):
                raise  # not a file of the run; the error may come from the environment
            raise NotSaved(f"{name}: {error.strerror}") from error

    def _go_on(self) -> None:
        """Do one unit of work after the other, and at each boundary what is due there."""
        total, bar = self.settings.steps, self.reporter.bar
        self._unit_ends_at = self.settings.reached(self.work.steps + 1)
        self.work.begin(self.reporter)
        if self.progress.owes is not None:
            self._catch_up(self.progress.owes)
        while self.work.steps < total:
            self._boundary()
            self._unit_ends_at = self.settings.reached(self.work.steps + 1)
            self.work.advance(self._update)
            bar.update(min(self.work.steps, total) - bar.n)
        if self.progress.handled != self.position:
            self._boundary(last=True)

    def _update(self, owed: int) -> None:
        """Make the given number of gradient updates, in blocks that end where an event is due.

        An event that is due after the run's last update is left to the run's continuation, because nothing would be
        learned after it, and the run would end with networks that have just been reset.
        """
        progress = self.progress
        while owed:
            before = self.position
            until_event = self.manager.updates_until_event(before)
            block = owed if until_event is None else min(owed, until_event)
            self.sums.add(self.work.update(block, self.manager), block)
            progress.summed_updates += block
            progress.updates += block
            owed -= block
            if block == until_event and self._due(before):
                if not owed and max(self._unit_ends_at, self.work.steps) >= self.settings.steps:
                    if self._since_event(self.position) >= self.settings.eval_every:
                        self.reporter.say(f"{self._method} is due after the last update: it acts if the run continues")
                    return
                self._measure()  # the networks as they are before the event
                self._event(self.position)
                progress.handled_updates = progress.updates

    def _due(self, before: Position) -> bool:
        """Whether an event has become due since the position `before` and has not happened yet."""
        latest = self.manager.latest(self._method)
        if latest is not None and latest.progress > before.progress:
            before = Position(before.updates, latest.progress)
        return self.manager.due(before, self.position)

    # Boundaries

    def _boundary(self, last: bool = False) -> None:
        """Do everything that is due between two units of work."""
        progress, settings = self.progress, self.settings
        before, now = progress.handled, self.position
        stopping = self._stopping()
        requested = any(before.progress < step <= now.progress for step in settings.checkpoint_at)
        due = last or requested or stopping or (now.progress and self._passed(settings.checkpoint_every))
        if due and self.saved_at != now.progress:
            self.save()
            self.reporter.draw_all(now=stopping)
        if stopping and not last:
            raise Stopped
        if last or (now.progress and self._passed(settings.log_every)):
            self.reporter.write_training(self.sums.means(progress.summed_updates))
            self.sums, progress.summed_updates = Sums(), 0
        # A branch may begin where its trunk was stopped in an evaluation, after everything else of that boundary.
        due_now = not last and self._due(Position(before.updates, min(before.progress, now.progress - 1)))
        begins = not last and self._phase_begins and before.progress != now.progress
        trigger = self.manager.triggered(self._measure(begins), now)
        evaluated = False
        try:
            if due_now or (trigger and not last):
                evaluated = self._event(now, "schedule" if due_now else str(trigger), may_break_off=True)
            scheduled = last or self._passed(settings.eval_every)
            if not evaluated and (scheduled or begins):
                self._evaluate(SCHEDULED if scheduled else PHASE, may_break_off=True)
        except BrokenOff as evaluation:
            self._owe(str(evaluation))
        if last:
            self.reporter.draw_all(now=True)
        progress.handle(now)

    def _passed(self, every: int) -> bool:
        """Whether a multiple of `every` steps lies between the last boundary and now."""
        return self.progress.handled_steps // every < self.work.steps // every

    @property
    def _phase_begins(self) -> bool:
        """Whether a phase of data begins here: runs of all methods evaluate and measure there, as before an event."""
        return self.work.steps in self._phase_starts

    def _owe(self, occasion: str) -> None:
        """Stop, with a checkpoint of this boundary from which the interrupted evaluation is made on resuming.

        If a checkpoint was written at the beginning of this boundary, the resumed run repeats the boundary. Otherwise
        write one that notes that only this evaluation is missing.
        """
        if self.saved_at != self.work.steps:
            self.progress.handle(self.position)
            self.progress.owes = occasion
            self.save()
        self.reporter.draw_all(now=True)
        raise Stopped

    def _catch_up(self, occasion: str) -> None:
        """Make the evaluation that a stop interrupted."""
        try:
            self._evaluate(occasion, may_break_off=True)
        except BrokenOff:
            self._owe(occasion)
        self.progress.owes = None

    def _event(self, position: Position, cause: str = "schedule", may_break_off: bool = False) -> bool:
        """Evaluate, act on the networks and evaluate again, so that the dip is recorded; return whether that was done.

        If events are closer together than --eval-every, two evaluations of each would take more time than training.
        Then there is none after the event, and one before it only if a scheduled evaluation follows at once: if every
        scheduled evaluation came right after an event, the effect of the updates between events would never be seen.
        An event at the beginning of a phase of data always has both evaluations.
        """
        method = self.manager.method
        if not position.updates:
            self.reporter.say(f"{self._method} acts before the first update: nothing has been learned yet")
        evaluated = self._since_event(position) >= self.settings.eval_every or self._phase_begins
        if evaluated or (self._evaluation_follows() and not self.progress.looked_before):
            self._evaluate(BEFORE)
            self.progress.looked_before = True
        event = self.manager.act(position, self._losses() if method.needs_loss else None)
        place = {"updates": position.updates, self.settings.progress: position.progress}
        self.reporter.write("event", event.to_json() | {"position": place, "cause": cause})
        for report in event.networks:
            self.reporter.log.network_report(report, self.work.steps)
        if event.changed_weights:
            self.work.after_event()
        for network in self.manager.networks.values():
            require_finite_tensors(network.module.named_parameters(), f"of the {network.name} after {event.method}")
        if evaluated:
            self.reporter.say(in_words(event, cause))
            self._evaluate(AFTER, may_break_off)
        return evaluated

    def _since_event(self, position: Position) -> float:
        """Return the progress since the method's last event; infinity before the first one."""
        last = self.manager.latest(self._method)
        return position.progress - last.progress if last else math.inf

    def _evaluation_follows(self) -> bool:
        """Whether a scheduled evaluation is due at this boundary, or at the one after this decision's updates."""
        at_boundary = self.work.steps != self.progress.handled_steps
        following = self.work.steps if at_boundary else self._unit_ends_at
        every = self.settings.eval_every  # the end of the run does not count, because a longer --steps moves it
        return self.progress.handled_steps // every < following // every

    def _measure(self, phase_begins: bool = False) -> dict[str, float]:
        """Compute and log the plasticity measures if they are due, every --measure-every updates; else return none.

        The triggers of --reinit-when use the returned values.
        """
        progress, every = self.progress, self.settings.measure_every
        due = bool(every) and progress.updates // every != progress.measured // every
        if not due and not (every and phase_begins and progress.updates != progress.measured):
            return {}
        probing = self.settings.probes_due(progress.measured, progress.updates)
        progress.measured = progress.updates
        runs = self.work.runs(progress.updates)
        probes = self.work.probes(progress.updates) if probing else {}
        values = self.manager.measure(self._losses(), self.settings.measure_hessian, runs, probes)
        self.reporter.write("measures", values)
        self.work.heed(values)
        return values

    def _losses(self) -> Losses:
        return self.work.losses(self.progress.updates)

    def _evaluate(self, occasion: str, may_break_off: bool = False) -> None:
        """Evaluate and log the result.

        With `may_break_off`, a request to stop interrupts the evaluation; within a block of updates it must not. A
        callback does not: the run would stop where it stopped before each time it is resumed.
        """

        def pause() -> None:
            self.tracking.attend()
            if may_break_off and self.stop_requested():
                raise BrokenOff(occasion)

        values = self.work.evaluate(pause)
        value = values[self.config.metric.name]
        self.reporter.write("evaluation", values | {"occasion": occasion})
        require_numbers(f"{self.config.metric.name} of an evaluation", values.get(self.config.metric.plural, value))
        self.progress.last_evaluation = value
        self.reporter.show()
        self.reporter.draw_curve()
        self.work.show(self.folder, occasion, self._stopping)
        step = self.work.steps
        if self.scheduled.add(step, value, occasion) and self.on_evaluation(step, self.scheduled.values[step]):
            self.stopped_by_callback = True

    def _stopping(self) -> bool:
        self.tracking.attend()
        return self.stopped_by_callback or self.stop_requested()

    # State

    def save(self) -> None:
        """Write a checkpoint of this moment, and delete the older ones that are no longer kept."""
        require_finite(self.sums.means(self.progress.summed_updates))
        kept = {f"manager.{name}": value for name, value in self.manager.tensors().items()}
        learner = self.work.learner()
        require_finite_tensors([*learner.items(), *kept.items()], "of the agent, about to be written to a checkpoint")
        state = self.work.state(self.folder)
        self.progress.seconds = self.reporter.seconds
        sums = {f"sums.{name}": value for name, value in self.sums.by_name.items()}
        values = Values(self.progress, dict(state.values), self.manager.state_dict(), self.reporter.log.sizes())
        checkpoint = Checkpoint(learner, sums | dict(state.tensors) | kept, values, state.segments)
        write_checkpoint(self.folder, self.work.steps, checkpoint, self.made_with)
        self.saved_at = self.work.steps
        for warning in self.prune():
            self.reporter.bar.write(f"warning: {warning}", file=sys.stderr)

    def prune(self) -> list[str]:
        """Delete what is no longer kept of earlier checkpoints; return a warning, once, if that is not possible."""
        why = prune(self.folder, [self.settings.reached(step) for step in self.settings.checkpoint_at])
        new, self._kept_because = why != self._kept_because, why
        return [printable(why)] if why and new else []

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint; the caller cuts the log files back to their sizes at the checkpoint."""
        values, tensors = checkpoint.values, checkpoint.tensors
        state = State(tensors, values.work, checkpoint.segments)
        self.work.restore(self.folder, checkpoint.learner, state, lambda: self.manager.load_state_dict(values.manager))
        self.manager.load_tensors(named(tensors, "manager."))
        self.progress, self.saved_at = values.progress, self.work.steps
        self.sums = Sums({name: value.to(self.work.device) for name, value in named(tensors, "sums.").items()})
        if wrong := [name for name, value in self.sums.by_name.items() if value.shape or not value.isfinite()]:
            raise ValueError(f"the sum of {wrong[0]} is not a finite number")
