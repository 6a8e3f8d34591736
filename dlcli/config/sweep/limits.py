"""Checks of the settings of a sweep against its space and its base config."""

from __future__ import annotations

from collections.abc import Sequence

from dlcli.config.examples import show
from dlcli.config.schema import METRICS, Config, NonePruner, SweepSettings
from dlcli.config.suggest import closest
from dlcli.config.sweep.corners import corners_of
from dlcli.config.sweep.parse import Entry
from dlcli.config.sweep.ranges import Report
from dlcli.config.sweep.space import Parameter, Space
from dlcli.config.tree import KeyPath
from dlcli.text import join

MOST_COMBINATIONS = 100_000
_NEEDS_RANGES = ("cmaes", "qmc")
_NEEDS_NO_CONDITIONS = ("cmaes", "qmc", "gp")


def metric_of(settings: SweepSettings, config: Config) -> str:
    """Return the metric that a sweep improves."""
    return settings.metric or config.checkpoint.monitor


def check_metric(settings: SweepSettings, config: Config, report: Report) -> None:
    """Report a metric that is not measured on the validation split, on which all trials are compared."""
    allowed = [f"val/{name}" for name in METRICS[config.task]]
    at: KeyPath = ("sweep", "metric") if settings.metric else ("sweep",)
    if not config.data.val_fraction:
        message = "needs a validation split, because the best trial is chosen on it"
        report.add(at, at, message, "write it like `data.val_fraction=0.1`")
    elif metric_of(settings, config) not in allowed:
        message = f"must be one of {', '.join(allowed)}. Got {show(metric_of(settings, config))} instead"
        guess = closest(metric_of(settings, config).replace("test/", "val/").replace("train/", "val/"), allowed)
        hint = f"did you mean `metric: {guess or allowed[0]}`?"
        if metric_of(settings, config).startswith("test/"):
            hint += " The test split measures the best trial at the end, with `--eval`"
        report.add(at, ("sweep", "metric"), message, hint)


def check_loss(settings: SweepSettings, config: Config, entries: Sequence[Entry], report: Report) -> None:
    """Report a space that changes the unit of the metric, so that its values cannot be compared."""
    if metric_of(settings, config) != "val/loss":
        return
    for entry in entries:
        scales_target = config.task == "regression" and entry.key == ("data", "normalize")
        if entry.key[0] == "loss" or scales_target:
            better = METRICS[config.task][1 if config.task == "classification" else 2]
            message = "changes the meaning of val/loss, so its values cannot be compared"
            report.add(entry.at, entry.key, message, f"compare by another metric, such as `metric: val/{better}`")


def check_counts(settings: SweepSettings, config: Config, entries: Sequence[Entry], report: Report) -> None:
    """Report numbers of trials and epochs that do not fit together."""
    if settings.generation is not None and settings.generation > settings.trials:
        message = f"must be at most sweep.trials ({settings.trials}). Got {settings.generation} instead"
        at: KeyPath = ("sweep", "generation")
        report.add(at, at, message, f"write `generation: {settings.trials}` or raise `trials`")
    if isinstance(settings.pruner, NonePruner):
        return
    most = max([config.training.epochs, *_values(("training", "epochs"), entries)])
    if (settings.pruner.min_epochs or 1) > most:
        message = f"must be at most training.epochs ({most}). Got {settings.pruner.min_epochs} instead"
        at = ("sweep", "pruner", "min_epochs")
        report.add(at, at, message, f"write `min_epochs: {max(1, most // 10)}`, or `pruner: none`")


def _values(key: KeyPath, entries: Sequence[Entry]) -> list[int]:
    """Return the whole numbers that a space contains for a setting; of a range, both ends."""
    nodes = [entry for entry in entries if entry.key == key]
    values = [corner.value for entry in nodes for corner in corners_of(entry.node, entry.key, entry.at)]
    return [value for value in values if isinstance(value, int)]


def check_sampler(settings: SweepSettings, space: Space, report: Report) -> None:
    """Report a space that the sampler cannot draw from, or would draw from at random."""
    at, name = ("sweep", "sampler"), settings.sampler
    if name == "grid":
        _check_grid(settings, space, report)
    choices = [parameter for parameter in space.parameters if parameter.kind == "choice"]
    conditions = [parameter for parameter in space.parameters if parameter.condition]
    if name in _NEEDS_RANGES and choices:
        message = f"is {name}, which is for ranges only, but {_names(choices)} {_are(choices)}"
        report.add(at, at, message, "use `sampler: tpe`, or write ranges without choices")
    elif name in _NEEDS_NO_CONDITIONS and conditions:
        message = f"is {name}, which draws settings that only some trials have at random: {_names(conditions)}"
        report.add(at, at, message, "use `sampler: tpe`, or a space in which every trial has the same settings")


def _check_grid(settings: SweepSettings, space: Space, report: Report) -> None:
    at: KeyPath = ("sweep", "sampler")
    if endless := [parameter for parameter in space.parameters if parameter.kind != "choice" and not parameter.step]:
        for parameter in endless:
            message = f"is grid, which needs lists or steps, but {parameter.name} is a range without a step"
            report.add(at, at, message, "add `step: NUMBER` to the range, or write a list of values")
        return
    count = space.cardinality
    assert count is not None
    if count > MOST_COMBINATIONS:
        message = f"is grid, with {count:,} combinations, more than {MOST_COMBINATIONS:,}"
        report.add(at, at, message, "try fewer values, or use `sampler: tpe`")
    elif "trials" in settings.model_fields_set and settings.trials > count:
        message = f"must be at most the number of combinations of the grid, {count}. Got {settings.trials} instead"
        trials: KeyPath = ("sweep", "trials")
        report.add(trials, trials, message, "delete `trials` to try each combination once")


def trials_of(settings: SweepSettings, space: Space) -> int:
    """Return the number of trials: as given, by default all combinations of a grid."""
    if settings.sampler == "grid" and "trials" not in settings.model_fields_set and space.cardinality:
        return space.cardinality
    return settings.trials


def _names(parameters: Sequence[Parameter]) -> str:
    shown = [parameter.name for parameter in parameters[:3]]
    return join([*shown, f"{len(parameters) - 3} more"] if len(parameters) > 3 else shown)


def _are(parameters: Sequence[Parameter]) -> str:
    return "is a choice" if len(parameters) == 1 else "are choices"
