"""Worker of a sweep with generations: the same trials with any number of workers, whoever is killed.

All trials of a generation are proposed before the first of them trains. Each trains to the next epoch at which the
pruner compares it, and waits there for the others; a worker trains several together if their models can be stacked.
When all have ended, their values are stored in the order of their numbers, and the next generation is proposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from optuna.trial import FrozenTrial, Trial, TrialState

from dlcli.api.sweeping.result import TrialResult
from dlcli.api.sweeping.stack import train_trials
from dlcli.api.sweeping.trial import TrialRun
from dlcli.api.sweeping.turn import DRAWN, KEPT, REACHED, can_train, find_numbers, read_generation, take_turn
from dlcli.api.sweeping.worker import Workplace, end_of, has_ended
from dlcli.config.schema import MedianPruner
from dlcli.sweeps.claims import Claim, ClaimLostError, is_awaited
from dlcli.sweeps.trials import write_end


def run_generations(place: Workplace) -> None:
    """Run trials until all are finished, or the time of the sweep is over; see `run_trials`."""
    while place.goes_on():
        with suppress(ClaimLostError):  # this process was suspended, and another worker goes on
            take_turn(place)
        if has_ended(place):
            return
        claims = _take(place)
        if claims:
            _run_claimed(place, claims)
        else:
            place.wait()


def _take(place: Workplace) -> list[Claim]:
    """Return trials that can train together and that no other worker trains; none if there are none."""
    numbers = find_numbers(place)
    trials = read_generation(place, numbers)
    if len(trials) < len(numbers) or not all(DRAWN in trial.user_attrs for trial in trials):
        return []
    waiting = [trial for trial in trials if can_train(trial)]
    for trial in waiting:
        if claim := _claim(place, trial):
            return [claim, *_claim_alike(place, trial, waiting)]
    return []


def _claim_alike(place: Workplace, first: FrozenTrial, waiting: Sequence[FrozenTrial]) -> list[Claim]:
    """Claim trials to stack with one that is claimed: with it, the share of a worker of all such trials.

    Workers of other commands are not counted, but if one waits for a trial, it gets a share.
    """
    alike = [trial for trial in waiting if _level(place, trial) == _level(place, first)]
    alike = [trial for trial in alike if place.can_stack(first, trial)]
    workers = place.workers + is_awaited(place.claims)
    share = min(math.ceil(len(alike) / workers), place.stackable(first).most)
    claims: list[Claim] = []
    for trial in alike:
        if len(claims) + 1 < share and trial.number != first.number and (claim := _claim(place, trial)):
            claims.append(claim)
    return claims


def _level(place: Workplace, trial: FrozenTrial) -> tuple[int, int]:
    """Return a value that is equal for trials that start from the same epoch, and are next compared at the same one."""
    return place.bracket(trial.number), trial.user_attrs.get(KEPT, 0)


def _claim(place: Workplace, trial: FrozenTrial) -> Claim | None:
    """Claim a trial; return None if another worker trains it, or has just trained it."""
    hold = place.claims.hold(trial)
    if hold is None:
        return None
    if can_train(place.study._storage.get_trial(trial._trial_id)):
        return Claim(Trial(place.study, trial._trial_id), hold, is_new=False)
    hold.release()
    return None


def _run_claimed(place: Workplace, claims: Sequence[Claim]) -> None:
    """Train trials to their next comparison or their end, as far as the time of the sweep allows."""
    if place.sweep.settings.seeds_per_trial > 1:
        [claim] = claims
        with claim, suppress(ClaimLostError):
            pause = _Pause(place, claim)
            _store(claim, pause, place.train(claim.trial, pause))
        return
    with place.training(*(claim.number for claim in claims)) as should_stop:
        train_trials([_opened(place, claim) for claim in claims], should_stop)


@contextmanager
def _opened(place: Workplace, claim: Claim) -> Iterator[TrialRun]:
    """Yield the run of a claimed trial; afterwards, store its result and free the claim."""
    with claim, suppress(ClaimLostError):
        pause = _Pause(place, claim)
        with place.run(claim.trial, pause) as run:
            yield run
        _store(claim, pause, run.result)


def _store(claim: Claim, pause: _Pause, result: TrialResult | None) -> None:
    """Store the end of a trial, or the epoch after which it waits; do nothing if the time of the sweep ended first."""
    if result is None:
        return
    claim.check()
    if result.state == "stopped":
        claim.trial.set_user_attr(REACHED, (pause.epoch, result.best_epoch, result.epochs))
    else:
        write_end(claim.trial, end_of(result))


class _Pause:
    """Epoch hook that stops a trial after the next epoch at which the pruner compares it.

    Args:
        place: Sweep, study and claims of the worker.
        claim: Claim on the trial.

    Attributes:
        epoch: Epoch after which the trial has stopped; 0 before.
    """

    def __init__(self, place: Workplace, claim: Claim) -> None:
        self._place, self._claim = place, claim
        self._kept = place.read(claim.trial).user_attrs.get(KEPT, 0)
        self._is_compared = _is_compared(place)
        self.epoch = 0

    def is_due(self, epoch: int) -> bool:
        """See `EpochHook`."""
        return self._is_compared and epoch > self._kept and self._place.is_level(self._claim.number, epoch)

    def stops(self, epoch: int, best: float) -> bool:
        """Report the best value after an epoch, and stop the trial."""
        self._claim.report(best, epoch)
        self.epoch = epoch
        return True


def _is_compared(place: Workplace) -> bool:
    """Return whether the pruner compares the trials of this generation; the median needs finished ones before."""
    pruner = place.sweep.settings.pruner
    if not isinstance(pruner, MedianPruner):
        return True
    return sum(trial.state == TrialState.COMPLETE for trial in place.read_all()) >= pruner.min_trials
