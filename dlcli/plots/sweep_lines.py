"""Parallel coordinates of a sweep: a line for each trial through its value and its parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlcli.config.sweep.space import Parameter
from dlcli.plots import style
from dlcli.plots.comparison import name_metric
from dlcli.plots.lines import needs_log_scale
from dlcli.sweeps.describe import name_options
from dlcli.sweeps.records import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_AXES = 12  # maximum number of parameters with an axis
_MOST_TICKS = 6
_FAINTEST = 0.3  # start of the colour map: its first colours are too light on white


@dataclass(frozen=True)
class _Scale:
    """Axis of numbers, from the bottom (0) to the top (1)."""

    low: float
    high: float
    is_log: bool

    def place(self, value: float) -> float:
        """Return the height of a value."""
        if self.high == self.low:
            return 0.5
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return heights and texts: both ends and, between them, the powers of ten or the middle."""
        inner = self._powers() if self.is_log else [(self.low + self.high) / 2]
        numbers = [self.low, *inner, self.high] if self.high > self.low else [self.low]
        return [(self.place(number), f"{number:.4g}") for number in numbers]

    def _powers(self) -> list[float]:
        """Return powers of ten that are not close to an end."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        stride = max(1, -(-(last - first) // _MOST_TICKS))
        powers = [10.0**exponent for exponent in range(first, last + 1, stride)]
        return [power for power in powers if 0.08 < self.place(power) < 0.92]


def order_parameters(parameters: Sequence[Parameter], importances: Mapping[str, float]) -> list[Parameter]:
    """Return the parameters in the order of their axes, at most 12.

    Conditional parameters come last; within both kinds, the most important parameter comes first.
    """
    ranked = sorted(
        parameters, key=lambda parameter: (bool(parameter.condition), -importances.get(parameter.name, 0.0))
    )
    return ranked[:MOST_AXES]


def draw_parallel(
    records: Sequence[TrialRecord],
    parameters: Sequence[Parameter],
    names: Mapping[str, str],
    metric: str,
    *,
    higher_is_better: bool,
) -> Figure:
    """Draw a line for each trial that has a value and did not diverge.

    A line has a gap where the trial does not have a parameter. Better values have darker lines.

    Args:
        records: Trials, of which at least one was finished or pruned.
        parameters: Parameters in the order of their axes.
        names: Name of each parameter.
        metric: Metric of the search, such as `val/accuracy`.
        higher_is_better: Whether higher values are better.
    """
    shown = [record for record in records if record.state in ("finished", "pruned") and record.value is not None]
    values = [record.value for record in shown if record.value is not None]
    scale = _Scale(min(values), max(values), needs_log_scale({"": values}))
    with style.drawing():
        from matplotlib import colormaps

        figure, axes = style.new_axes("Parallel coordinates", width=2.2 + 1.45 * len(parameters), height=4.6)
        colours = colormaps[style.SEQUENTIAL]
        for record in sorted(shown, key=lambda record: (record.state == "finished", record.number)):
            assert record.value is not None
            height = scale.place(record.value)
            darkness = height if higher_is_better else 1 - height
            heights = [height, *(_height(parameter, record.parameters) for parameter in parameters)]
            colour = colours(_FAINTEST + (1 - _FAINTEST) * darkness)
            _draw_line(axes, heights, colour, is_pruned=record.state == "pruned")
        headings = [f"{name_metric(metric).replace(' ', chr(10), 1)}{' (log)' if scale.is_log else ''}"]
        headings += [f"{names[item.name]}{' (log)' if item.log else ''}" for item in parameters]
        _draw_axes(axes, headings, [scale.ticks(), *(_ticks(parameter) for parameter in parameters)])
        return figure


def _height(parameter: Parameter, values: Mapping[str, Any]) -> float:
    """Return the height of a trial on the axis of a parameter; NaN if it does not have the parameter."""
    if parameter.name not in values:
        return math.nan
    value = values[parameter.name]
    if parameter.kind == "choice":
        return _place_choice(parameter.choices.index(value), len(parameter.choices))
    return _scale_of(parameter).place(value)


def _place_choice(index: int, count: int) -> float:
    return index / (count - 1) if count > 1 else 0.5


def _scale_of(parameter: Parameter) -> _Scale:
    assert parameter.low is not None
    assert parameter.high is not None
    return _Scale(parameter.low, parameter.high, parameter.log)


def _ticks(parameter: Parameter) -> list[tuple[float, str]]:
    if parameter.kind != "choice":
        return _scale_of(parameter).ticks()
    texts = style.shorten(name_options(parameter.choices), 16)
    return [(_place_choice(i, len(texts)), text) for i, text in enumerate(texts)]


def _draw_line(axes: Axes, heights: Sequence[float], colour: Any, *, is_pruned: bool) -> None:
    axes.plot(
        heights,
        color=colour,
        linestyle=":" if is_pruned else "-",
        linewidth=0.9 if is_pruned else 1.7,
        marker="o",
        markersize=2 if is_pruned else 4,  # visible even between two gaps, where there is no line
        clip_on=False,
    )


def _draw_axes(axes: Axes, headings: Sequence[str], ticks: Sequence[Sequence[tuple[float, str]]]) -> None:
    """Draw a vertical line for each axis, with its ticks and its name."""
    axes.set_ylim(0, 1)
    axes.set_xlim(-0.1, len(headings) - 0.55)
    for i, marks in enumerate(ticks):
        axes.axvline(i, color=style.MUTED, linewidth=0.8, zorder=0)
        for height, text in marks:
            axes.annotate(
                text,
                (i, height),
                xytext=(5, 0),
                textcoords="offset points",
                fontsize=8.5,
                verticalalignment="center",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
                zorder=5,
            )
    axes.set_xticks(range(len(headings)), [_wrap(text) for text in headings], fontsize=9)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0, pad=10)
    axes.spines[:].set_visible(False)


def _wrap(name: str) -> str:
    """Return the name of a parameter with a line for each part: `optimizer.`, `lr`, `(adam)`."""
    setting, bracket, option = name.partition(" (")
    return setting.replace(".", ".\n") + (f"\n({option}" if bracket else "")
