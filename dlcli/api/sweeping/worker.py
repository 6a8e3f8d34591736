"""Worker of a sweep without generations: each trial is proposed when a worker is free."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from optuna import Study
from optuna.trial import Trial

from dlcli.api.sweeping.trial import DataCache, EpochHook, TrialResult, TrialRun, delete_checkpoints, mark_pruned
from dlcli.errors import Interrupted
from dlcli.sweeps.claims import Claim, ClaimLostError, Claims, counts, take
from dlcli.sweeps.pruners import is_level
from dlcli.sweeps.records import Ending, TrialEnd, rank
from dlcli.sweeps.sweep import Sweep
from dlcli.sweeps.trials import read_trials, write_end

_STOP = signal.SIGTERM  # stops a trial at the end of the time, as a signal does
WAIT_SECONDS = 0.1  # between two looks for a trial that a killed worker has left


@dataclass
class Workplace:
    """What a worker of a sweep works with.

    Attributes:
        sweep: The sweep.
        study: Its study, opened by this process.
        claims: Claims on its trials.
        should_stop: Returns the signal number of a stop request.
        on_change: Called when a trial has ended.
        cache: Data of earlier trials.
    """

    sweep: Sweep
    study: Study
    claims: Claims
    should_stop: Callable[[], int | None]
    on_change: Callable[[], None] = lambda: None
    cache: DataCache = field(default_factory=DataCache)

    def train(self, trial: Trial, hook: EpochHook) -> TrialResult | None:
        """Train a trial until it ends, or the hook or the time of the sweep stops it; None for the latter.

        Raises:
            Interrupted: After a stop request; the trial is saved.
            DataError: If the data or the run cannot be used.
            DeviceError: If the device is missing, or its memory is too small.
        """
        config = self.sweep.config_of(self.sweep.space.draw(trial))
        path = self.sweep.folder.trial(trial.number)
        try:
            return TrialRun(path, config, hook, self._find_stop, self.cache).train()
        except Interrupted as error:
            if signum := self.should_stop():
                raise Interrupted(error.message, signum=signum) from error
            return None

    def _find_stop(self) -> int | None:
        return self.should_stop() or (_STOP if self.sweep.is_over() else None)

    def wait(self) -> None:
        """Wait for the trials of other workers, which may be killed.

        Raises:
            Interrupted: After a stop request.
        """
        if signum := self.should_stop():
            raise Interrupted("interrupted while other workers run the last trials", signum=signum)
        self.on_change()
        time.sleep(WAIT_SECONDS)

    def end_trials(self) -> None:
        """Delete checkpoints of trials that have been told, and report them."""
        self.delete_checkpoints()
        self.on_change()

    def delete_checkpoints(self) -> None:
        """Delete the checkpoints of the trials that have ended and are not among the best."""
        records = read_trials(self.study, self.sweep)
        ranked = rank(records, higher_is_better=self.sweep.loaded.is_maximized)
        kept = {record.number for record in ranked[: self.sweep.settings.keep]}
        for record in records:
            if record.has_ended and record.number not in kept:
                delete_checkpoints(self.sweep.folder.trial(record.number))


def run_trials(place: Workplace) -> None:
    """Run trials until all are finished, or the time of the sweep is over.

    Raises:
        Interrupted: After a stop request; the trial is saved.
        DataError: If a trial or the storage cannot be used; other workers go on with the trial.
        DeviceError: If a device is missing, or its memory is too small.
    """
    trials = place.sweep.settings.trials
    while not place.sweep.is_over():
        claim = take(place.study, place.claims, trials)
        if claim is not None:
            _run_claimed(place, claim)
        elif has_ended(place):
            return
        else:
            place.wait()


def has_ended(place: Workplace) -> bool:
    """Return whether all trials have ended."""
    found = counts(place.study, place.sweep.settings.trials)
    return found.running + found.waiting == 0


def _run_claimed(place: Workplace, claim: Claim) -> None:
    """Run a trial as far as the time of the sweep allows, and tell its end."""
    with claim, suppress(ClaimLostError):  # this process was suspended, and another worker has the trial now
        path = place.sweep.folder.trial(claim.number)
        result = place.train(claim.trial, _Pruning(place.sweep, claim).handle)
        if result is None:
            return
        if result.state == "stopped":
            mark_pruned(path)
        end = end_of(result)
        write_end(claim.trial, end)
        if end.state == "diverged":  # worse than any value, so that the sampler stays away
            claim.trial.report(math.nan, end.epochs + 1)
        claim.tell(end.value if end.state == "finished" else None)
    place.end_trials()


def end_of(result: TrialResult) -> TrialEnd:
    """Return the end of a trial whose training has ended, or was stopped for good."""
    state: Ending = "pruned" if result.state == "stopped" else result.state
    return TrialEnd(state, result.value, result.best_epoch, result.epochs)


class _Pruning:
    """Reports of a trial to the pruner, which may have been made by a worker that was killed.

    Args:
        sweep: The sweep.
        claim: Claim on the trial.
    """

    def __init__(self, sweep: Sweep, claim: Claim) -> None:
        self._pruner, self._claim = sweep.settings.pruner, claim
        self._reported = claim.trial.storage.get_trial(claim.trial._trial_id).last_step or 0

    def handle(self, epoch: int, best: float) -> bool:
        """Report the best value after an epoch, and return whether to prune the trial."""
        if not is_level(self._pruner, epoch) or epoch < self._reported:
            return False
        self._claim.check()
        if epoch > self._reported:
            self._claim.trial.report(best, epoch)
            self._reported = epoch
        return self._claim.trial.should_prune()
