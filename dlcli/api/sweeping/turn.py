"""Turns of the workers of a generation: one at a time proposes its trials, compares them and tells their ends.

Each of these depends on stored values only, so another worker can repeat or finish it.
"""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial, Trial, TrialState

from dlcli.api.sweeping.losers import mark_pruned
from dlcli.api.sweeping.worker import Workplace
from dlcli.sweeps.claims import Turn
from dlcli.sweeps.pruners import choose_pruned
from dlcli.sweeps.records import TrialEnd
from dlcli.sweeps.trials import read_end, reopen_trial, write_end

# User attributes of a trial.
DRAWN = "drawn"  # whether all parameters are drawn
REACHED = "reached"  # last epoch after which the trial waits for the others, its best epoch, its number of epochs
KEPT = "kept"  # last epoch after which the trial was compared and may continue


def take_turn(place: Workplace) -> None:
    """Propose, compare and tell as far as possible, unless another worker does."""
    turn = place.claims.hold_turn()
    if turn is None:
        return
    try:
        _advance(place, turn)
    finally:
        turn.release()


def find_numbers(place: Workplace) -> range:
    """Return the numbers of the first generation that has not been told; empty if all have been."""
    settings = place.sweep.settings
    assert settings.generation is not None, "a sweep with generations"
    states = [trial.state for trial in place.read_all()]
    told = next((number for number, state in enumerate(states) if not state.is_finished()), len(states))
    first = told - told % settings.generation
    return range(first, min(first + settings.generation, settings.trials)) if told < settings.trials else range(0)


def read_generation(place: Workplace, numbers: range) -> list[FrozenTrial]:
    """Return the trials with these numbers that were begun."""
    return place.study.get_trials(deepcopy=False)[numbers.start : numbers.stop]


def _advance(place: Workplace, turn: Turn) -> None:
    while numbers := find_numbers(place):
        _propose(place, turn, numbers)
        _compare(place, turn, numbers)
        trials = read_generation(place, numbers)
        if any(read_end(trial) is None for trial in trials):
            return
        for trial in trials:
            turn.check()
            _tell(place, trial)
        place.end_trials()


def _propose(place: Workplace, turn: Turn, numbers: range) -> None:
    """Draw the parameters of all trials of a generation, in order."""
    begun = {trial.number: trial for trial in read_generation(place, numbers)}
    for number in numbers:
        if number in begun and DRAWN in begun[number].user_attrs:
            continue
        turn.check()
        trial = reopen_trial(place.study, begun[number]) if number in begun else place.study.ask()
        assert trial.number == number, "one worker at a time proposes"
        place.sweep.space.draw(trial)
        trial.set_user_attr(DRAWN, True)


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
    trials = [trial for trial in read_generation(place, numbers) if place.bracket(trial.number) == number]
    waiting = [_reached(trial) for trial in trials if read_end(trial) is None and not can_train(trial)]
    if not waiting:
        return None
    epoch = min(waiting)
    contenders = [trial for trial in trials if not _left_before(trial, epoch)]
    if all(read_end(trial) or _has_waited(trial, epoch) for trial in contenders):
        return epoch, contenders
    return None


def _has_waited(trial: FrozenTrial, epoch: int) -> bool:
    """Return whether a trial has reached an epoch, and its value there is known.

    A database is read in several queries, so that the attributes of a trial may be newer than its values.
    """
    return _reached(trial) >= epoch and epoch in trial.intermediate_values


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
        running.set_user_attr(KEPT, epoch)
        return
    mark_pruned(place.sweep.folder.trial(trial.number))
    _, best, epochs = trial.user_attrs[REACHED]
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


def can_train(trial: FrozenTrial) -> bool:
    """Return whether a trial has neither ended nor waits for a comparison."""
    return read_end(trial) is None and trial.user_attrs.get(KEPT, 0) >= _reached(trial)


def _reached(trial: FrozenTrial) -> int:
    """Return the last epoch after which a trial waits or has waited for the others; 0 if there is none."""
    epoch: int = trial.user_attrs.get(REACHED, (0,))[0]
    return epoch
