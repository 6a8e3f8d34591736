"""Training of several trials together in one process: the same files as one by one, in less time.

Each trial keeps its own lock, log, checkpoints and claim. A trial that ends or is lost leaves the stack; the others
continue.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial

from dlcli.api.sweeping.trial import TrialRun
from dlcli.errors import Interrupted
from dlcli.training.device import convert_memory_errors
from dlcli.training.events import EpochEnded, Event
from dlcli.training.isolation import isolated
from dlcli.training.requests import Answer
from dlcli.training.together.lockstep import Lockstep
from dlcli.training.together.plan import Kind, place
from dlcli.training.together.stepped import SteppedFit

ShouldStop = Callable[[], int | None]


def train_trials(contexts: Sequence[AbstractContextManager[TrialRun]], should_stop: ShouldStop) -> None:
    """Train several trials, stacked if their models and positions allow it.

    Args:
        contexts: Contexts of the trials; each is left as soon as its trial ends or fails.
        should_stop: Returns the signal number of a stop request.

    Raises:
        Interrupted: After a stop request; all trials are saved.
        DataError: If a trial cannot be used; the others are saved.
        DeviceError: If the memory is too small.
    """
    with ExitStack() as all_trials:
        trials = [all_trials.enter_context(_Trial(context)) for context in contexts]
        for trial in trials:
            trial.attempt(trial.run.open)
        groups: dict[Kind | None, list[_Trial]] = {}
        for trial in trials:
            if not trial.is_left:
                groups.setdefault(place(trial.run.member).kind, []).append(trial)
        for kind, alike in groups.items():
            if kind is not None and len(alike) > 1:
                _train_stack(alike, should_stop)
            else:
                for trial in alike:
                    trial.attempt(partial(trial.run.train_open, should_stop))


class _Trial(ExitStack):
    """One of several trials, as the context of its run.

    Args:
        context: Context of the run.

    Attributes:
        run: The run.
        is_left: Whether the context has ended.
    """

    def __init__(self, context: AbstractContextManager[TrialRun]) -> None:
        super().__init__()
        self.run = self.enter_context(context)
        self.is_left = False

    def attempt(self, action: Callable[[], bool | None]) -> None:
        """Do a part of the training; end the context if it returns True, or with the error that it raises."""
        try:
            has_ended = action()
        except Exception as error:
            self.leave(error)
        else:
            if has_ended:
                self.leave()

    def leave(self, error: Exception | None = None) -> None:
        """End the context, with an error that is raised unless the context handles it."""
        self.is_left = True
        if error is None:
            self.close()
        elif not self.__exit__(type(error), error, error.__traceback__):
            raise error


def _train_stack(trials: Sequence[_Trial], should_stop: ShouldStop) -> None:
    """Train open trials of one kind with stacked steps."""
    with convert_memory_errors(trials[0].run.member.config):
        trainings = {SteppedFit(trial.run.member): trial for trial in trials}
        records = {trial: partial(trial.run.record, training.fit, len(trials)) for training, trial in trainings.items()}
        _attempt_all(records, should_stop)
        lockstep = Lockstep(list(trainings))
        while answers := lockstep.answers():
            parts = {
                trainings[training]: partial(_proceed, training, answer, len(answers)) for training, answer in answers
            }
            with isolated(threads=1):
                _attempt_all({trial: partial(part, trial.run) for trial, part in parts.items()}, should_stop)
            for training, trial in trainings.items():
                training.has_ended = trial.is_left


def _proceed(training: SteppedFit, answer: Answer | None, sharing: int, run: TrialRun) -> bool:
    """Continue one of several trainings to its next request; return whether the trial has ended or is stopped."""
    return any(run.handle(_share_time(event, sharing)) for event in training.proceed(answer))


def _share_time(event: Event, sharing: int) -> Event:
    """Return an event with the time that a training took, of the time that several took together."""
    if not isinstance(event, EpochEnded):
        return event
    seconds, speed = event.epoch_seconds / sharing, event.examples_per_second * sharing
    return replace(event, epoch_seconds=seconds, examples_per_second=speed)


def _attempt_all(actions: Mapping[_Trial, Callable[[], bool | None]], should_stop: ShouldStop) -> None:
    """Do a part of each training. After an error or a stop request, save all that have not ended, and raise it.

    The error waits until all parts are done: only then does the position of each training agree with its parameters.
    """
    failures: list[Exception] = []
    for trial, action in actions.items():
        try:
            trial.attempt(action)
        except Exception as error:
            failures.append(error)
    signum = should_stop()
    if not failures and not signum:
        return
    stop = Interrupted("interrupted", signum=signum or signal.SIGTERM)
    for trial in actions:
        try:
            if not trial.is_left:
                trial.leave(stop)
        except Interrupted:
            continue
        except Exception as error:
            failures.append(error)
    raise failures[0] if failures else stop
