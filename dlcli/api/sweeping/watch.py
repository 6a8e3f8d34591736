"""Progress of a sweep, as events about the trials of all its workers."""

from __future__ import annotations

from optuna import Study

from dlcli.evaluation.paired_statistics import FEWEST_PAIRS
from dlcli.sweeps.describe import describe_settings, name_parameters
from dlcli.sweeps.records import TrialRecord, rank
from dlcli.sweeps.results import is_reproducible
from dlcli.sweeps.sweep import Sweep
from dlcli.sweeps.trials import read_trials
from dlcli.training.events import SweepEnded, SweepStarted, TrialEnded
from dlcli.training.listeners import Listeners

_FEW_SEEDS = f"the confirmation needs at least {FEWEST_PAIRS} seeds (sweep.confirm_seeds) for a verdict"


class Watch:
    """Watch of the trials of a sweep.

    Args:
        sweep: Sweep.
        study: Its study.
        listeners: Callbacks for each trial that has ended.
    """

    def __init__(self, sweep: Sweep, study: Study, listeners: Listeners) -> None:
        self._sweep, self._study, self._listeners = sweep, study, listeners
        self._seen: set[int] = set()
        self._ended: dict[int, TrialRecord] = {}

    def start(self) -> None:
        """Describe the sweep."""
        ended = [record.number for record in self._read() if record.has_ended]
        self._seen.update(ended)
        settings, path = self._sweep.settings, str(self._sweep.folder.path)
        essentials = (
            ("sweep", path),
            ("search", _describe_search(self._sweep)),
            ("space", _describe_space(self._sweep)),
        )
        notes = (_FEW_SEEDS,) if 0 < settings.confirm_seeds < FEWEST_PAIRS else ()
        self._listeners.listen(SweepStarted(path, essentials, notes, settings.trials, len(ended)))

    def look(self) -> None:
        """Tell of the trials that have ended since the last call."""
        records = self._read()
        ranked = rank(records, higher_is_better=self._sweep.loaded.is_maximized)
        for record in records:
            if record.has_ended and record.number not in self._seen:
                self._seen.add(record.number)
                is_best = bool(ranked) and ranked[0].number == record.number
                self._listeners.listen(self._event(record, is_best=is_best))

    def end(self) -> None:
        """Tell that no trial runs any more."""
        self.look()
        self._listeners.listen(SweepEnded())

    def _read(self) -> list[TrialRecord]:
        return read_trials(self._study, self._sweep, self._ended)

    def _event(self, record: TrialRecord, *, is_best: bool) -> TrialEnded:
        return TrialEnded(
            number=record.number,
            state=record.state,
            metric=self._sweep.loaded.metric,
            value=record.value,
            epochs=record.epochs,
            settings=describe_settings(record.settings),
            is_best=is_best,
            ended=len(self._seen),
        )


def _describe_search(sweep: Sweep) -> str:
    """Return how the sweep searches: `50 trials for the highest val/accuracy; tpe, asha`."""
    settings = sweep.settings
    direction = "highest" if sweep.loaded.is_maximized else "lowest"
    parts = [f"{settings.trials} trials for the {direction} {sweep.loaded.metric}", settings.sampler]
    if settings.pruner.name != "none":
        parts.append(f"pruned by {settings.pruner.name}")
    if settings.generation is not None:
        parts.append(f"in generations of {settings.generation}")
    if not is_reproducible(settings):
        parts.append("not reproducible in parallel")
    return ", ".join(parts)


def _describe_space(sweep: Sweep) -> str:
    return ", ".join(name_parameters(sweep.space).values())
