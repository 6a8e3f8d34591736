"""Confirmation of a sweep: its best trial and the unchanged config, trained with seeds that the search has not used."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from dlcli.api.sweeping.group_trial import train_or_resume_seeds
from dlcli.errors import DivergedError, UsageError
from dlcli.evaluation.group_comparison import compare_groups
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.records import read_group
from dlcli.sweeps.records import CONFIRMED, Confirmation, TrialRecord
from dlcli.sweeps.sweep import Sweep
from dlcli.training.events import Event, GroupStarted
from dlcli.training.listeners import Listeners


def confirm(sweep: Sweep, best: TrialRecord, *, evaluate_test: bool, listeners: Listeners) -> Confirmation | None:
    """Train both configs with `confirm_seeds` seeds each, or continue that, and compare them.

    Args:
        sweep: Sweep whose trials have ended.
        best: Its best trial.
        evaluate_test: Whether to evaluate all models on the test split, and to compare them there.
        listeners: Callbacks of the training.

    Returns:
        None if `confirm_seeds` is 0.

    Raises:
        Interrupted: After a stop request; training can be continued.
    """
    if not sweep.settings.confirm_seeds:
        return None
    seeds = sweep.settings.confirm_seeds
    names = (f"trial-{best.number:04d}", "unchanged")  # with more trials or seeds, other groups
    paths = [sweep.folder.confirmation / f"{name}-{seeds}-seeds" for name in names]
    first = sweep.loaded.base.config.seed + sweep.settings.seeds_per_trial
    for path, values, name in zip(paths, (best.settings, {}), CONFIRMED, strict=True):
        loaded = sweep.config_of({**values, "seed": first})
        shown = _shorten(listeners, f"{name} with {seeds} fresh seeds")
        with suppress(DivergedError):  # all seeds, which the comparison counts
            train_or_resume_seeds(path, loaded, seeds, evaluate_test=evaluate_test, listeners=shown)
    groups = [read_group(GroupFolder(path)) for path in paths]
    try:
        comparison = compare_groups(groups, labels=CONFIRMED)
    except UsageError as error:  # for example, a data file has changed between the two trainings
        return Confirmation(str(paths[0]), str(paths[1]), sweep.loaded.metric, (None, None), error.message)
    metric = comparison.metrics[comparison.metric]
    means = (metric.first.mean, metric.second.mean)
    better = {"first": CONFIRMED[0], "second": CONFIRMED[1]}.get(comparison.paired.verdict)
    return Confirmation(str(paths[0]), str(paths[1]), comparison.metric, means, comparison.statement, better)


def _shorten(listeners: Listeners, name: str) -> Listeners:
    """Return listeners without messages that get one line at the start of a group, in place of its description."""

    def listen(event: Event) -> None:
        if isinstance(event, GroupStarted):
            event = replace(event, essentials=(("confirm", name),), notes=())
        listeners.listen(event)

    return Listeners(listen, should_stop=listeners.should_stop)
