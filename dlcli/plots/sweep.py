"""Plots of a sweep: history, importances, the value against a setting, and pruning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dlcli.config.sweep.space import Parameter
from dlcli.plots import style
from dlcli.plots.comparison import name_metric
from dlcli.plots.lines import label_log_axis, needs_log_scale
from dlcli.sweeps.describe import name_options
from dlcli.sweeps.records import Ending, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_BOTTOM = 0.02  # height of trials without a value, as a fraction of the axes
_SPREAD = 0.3  # largest shift of a point from the middle of its choice
_SHIFTS = 7  # number of different shifts
_MOST_LABELS = 20  # maximum number of labels below the bars
_MOST_LETTERS = 40  # maximum number of letters of a name on an axis


class _Mark(NamedTuple):
    """Marker of trials that ended in the same way."""

    marker: str
    colour: str
    is_filled: bool


_MARKS: dict[Ending, _Mark] = {
    "finished": _Mark("o", style.COLOURS[0], True),
    "pruned": _Mark("v", style.MUTED, False),
    "diverged": _Mark("x", style.WRONG, True),
}


def draw_history(records: Sequence[TrialRecord], metric: str, *, higher_is_better: bool) -> Figure:
    """Draw the value of each trial in order, and a step line with the best value of the finished trials so far.

    Args:
        records: Trials, of which at least one has ended.
        metric: Metric of the search, such as `val/accuracy`.
        higher_is_better: Whether higher values are better.
    """
    ended = [record for record in records if record.has_ended]
    with style.drawing():
        figure, axes = style.new_axes("Value of each trial", width=9.0, height=4.2)
        _prepare_values(axes, ended, metric)
        _draw_trials(axes, ended, [float(record.number) for record in ended])
        _draw_best_so_far(axes, ended, higher_is_better=higher_is_better)
        _use_whole_numbers(axes.xaxis)
        axes.set_xlabel("trial")
        figure.legend(loc="outside lower center", ncols=4)
        return figure


def _prepare_values(axes: Axes, ended: Sequence[TrialRecord], metric: str) -> None:
    """Set the scale, the limits and the label of the value axis."""
    values = [record.value for record in ended if record.value is not None]
    is_log = needs_log_scale({"": values})
    axes.set_yscale("log" if is_log else "linear")
    axes.set_ylabel(f"{name_metric(metric)}{' (log scale)' if is_log else ''}")
    if values:  # limits of all trials, so that the plots of several settings agree
        axes.plot([], [])
        axes.update_datalim([(0, min(values)), (0, max(values))], updatex=False)
        axes.margins(y=0.08)
        axes.autoscale_view(scalex=False)
    if is_log:
        label_log_axis(axes)


def _draw_trials(axes: Axes, ended: Sequence[TrialRecord], positions: Sequence[float]) -> None:
    """Draw a point for each trial; trials without a value are at the bottom."""
    for state, mark in _MARKS.items():
        pairs = [(x, record) for x, record in zip(positions, ended, strict=True) if record.state == state]
        if not pairs:
            continue
        look: dict[str, Any] = {"marker": mark.marker, "s": 30, "linewidth": 1.1, "rasterized": len(pairs) > style.MANY}
        look |= {"color": mark.colour} if mark.is_filled else {"facecolor": "none", "edgecolor": mark.colour}
        known = [(x, record.value) for x, record in pairs if record.value is not None]
        missing = [x for x, record in pairs if record.value is None]
        axes.scatter([x for x, _ in known], [y for _, y in known], label=f"{state} ({len(pairs)})", zorder=2, **look)
        if missing:
            bottom = axes.get_xaxis_transform()
            axes.scatter(missing, [_BOTTOM] * len(missing), transform=bottom, clip_on=False, zorder=2, **look)


def _draw_best_so_far(axes: Axes, ended: Sequence[TrialRecord], *, higher_is_better: bool) -> None:
    steps = best_so_far(ended, higher_is_better=higher_is_better)
    if not steps:
        return
    numbers, values = [*steps, max(record.number for record in ended)], [*steps.values()]
    axes.step(numbers, [*values, values[-1]], where="post", color="black", linewidth=1.4, label="best so far", zorder=3)
    number = next(number for number, value in steps.items() if value == values[-1])
    axes.plot([number], [values[-1]], marker="*", markersize=13, color="black", markeredgecolor="white", zorder=4)


def best_so_far(records: Sequence[TrialRecord], *, higher_is_better: bool) -> dict[int, float]:
    """Return the best value so far after each finished trial, by the number of the trial."""
    best: dict[int, float] = {}
    value: float | None = None
    for record in sorted(records, key=lambda record: record.number):
        if record.state == "finished" and record.value is not None:
            is_better = value is None or (record.value > value if higher_is_better else record.value < value)
            value = record.value if is_better else value
            assert value is not None
            best[record.number] = value
    return best


def draw_importances(importances: Mapping[str, float]) -> Figure:
    """Draw a bar for each parameter, the most important at the top.

    Args:
        importances: Share in the variation of the values, by the name of the parameter.
    """
    with style.drawing():
        figure, axes = style.new_axes("Importance of each setting", height=1.0 + 0.42 * len(importances))
        names = style.shorten(list(importances), _MOST_LETTERS)
        bars = axes.barh(range(len(names)), [100 * share for share in importances.values()], height=0.6)
        axes.bar_label(bars, [f"{100 * share:.0f} %" for share in importances.values()], padding=4)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, 112 * max(importances.values()))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("share of the variation of the values, in %")
        return figure


def draw_slice(records: Sequence[TrialRecord], parameter: Parameter, name: str, metric: str) -> Figure:
    """Draw the value of each trial against one of its parameters.

    Args:
        records: Trials, of which at least one has ended and has the parameter.
        parameter: Parameter; choices are categories, and a logarithmic range has a logarithmic axis.
        name: Name of the parameter on the axis.
        metric: Metric of the search, such as `val/accuracy`.
    """
    ended = [record for record in records if record.has_ended]
    shown = [record for record in ended if parameter.name in record.parameters]
    with style.drawing():
        figure, axes = style.new_axes(f"Value against {name}", width=5.2, height=3.6)
        _prepare_values(axes, ended, metric)
        axes.set_xlabel(style.shorten([name], _MOST_LETTERS)[0])
        values = [record.parameters[parameter.name] for record in shown]
        if parameter.kind == "choice":
            _draw_trials(axes, shown, _place_choices(axes, shown, values, parameter))
        else:
            _set_range(axes, parameter)
            _draw_trials(axes, shown, values)
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        return figure


def _place_choices(
    axes: Axes, shown: Sequence[TrialRecord], values: Sequence[Any], parameter: Parameter
) -> list[float]:
    """Label the choices, and return a position for each trial, shifted so that equal values are visible."""
    texts = style.shorten(name_options(parameter.choices), 60 // len(parameter.choices) + 4)
    axes.set_xticks(range(len(texts)), texts, rotation=30 if sum(map(len, texts)) > _MOST_LETTERS else 0)
    axes.set_xlim(-0.6, len(texts) - 0.4)
    middle = _SHIFTS // 2
    shifts = [_SPREAD * (record.number % _SHIFTS - middle) / middle for record in shown]
    return [parameter.choices.index(value) + shift for value, shift in zip(values, shifts, strict=True)]


def _set_range(axes: Axes, parameter: Parameter) -> None:
    """Set the scale and the limits of the axis to the whole range of the parameter."""
    low, high = parameter.low, parameter.high
    assert low is not None
    assert high is not None
    axes.set_xscale("log" if parameter.log else "linear")
    room = (high / low) ** 0.04 if parameter.log else 0.04 * (high - low)
    axes.set_xlim(*((low / room, high * room) if parameter.log else (low - room, high + room)))
    if parameter.log:
        label_log_axis(axes, axis="x")
    elif parameter.kind == "int":
        _use_whole_numbers(axes.xaxis)


def _use_whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def draw_pruning(records: Sequence[TrialRecord]) -> Figure:
    """Draw the number of pruned trials by the epoch after which they were pruned, and the number of finished trials.

    Args:
        records: Trials, of which at least one was pruned.
    """
    pruned = Counter(record.epochs for record in records if record.state == "pruned")
    finished = sum(record.state == "finished" for record in records)
    epochs = sorted(pruned)
    with style.drawing():
        figure, axes = style.new_axes("Trials by the epoch at which they were pruned")
        last = len(epochs)
        bars = axes.bar(range(last), [pruned[epoch] for epoch in epochs], color=style.MUTED, hatch=style.HATCHES[1])
        rest = axes.bar([last], [finished], color=style.COLOURS[0])
        stride = -(-last // _MOST_LABELS)
        axes.set_xticks([*range(0, last, stride), last], [*map(str, epochs[::stride]), "not\npruned"])
        if last <= _MOST_LABELS:
            axes.bar_label(bars)
            axes.bar_label(rest)
        _use_whole_numbers(axes.yaxis)
        axes.set_ylabel("trials")
        axes.set_xlabel("epochs trained before pruning")
        return figure
