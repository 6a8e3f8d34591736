"""Gradient norms and saturated activations by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dlcli.plots.lines import draw_lines
from dlcli.plots.style import MUTED, Sketch, new_axes, percent
from dlcli.runs.trained_run import TrainedRun
from dlcli.training.events import FLAT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gradients(run: TrainedRun) -> Sketch | None:
    """Return the gradient norm of each layer's weights by epoch; None without traces.

    Vanishing gradients are small in the first layers.
    """
    if not run.traces:
        return None
    epochs, norms = list(run.traces), _by_layer(run, "gradient_norm")
    first, last = norms[0][-1], norms[-1][-1]
    names = _layer_names(len(norms))
    if len(norms) == 1:
        title = f"Gradient norm: {last:.2g} after epoch {epochs[-1]}"
    else:
        ratio = f"{first / last:.2g} × last layer" if last > 0 else f"{first:.2g}"
        title = f"Gradient norm: first layer = {ratio}, epoch {epochs[-1]}"
    ranges = "; ".join(f"{name} {line[0]:.2g} to {line[-1]:.2g}" for name, line in zip(names, norms, strict=True))
    alt = f"Norm of the loss gradient by layer, on a log scale, epochs {epochs[0]} to {epochs[-1]}: {ranges}."

    def draw() -> Figure:
        figure, axes = new_axes(title)
        seen = np.array(norms)[np.isfinite(norms) & (np.array(norms) > 0)]
        if len(seen):
            axes.set_yscale("log")
            axes.set_ylim(seen.min() / 2, seen.max() * 2)
        axes.set_ylabel("‖∂loss / ∂weights‖ (log scale)")
        zero = [name for name, line in zip(names, norms, strict=True) if max(line) == 0]
        if zero:
            text = f"always 0, below the axis: {', '.join(zero)}"
            axes.text(0.02, 0.03, text, transform=axes.transAxes, color=MUTED)
        draw_lines(axes, epochs, dict(zip(names, norms, strict=True)))
        return figure

    return Sketch(title, alt, draw)


def saturation(run: TrainedRun) -> Sketch | None:
    """Return the fraction of saturated activations by hidden layer; None if none are recorded."""
    fractions = [line for line in _by_layer(run, "saturated") if np.isfinite(line).any()]
    if not fractions:
        return None
    epochs, names = list(run.traces), _layer_names(len(fractions), has_last=False)
    most = int(np.nanargmax([line[-1] for line in fractions]))
    title = f"Saturated activations: {percent(fractions[most][-1])} in {names[most]} after epoch {epochs[-1]}"
    ranges = "; ".join(
        f"{name} {percent(line[0])} to {percent(line[-1])}" for name, line in zip(names, fractions, strict=True)
    )
    alt = (
        f"Fraction of activations whose slope is below {FLAT:.0%} of the maximum, by hidden layer, "
        f"epochs {epochs[0]} to {epochs[-1]}: {ranges}."
    )

    def draw() -> Figure:
        figure, axes = new_axes(title)
        axes.set_ylim(-0.02, 1.02)
        axes.set_ylabel(f"fraction of saturated activations:\nslope below {FLAT:.0%} of the maximum")
        draw_lines(axes, epochs, dict(zip(names, fractions, strict=True)))
        return figure

    return Sketch(title, alt, draw)


def _by_layer(run: TrainedRun, attribute: str) -> list[list[float]]:
    """Return an attribute of the traces by layer and epoch; NaN where it is None."""
    layers = min((len(trace.layers) for trace in run.traces.values()), default=0)
    values = [[getattr(trace.layers[i], attribute) for trace in run.traces.values()] for i in range(layers)]
    return [[np.nan if value is None else float(value) for value in line] for line in values]


def _layer_names(n: int, *, has_last: bool = True) -> list[str]:
    names = [f"layer {i}" for i in range(1, n + 1)]
    if n > 1:
        names[0] += " (first)"
        names[-1] += " (last)" if has_last else ""
    return names
