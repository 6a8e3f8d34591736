"""Figure of a study: curves by epoch, and a second panel beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcli.lecture.studies.curves import draw_curves
from dlcli.lecture.studies.headline import write_title
from dlcli.lecture.studies.panels import (
    draw_gradients,
    draw_grid,
    draw_movement,
    draw_seconds,
    draw_seeds,
    draw_settings,
)
from dlcli.lecture.studies.results import StudyResults
from dlcli.lecture.studies.sentences import (
    count,
)
from dlcli.plots.style import (
    DPI,
    add_footer,
    drawing,
    new_figure,
    render,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_study(results: StudyResults, dpi: int = DPI) -> dict[str, bytes]:
    """Draw a study and return its files by name: `figure.png` and `figure.svg`."""
    with drawing():
        figure = compose(results)
        return {"figure.png": render(figure, "png", dpi), "figure.svg": render(figure, "svg", dpi)}


def compose(results: StudyResults) -> Figure:
    """Return the figure of a study; use it within `drawing`."""
    figure = new_figure(write_title(results), 10.0, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    draw_curves(left, results)
    panels = {
        "seeds": draw_seeds,
        "settings": draw_settings,
        "grid": draw_grid,
        "seconds": draw_seconds,
        "gradients": draw_gradients,
        "moved": draw_movement,
    }
    panels[results.study.panel](right, results)
    mean = "geometric mean and standard deviation" if results.study.curve == "distance" else "mean ± standard deviation"
    note = f"{mean} over {count(len(results.seeds), 'seed')} · study {results.study.name}"
    add_footer(figure, [variant.setup for variant in results.learned], note)
    return figure
