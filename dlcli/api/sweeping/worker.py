"""Worker of a sweep without generations: each trial is proposed when a worker is free."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from dlcli.api.sweeping.group_trial import GroupTrial
from dlcli.api.sweeping.losers import Losers, mark_pruned
from dlcli.api.sweeping.preparation import DataCache, Stackable, data_key, find_stackable
from dlcli.api.sweeping.result import EpochHook, TrialResult
from dlcli.api.sweeping.trial import TrialRun
from dlcli.config.load import LoadedConfig
from dlcli.config.schema import MedianPruner
from dlcli.errors import DeviceError, Interrupted
from dlcli.sweeps.claims import Claim, ClaimLostError, Claims, counts, take
from dlcli.sweeps.pruners import bracket, choose_pruned, is_level
from dlcli.sweeps.records import Ending, TrialEnd
from dlcli.sweeps.sweep import Sweep
from dlcli.sweeps.trials import read_end, write_end

_MOST_CONFIGS = 128  # to keep; more than the trials of a generation take memory only
WAIT_SECONDS = 0.1  # between two looks for a trial that a killed worker has left


@dataclass
class Workplace:
    """Sweep, study and claims of a worker.

    Attributes:
        sweep: The sweep.
        study: Its study, opened by this process.
        claims: Claims on its trials.
        should_stop: Returns the signal number of a stop request.
        on_change: Called when a trial has ended.
        cache: Data of earlier trials.
        losers: Trials whose checkpoints are not kept.
        workers: Number of workers of the command, which share the trials of a generation.
    """

    sweep: Sweep
    study: Study
    claims: Claims
    should_stop: Callable[[], int | None]
    on_change: Callable[[], None] = lambda: None
    cache: DataCache = field(default_factory=DataCache)
    losers: Losers = field(default_factory=Losers)
    workers: int = 1
    _configs: dict[int, LoadedConfig] = field(default_factory=dict)
    _stackable: dict[int, Stackable] = field(default_factory=dict)

    def train(self, trial: Trial, hook: EpochHook) -> TrialResult | None:
        """Train a trial until it ends, or the hook or the time of the sweep stops it; None for the latter.

        Raises:
            Interrupted: After a stop request; the trial is saved.
            DataError: If the data or the run cannot be used.
            DeviceError: If the device is missing, or its memory is too small.
        """
        seeds, result = self.sweep.settings.seeds_per_trial, None
        with self.training(trial.number) as should_stop:
            if seeds > 1:
                result = GroupTrial(self._path(trial), self.config(trial), seeds, hook, should_stop).train()
            else:
                with self.run(trial, hook) as run:
                    run.train(should_stop)
                result = run.result
        return result

    @contextmanager
    def training(self, *numbers: int) -> Iterator[Callable[[], int | None]]:
        """Yield what stops trials with these numbers, such as the end of the time, which is no error."""
        try:
            yield self.sweep.find_stop(self.should_stop)
        except Interrupted as error:
            if signum := self.should_stop():
                raise Interrupted(error.message, signum=signum) from error
        except DeviceError as error:
            hint = f"{error.hint}; or begin another sweep with a space without these settings"
            trials = f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {', '.join(map(str, numbers))}"
            raise DeviceError(f"{trials}: {error.message}", hint=hint) from error

    def run(self, trial: Trial, hook: EpochHook) -> TrialRun:
        """Return the run of a trial."""
        return TrialRun(self._path(trial), self.config(trial), hook, self.cache)

    def _path(self, trial: Trial) -> Path:
        return self.sweep.folder.trial(trial.number)

    def config(self, trial: Trial | FrozenTrial) -> LoadedConfig:
        """Return the config of a trial, whose parameters are drawn if they are not yet."""
        if trial.number not in self._configs:
            if len(self._configs) >= _MOST_CONFIGS:
                self._configs.clear()
            space = self.sweep.space
            values = space.draw(trial) if isinstance(trial, Trial) else space.overrides(trial.params)
            self._configs[trial.number] = self.sweep.config_of(values)
        return self._configs[trial.number]

    def can_stack(self, first: FrozenTrial, other: FrozenTrial) -> bool:
        """Return whether two trials have the same data, and models that can be stacked."""
        keys = [data_key(self.config(trial).config) for trial in (first, other)]
        kind = self.stackable(first).kind
        return keys[0] == keys[1] and kind is not None and self.stackable(other).kind == kind

    def stackable(self, trial: FrozenTrial) -> Stackable:
        """Return which trials can be stacked with a trial whose parameters are drawn; see `find_stackable`."""
        if self.sweep.settings.seeds_per_trial > 1:
            return Stackable()
        if trial.number not in self._stackable:
            self._stackable[trial.number] = find_stackable(self.config(trial), self.cache)
        return self._stackable[trial.number]

    def read(self, trial: Trial) -> FrozenTrial:
        """Return a trial as it is stored now."""
        return self.study._storage.get_trial(trial._trial_id)

    def read_all(self) -> list[FrozenTrial]:
        """Return all trials of the sweep that were begun, by number."""
        return self.study.get_trials(deepcopy=False)[: self.sweep.settings.trials]

    def is_level(self, number: int, epoch: int) -> bool:
        """Return whether the pruner compares a trial with others after an epoch."""
        return is_level(self.sweep.settings.pruner, number, self.sweep.epochs, epoch)

    def bracket(self, number: int) -> int:
        """Return the bracket of a trial; the pruner compares trials of the same one."""
        return bracket(self.sweep.settings.pruner, number, self.sweep.epochs)

    def goes_on(self) -> bool:
        """Return whether to run another trial; False once the time of the sweep is over.

        Raises:
            Interrupted: After a stop request.
        """
        if signum := self.should_stop():
            raise Interrupted("interrupted between two trials", signum=signum)
        return not self.sweep.is_over()

    def wait(self) -> None:
        """Wait for the trials of other workers, which may be killed, and show that this worker is free."""
        self.on_change()
        wait = self.claims.hold_wait()
        try:
            time.sleep(WAIT_SECONDS)
        finally:
            if wait is not None:
                wait.release()

    def end_trials(self) -> None:
        """Delete checkpoints of trials that have been told, and report them."""
        self.losers.delete(self.sweep, self.study)
        self.on_change()


def run_trials(place: Workplace) -> None:
    """Run trials until all are finished, or the time of the sweep is over.

    Raises:
        Interrupted: After a stop request; the trial is saved.
        DataError: If a trial or the storage cannot be used; other workers continue the trial.
        DeviceError: If a device is missing, or its memory is too small.
    """
    trials = place.sweep.settings.trials
    while place.goes_on():
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
        end = read_end(place.read(claim.trial)) or _train_claimed(place, claim)
        if end is None:
            return
        claim.tell(end.value if end.state == "finished" else None)
    place.end_trials()


def _train_claimed(place: Workplace, claim: Claim) -> TrialEnd | None:
    """Train a trial to its end, and store that; return None if the time of the sweep is over before."""
    result = place.train(claim.trial, _Pruning(place, claim))
    if result is None:
        return None
    if result.state == "stopped":
        mark_pruned(place.sweep.folder.trial(claim.number))
    end = end_of(result)
    write_end(claim.trial, end)
    return end


def end_of(result: TrialResult) -> TrialEnd:
    """Return the end of a trial whose training has ended, or was stopped for good."""
    state: Ending = "pruned" if result.state == "stopped" else result.state
    return TrialEnd(state, result.value, result.best_epoch, result.epochs)


class _Pruning:
    """Comparison of a trial with those that have reached the same epoch so far.

    Args:
        place: Sweep, study and claims of the worker.
        claim: Claim on the trial, which another worker may have trained further.
    """

    def __init__(self, place: Workplace, claim: Claim) -> None:
        self._place, self._claim = place, claim
        self._reported = place.read(claim.trial).last_step or 0

    def is_due(self, epoch: int) -> bool:
        """See `EpochHook`."""
        return epoch >= self._reported and self._place.is_level(self._claim.number, epoch)

    def stops(self, epoch: int, best: float) -> bool:
        """Report the best value after an epoch, and return whether to prune the trial."""
        self._claim.report(best, epoch)
        sweep = self._place.sweep
        chosen = choose_pruned(sweep.settings.pruner, self._values(epoch), higher_is_better=sweep.loaded.is_maximized)
        return self._claim.number in chosen

    def _values(self, epoch: int) -> dict[int, float]:
        """Return the values of the contenders after an epoch; none if too few trials have finished for the median."""
        place, own, pruner = self._place, self._claim.number, self._place.sweep.settings.pruner
        trials = [trial for trial in place.read_all() if epoch in trial.intermediate_values]
        trials = [trial for trial in trials if place.bracket(trial.number) == place.bracket(own)]
        if isinstance(pruner, MedianPruner):
            trials = [trial for trial in trials if trial.number == own or trial.state == TrialState.COMPLETE]
            if len(trials) <= pruner.min_trials:
                return {}
        return {trial.number: trial.intermediate_values[epoch] for trial in trials}
