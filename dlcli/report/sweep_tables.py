"""Tables and lists of the page about a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlcli.config.render import flatten
from dlcli.config.schema import AnyPruner
from dlcli.config.sweep.space import Parameter, Space
from dlcli.report.html import as_text
from dlcli.report.tables import Table, Value
from dlcli.sweeps.describe import as_typed, describe_settings, name_options
from dlcli.sweeps.records import SweepResult, TrialRecord
from dlcli.sweeps.results import saved_epochs
from dlcli.sweeps.sweep import Sweep
from dlcli.text import format_seconds

_MOST_TRIALS = 1000  # maximum number of rows of the table; trials.csv has all trials


def best_table(trials: Sequence[TrialRecord]) -> Table:
    """Return a table of the best trials."""
    rows: list[list[Value]] = [
        [str(trial.number), trial.value, trial.best_epoch, trial.epochs, describe_settings(trial.settings)]
        for trial in trials
    ]
    return Table("Best finished trials", ["trial", "value", "best epoch", "epochs", "settings"], rows)


def settings_table(sweep: Sweep, best: TrialRecord) -> Table:
    """Return a table of the settings that the space can change, in the best trial and in the unchanged config."""
    configs = [flatten(sweep.config_of(values).config) for values in (best.settings, {})]
    keys = [key for key, _ in sweep.space.nodes]
    shown = [
        name
        for name in dict.fromkeys(name for config in configs for name in config)
        if any(name == key or name.startswith(f"{key}.") for key in keys)
    ]
    rows = [[name, *(as_typed(config[name]) if name in config else "–" for config in configs)] for name in shown]
    return Table("Settings of the best trial", ["setting", f"trial {best.number}", "unchanged config"], rows)


def trials_table(sweep: Sweep, records: Sequence[TrialRecord], names: Mapping[str, str]) -> Table:
    """Return a table of all trials with a column for each parameter."""
    options = {
        parameter.name: dict(zip(parameter.choices, name_options(parameter.choices), strict=True))
        for parameter in sweep.space.parameters
        if parameter.kind == "choice"
    }
    rows: list[Sequence[Value]] = [
        [
            str(record.number),
            record.state,
            record.value,
            record.best_epoch,
            record.epochs,
            *(_parameter(record, name, options.get(name)) for name in names),
        ]
        for record in records[:_MOST_TRIALS]
    ]
    most = f"First {_MOST_TRIALS:,} of {len(records):,} trials; trials.csv has all"
    caption = f"All {len(records):,} trials" if len(records) <= _MOST_TRIALS else most
    headings = ["trial", "state", "value", "best epoch", "epochs", *names.values()]
    return Table(caption, headings, rows, is_folded=True)


def _parameter(record: TrialRecord, name: str, options: Mapping[Any, str] | None) -> Value:
    if name not in record.parameters:
        return None
    value = record.parameters[name]
    return value if options is None else options[value]


def importance_table(importances: Mapping[str, float], names: Mapping[str, str]) -> Table:
    """Return the importances as a table."""
    rows = [[names.get(key, key), f"{100 * share:.1f} %"] for key, share in importances.items()]
    return Table("Share of the variation of the values", ["setting", "share"], rows)


def pruning_table(sweep: Sweep, records: Sequence[TrialRecord]) -> Table:
    """Return a table of the pruned trials by the number of epochs that they trained."""
    pruned = [record for record in records if record.state == "pruned"]
    rows: list[list[Value]] = []
    for epochs in sorted({record.epochs for record in pruned}):
        group = [record for record in pruned if record.epochs == epochs]
        rows.append([f"{epochs:,}", len(group), sum(saved_epochs(record, sweep) for record in group)])
    return Table("Pruned trials", ["epochs trained", "trials", "epochs saved, at most"], rows)


def budget_facts(
    sweep: Sweep, result: SweepResult, manifest: Mapping[str, Any], seconds: float | None
) -> list[tuple[str, str]]:
    """Return the search method and the budget used so far, as (name, value) pairs."""
    settings, epochs = sweep.settings, result.epochs
    counts = ", ".join(f"{count:,} {state}" for state, count in result.trials.items() if count)
    total = epochs["trained"] + epochs["saved"]
    share = f" ({100 * epochs['saved'] / total:.0f} %)" if total else ""
    facts = [
        ("trials", f"{settings.trials:,}: {counts}"),
        ("epochs", f"{epochs['trained']:,} trained, {epochs['saved']:,} saved by pruning{share}"),
        ("training time", "unknown" if seconds is None else f"{format_seconds(seconds)}, sum of all trials"),
        ("time limit", "none" if settings.seconds is None else format_seconds(settings.seconds)),
        ("metric", f"{'highest' if sweep.loaded.is_maximized else 'lowest'} {result.metric}"),
        ("sampler", f"{settings.sampler}, seed {settings.seed}"),
        ("pruner", _describe_pruner(settings.pruner)),
        ("seeds per trial", f"{settings.seeds_per_trial:,}"),
        ("generation", "none" if settings.generation is None else f"{settings.generation:,} trials"),
        ("same trials with any number of workers", "yes" if result.is_reproducible else "no"),
        ("seeds of the confirmation", f"{settings.confirm_seeds:,}"),
        ("storage", as_text(manifest.get("storage") or "journal in the folder")),
        ("started", as_text(manifest.get("started"))),
    ]
    return [(name, value) for name, value in facts if value != "none" or name in ("generation", "time limit")]


def _describe_pruner(pruner: AnyPruner) -> str:
    values = pruner.model_dump(exclude={"name"})
    return ", ".join([pruner.name, *(f"{name} {value}" for name, value in values.items())])


def space_table(space: Space, names: Mapping[str, str]) -> Table:
    """Return a table of the values to try."""
    rows = [[names[parameter.name], _describe_values(parameter)] for parameter in space.parameters]
    return Table("Each setting with its values", ["setting", "values"], rows)


def _describe_values(parameter: Parameter) -> str:
    if parameter.kind == "choice":
        return ", ".join(name_options(parameter.choices))
    scale = ", logarithmic" if parameter.log else ""
    step = "" if parameter.step is None else f" in steps of {parameter.step:g}"
    return f"{parameter.low:g} to {parameter.high:g}{scale}{step}"
