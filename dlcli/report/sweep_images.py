"""Plots on the page about a sweep, with alternative texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dlcli.config.sweep.space import Parameter
from dlcli.plots.sweep import draw_history, draw_importances, draw_pruning, draw_slice
from dlcli.plots.sweep_lines import MOST_AXES, draw_parallel, order_parameters
from dlcli.report.html import Image, embed, number
from dlcli.sweeps.describe import name_options
from dlcli.sweeps.records import TrialRecord, rank
from dlcli.sweeps.sweep import Sweep

Names = Mapping[str, str]  # display names by parameter


def history_image(sweep: Sweep, records: Sequence[TrialRecord]) -> Image:
    """Return a plot of the value of each trial, of which at least one has ended."""
    metric, is_maximized = sweep.loaded.metric, sweep.loaded.is_maximized
    states = [record.state for record in records]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("finished", "pruned", "diverged"))
    best = rank(records, higher_is_better=is_maximized)[:1]
    found = "".join(f" The best finished trial is {record.number} with {number(record.value)}." for record in best)
    alt = f"{metric} of each trial in order: {counts}. A step line shows the best finished trial so far.{found}"
    draw = partial(draw_history, records, metric, higher_is_better=is_maximized)
    return embed(f"{metric} of each trial", alt, draw)


def importance_image(importances: Mapping[str, float], names: Names) -> Image:
    """Return a plot of the importances."""
    named = {names.get(key, key): share for key, share in importances.items()}
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in named.items())
    return embed("Importance of each setting", f"A bar for each setting: {shares}.", partial(draw_importances, named))


def setting_images(
    sweep: Sweep, records: Sequence[TrialRecord], importances: Mapping[str, float], names: Names
) -> list[Image]:
    """Return a plot of parallel coordinates, if a trial has a value, and a plot of the value against each parameter."""
    slices = [
        _slice_image(sweep, records, parameter, names[parameter.name])
        for parameter in sweep.space.parameters
        if any(record.has_ended and parameter.name in record.parameters for record in records)
    ]
    return [*_parallel_image(sweep, records, importances, names), *slices]


def _parallel_image(
    sweep: Sweep, records: Sequence[TrialRecord], importances: Mapping[str, float], names: Names
) -> list[Image]:
    """Return a plot with a line for each finished or pruned trial; [] if no trial has a value."""
    shown = [record for record in records if record.state in ("finished", "pruned") and record.value is not None]
    if not shown:
        return []
    metric, parameters = sweep.loaded.metric, order_parameters(sweep.space.parameters, importances)
    total = len(sweep.space.parameters)
    part = f"; {MOST_AXES} of {total} settings" if total > MOST_AXES else ""
    axes = ", ".join(names[parameter.name] for parameter in parameters)
    alt = f"Parallel coordinates of {len(shown)} trials: {metric}, {axes}. The table of trials has the values."
    draw = partial(draw_parallel, records, parameters, names, metric, higher_is_better=sweep.loaded.is_maximized)
    return [embed(f"One line per trial, in a stronger colour for a better value; dotted: pruned{part}", alt, draw)]


def _slice_image(sweep: Sweep, records: Sequence[TrialRecord], parameter: Parameter, name: str) -> Image:
    metric = sweep.loaded.metric
    ranked = rank(records, higher_is_better=sweep.loaded.is_maximized)
    having = [record for record in ranked if parameter.name in record.parameters]
    alt = f"{metric} of each trial against {name}."
    if parameter.kind == "choice":
        best = {value: number(record.value) for record in having[::-1] for value in [record.parameters[parameter.name]]}
        texts = zip(parameter.choices, name_options(parameter.choices), strict=True)
        options = ", ".join(f"{text} {best.get(choice, 'none')}" for choice, text in texts)
        alt += f" Best of the finished trials by option: {options}."
    elif having:
        alt += f" The best finished trial has {_short(having[0].parameters[parameter.name])}."
    return embed(f"{metric} against {name}", alt, partial(draw_slice, records, parameter, name, metric))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def pruning_image(records: Sequence[TrialRecord], epochs: Mapping[str, int]) -> Image:
    """Return a plot of the number of trials by the epoch at which they were pruned."""
    pruned = sum(record.state == "pruned" for record in records)
    alt = (
        f"Number of trials by the epoch at which they were pruned: {pruned} of {len(records)} trials were pruned. "
        f"{epochs['trained']:,} epochs were trained and {epochs['saved']:,} saved."
    )
    return embed("Trials by the epoch at which they were pruned", alt, partial(draw_pruning, records))
