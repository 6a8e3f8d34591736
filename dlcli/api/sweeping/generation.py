"""Worker of a sweep with generations: the same trials with any number of workers, whoever is killed.

All trials of a generation are proposed before the first of them trains. Each trains to the next epoch at which the
pruner compares it, and waits there for the others; a worker trains several together if their models can be stacked.
When all have ended, their values are stored in the order of their numbers, and the next generation is proposed. One
worker at a time proposes, compares and tells. Each of these depends on stored values only, so another worker can repeat
or finish it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from optuna.trial import FrozenTrial, Trial, TrialState

from dlcli.api.sweeping.stack import train_trials
from dlcli.api.sweeping.trial import TrialResult, TrialRun, mark_pruned
from dlcli.api.sweeping.worker import Workplace, end_of, has_ended
from dlcli.config.schema import MedianPruner
from dlcli.sweeps.claims import Claim, ClaimLostError, Turn
from dlcli.sweeps.pruners import choose_pruned
from dlcli.sweeps.records import TrialEnd
from dlcli.sweeps.trials import read_end, reopen_trial, write_end

_DRAWN = "drawn"  # user attributes of a trial: whether all its parameters are drawn,
_REACHED = "reached"  # epoch after which it waits for the others, and its best epoch and number of epochs until then,
_KEPT = "kept"  # epoch after which it was compared and continues


def run_generations(place: Workplace) -> None:
    """Run trials until all are finished, or the time of the sweep is over; see `run_trials`."""
    while place.goes_on():
        with suppress(ClaimLostError):  # this process was suspended, and another worker goes on
            _take_turn(place)
        if has_ended(place):
            return
        claims = _take(place)
        if claims:
            _run_claimed(place, claims)
        else:
            place.wait()


def _take_turn(place: Workplace) -> None:
    """Propose, compare and tell as far as possible, unless another worker does."""
    turn = place.claims.hold_turn()
    if turn is None:
        return
    try:
        _advance(place, turn)
    finally:
        turn.release()


def _numbers(place: Workplace) -> range:
    """Return the numbers of the first generation that has not been told; empty if all have been."""
    settings = place.sweep.settings
    assert settings.generation is not None, "a sweep with generations"
    states = [trial.state for trial in place.read_all()]
    told = next((number for number, state in enumerate(states) if not state.is_finished()), len(states))
    first = told - told % settings.generation
    return range(first, min(first + settings.generation, settings.trials)) if told < settings.trials else range(0)


def _read(place: Workplace, numbers: range) -> list[FrozenTrial]:
    """Return the trials with these numbers that were begun."""
    return place.study.get_trials(deepcopy=False)[numbers.start : numbers.stop]


def _advance(place: Workplace, turn: Turn) -> None:
    while numbers := _numbers(place):
        _propose(place, turn, numbers)
        _compare(place, turn, numbers)
        trials = _read(place, numbers)
        if any(read_end(trial) is None for trial in trials):
            return
        for trial in trials:
            turn.check()
            _tell(place, trial)
        place.end_trials()


def _propose(place: Workplace, turn: Turn, numbers: range) -> None:
    """Draw the parameters of all trials of a generation, in order."""
    begun = {trial.number: trial for trial in _read(place, numbers)}
    for number in numbers:
        if number in begun and _DRAWN in begun[number].user_attrs:
            continue
        turn.check()
        trial = reopen_trial(place.study, begun[number]) if number in begun else place.study.ask()
        assert trial.number == number, "one worker at a time proposes"
        place.sweep.space.draw(trial)
        trial.set_user_attr(_DRAWN, True)


def _compare(place: Workplace, turn: Turn, numbers: range) -> None:
    """Compare trials after each epoch that all of their bracket have reached, and store which are pruned."""
    for number in dict.fromkeys(place.bracket(number) for number in numbers):
        while trials := _find_contenders(place, numbers, number):
            turn.check()
            _choose(place, *trials)


def _find_contenders(place: Workplace, numbers: range, number: int) -> tuple[int, list[FrozenTrial]] | None:
    """Return the first epoch after which trials of a bracket wait, and the trials to compare then.

    Returns:
        None if no trial waits, or one of them has not reached the epoch.
    """
    trials = [trial for trial in _read(place, numbers) if place.bracket(trial.number) == number]
    waiting = [_reached(trial) for trial in trials if read_end(trial) is None and not _can_train(trial)]
    if not waiting:
        return None
    epoch = min(waiting)
    contenders = [trial for trial in trials if not _left_before(trial, epoch)]
    if all(read_end(trial) or _reached(trial) >= epoch for trial in contenders):
        return epoch, contenders
    return None


def _left_before(trial: FrozenTrial, epoch: int) -> bool:
    """Return whether a trial diverged or was pruned before it reached an epoch."""
    end = read_end(trial)
    return end is not None and end.state != "finished" and _reached(trial) < epoch


def _choose(place: Workplace, epoch: int, contenders: Sequence[FrozenTrial]) -> None:
    """Store which trials continue after an epoch. A worker that is killed here leaves the rest to the next one."""
    values = {trial.number: _value_at(trial, epoch) for trial in contenders}
    chosen = choose_pruned(place.sweep.settings.pruner, values, higher_is_better=place.sweep.loaded.is_maximized)
    for trial in contenders:
        if read_end(trial) is None and _reached(trial) == epoch:
            _decide(place, trial, epoch, is_pruned=trial.number in chosen)


def _value_at(trial: FrozenTrial, epoch: int) -> float:
    """Return the best value of a trial up to an epoch, or of all its epochs if it has fewer."""
    if epoch in trial.intermediate_values:
        return trial.intermediate_values[epoch]
    end = read_end(trial)
    assert end is not None, "it has ended before"
    assert end.value is not None, "it has trained an epoch"
    return end.value


def _decide(place: Workplace, trial: FrozenTrial, epoch: int, *, is_pruned: bool) -> None:
    """Store whether a trial continues after an epoch."""
    running = Trial(place.study, trial._trial_id)
    if not is_pruned:
        running.set_user_attr(_KEPT, epoch)
        return
    mark_pruned(place.sweep.folder.trial(trial.number))
    _, best, epochs = trial.user_attrs[_REACHED]
    write_end(running, TrialEnd("pruned", trial.intermediate_values[epoch], best, epochs))


def _tell(place: Workplace, trial: FrozenTrial) -> None:
    """Tell the end of a trial to the study, unless a worker that was killed has."""
    end = read_end(trial)
    assert end is not None, "all trials have ended"
    if trial.state.is_finished():
        return
    is_finished = end.state == "finished"
    place.study.tell(
        trial.number,
        end.value if is_finished else None,
        TrialState.COMPLETE if is_finished else TrialState.PRUNED,
    )


def _take(place: Workplace) -> list[Claim]:
    """Return trials that can train together and that no other worker trains; none if there are none."""
    numbers = _numbers(place)
    trials = _read(place, numbers)
    if len(trials) < len(numbers) or not all(_DRAWN in trial.user_attrs for trial in trials):
        return []
    waiting = [trial for trial in trials if _can_train(trial)]
    for trial in waiting:
        if claim := _claim(place, trial):
            return [claim, *_claim_alike(place, trial, waiting)]
    return []


def _claim_alike(place: Workplace, first: FrozenTrial, waiting: Sequence[FrozenTrial]) -> list[Claim]:
    """Claim trials to stack with one that is claimed: with it, the share of a worker of all such trials."""
    alike = [trial for trial in waiting if _level(place, trial) == _level(place, first)]
    alike = [trial for trial in alike if place.can_stack(first, trial)]
    share = min(math.ceil(len(alike) / place.workers), place.stackable(first).most)
    claims: list[Claim] = []
    for trial in alike:
        if len(claims) + 1 < share and trial.number != first.number and (claim := _claim(place, trial)):
            claims.append(claim)
    return claims


def _level(place: Workplace, trial: FrozenTrial) -> tuple[int, int]:
    """Return a value that is equal for trials that start from the same epoch, and are next compared at the same one."""
    return place.bracket(trial.number), trial.user_attrs.get(_KEPT, 0)


def _claim(place: Workplace, trial: FrozenTrial) -> Claim | None:
    """Claim a trial; return None if another worker trains it, or has just trained it."""
    hold = place.claims.hold(trial)
    if hold is None:
        return None
    if _can_train(place.study._storage.get_trial(trial._trial_id)):
        return Claim(Trial(place.study, trial._trial_id), hold, is_new=False)
    hold.release()
    return None


def _can_train(trial: FrozenTrial) -> bool:
    return read_end(trial) is None and trial.user_attrs.get(_KEPT, 0) >= _reached(trial)


def _reached(trial: FrozenTrial) -> int:
    """Return the epoch after which a trial waits for the others, or has waited last; 0 if it has not yet."""
    epoch: int = trial.user_attrs.get(_REACHED, (0,))[0]
    return epoch


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
    """Store that a trial waits for its comparison, or its end; nothing if the time of the sweep was over before."""
    if result is None:
        return
    claim.check()
    if result.state == "stopped":
        claim.trial.set_user_attr(_REACHED, (pause.epoch, result.best_epoch, result.epochs))
    else:
        write_end(claim.trial, end_of(result))


class _Pause:
    """Stop of a trial after the next epoch at which it is compared.

    Args:
        place: Where the worker works.
        claim: Claim on the trial.

    Attributes:
        epoch: That epoch, once the trial has reached it.
    """

    def __init__(self, place: Workplace, claim: Claim) -> None:
        self._place, self._claim = place, claim
        self._kept = place.read(claim.trial).user_attrs.get(_KEPT, 0)
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
