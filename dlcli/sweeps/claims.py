"""Claims: the right of one worker to run one trial.

Before a worker asks for a new trial, it continues trials that other workers have abandoned. Only the worker that holds
the claim finishes a trial, so each trial is run by one worker at a time and finished once. Wherever in a trial a worker
is killed, the trial stays RUNNING and its claim becomes free.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState


class ClaimLostError(Exception):
    """Error that another worker has taken over a claim; the trial must be stopped without a result."""


class Turn(Protocol):
    """Exclusive right of one worker to propose, compare and finish the trials of a study."""

    def check(self) -> None:
        """Raise ClaimLostError if another worker has taken over the right."""

    def release(self) -> None:
        """Release the right."""


class Hold(Turn, Protocol):
    """Claim on one trial, held by this worker."""

    def keep(self) -> AbstractContextManager[None]:
        """Check the claim, and prevent other workers from taking it over within the context."""


class Claims(Protocol):
    """Claims on the trials of one study."""

    def hold(self, trial: FrozenTrial) -> Hold | None:
        """Claim a trial; return None if another worker holds it."""

    def hold_turn(self) -> Turn | None:
        """Claim the right to change the study for all workers; return None if another worker holds it."""

    def hold_wait(self) -> Turn | None:
        """Show other workers that this one waits for a trial; return None if another one does."""


def is_awaited(claims: Claims) -> bool:
    """Return whether another worker waits for a trial."""
    wait = claims.hold_wait()
    if wait is not None:
        wait.release()
    return wait is None


class Claim:
    """Claimed trial of a study, as a context that frees the claim at its end.

    Attributes:
        trial: Trial to draw parameters from.
        is_new: Whether no worker has begun the trial before.
    """

    def __init__(self, trial: Trial, hold: Hold, *, is_new: bool) -> None:
        self.trial = trial
        self.is_new = is_new
        self._hold = hold
        self._reported = set(trial.study._storage.get_trial(trial._trial_id).intermediate_values)

    @property
    def number(self) -> int:
        """Number of the trial, from 0."""
        return self.trial.number

    def check(self) -> None:
        """Check that no other worker has taken the trial over, as it may if this worker shows no sign of life.

        Raises:
            ClaimLostError: If another worker has taken the trial over.
        """
        self._hold.check()

    def report(self, value: float, epoch: int) -> None:
        """Report the value of an epoch to the pruner, unless it was reported before the trial was taken over.

        Raises:
            ClaimLostError: If another worker has taken the trial over.
        """
        self.check()
        if epoch not in self._reported:
            self.trial.report(value, epoch)
            self._reported.add(epoch)

    def tell(self, value: float | None) -> None:
        """Finish the trial: with a value as COMPLETE, without one as PRUNED.

        Raises:
            ClaimLostError: If another worker has taken the trial over.
        """
        study = self.trial.study
        with self._hold.keep():
            if _state(study, self.trial._trial_id) != TrialState.RUNNING:
                raise ClaimLostError
            study.tell(self.trial, value, TrialState.PRUNED if value is None else TrialState.COMPLETE)

    def release(self) -> None:
        """Free the claim; if the trial is not finished, another worker can continue it."""
        self._hold.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.release()


def take(study: Study, claims: Claims, trials: int) -> Claim | None:
    """Return a trial to run: the first one that a worker has abandoned, otherwise a new one.

    Args:
        study: Study from `open_study`.
        claims: Claims on its trials.
        trials: Number of trials of the sweep. A trial whose number is not less becomes WAITING, and is used if the
            sweep gets more trials.

    Returns:
        The claimed trial; None if all trials are finished or run by other workers.
    """
    while True:
        for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if claim := _claim(study, claims, left, trials):
                return claim
        if not _remaining(study, trials):
            return None
        new = study.ask()
        if claim := _claim(study, claims, study._storage.get_trial(new._trial_id), trials, new):
            return claim


def _claim(study: Study, claims: Claims, found: FrozenTrial, trials: int, new: Trial | None = None) -> Claim | None:
    """Claim a trial; return None if another worker holds it, it is finished, or its number is beyond the sweep."""
    hold = claims.hold(found)
    if hold is None:
        return None
    with ExitStack() as stack:
        stack.callback(hold.release)
        if _state(study, found._trial_id) != TrialState.RUNNING:  # another worker has finished it meanwhile
            return None
        if found.number >= trials:
            study._storage.set_trial_state_values(found._trial_id, TrialState.WAITING)
            return None
        claim = Claim(new or Trial(study, found._trial_id), hold, is_new=new is not None)
        stack.pop_all()
        return claim


def _state(study: Study, trial_id: int) -> TrialState:
    return study._storage.get_trial(trial_id).state


def _remaining(study: Study, trials: int) -> bool:
    """Return whether there are trials that nobody has begun."""
    found = study.get_trials(deepcopy=False)[:trials]
    return len(found) < trials or any(trial.state == TrialState.WAITING for trial in found)


@dataclass(frozen=True)
class Counts:
    """Numbers of trials by state; they add up to the trials of the sweep.

    Attributes:
        finished: Trials that ended with a value.
        pruned: Trials that were stopped early.
        running: Trials that were begun and have not ended; some may have been abandoned by their worker.
        waiting: Trials that nobody has begun.
    """

    finished: int
    pruned: int
    running: int
    waiting: int


def counts(study: Study, trials: int) -> Counts:
    """Count the first `trials` trials of a study by state."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)[:trials]]
    pruned, running = states.count(TrialState.PRUNED), states.count(TrialState.RUNNING)
    waiting = states.count(TrialState.WAITING) + trials - len(states)
    return Counts(trials - pruned - running - waiting, pruned, running, waiting)
