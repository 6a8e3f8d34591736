"""Registry of all plots, in reading order."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from dlcli.overview import describe_setup
from dlcli.plots import classes, confusion, curves, images, regions, regression, reliability, simplex
from dlcli.plots import layers as inside
from dlcli.plots.names import PICTURES
from dlcli.plots.style import DPI, Format, Setup, Sketch, add_footer, drawing, render
from dlcli.runs.folder import name_run
from dlcli.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Sketcher: TypeAlias = Callable[[TrainedRun], Sketch | None]


class _Row(NamedTuple):
    """Name of a plot, its sketch function (returns None for runs without this plot) and `Picture.is_cheap`."""

    name: str
    sketch: _Sketcher
    is_cheap: bool


_TABLE = (
    _Row("loss", curves.loss, is_cheap=True),
    _Row("metrics", curves.metrics, is_cheap=True),
    _Row("learning_rate", curves.learning_rate, is_cheap=True),
    _Row("confusion", confusion.confusion, is_cheap=True),
    _Row("per_class", classes.per_class, is_cheap=True),
    _Row("reliability", reliability.reliability, is_cheap=True),
    _Row("examples", images.examples, is_cheap=False),
    _Row("regions", regions.regions, is_cheap=True),
    _Row("simplex", simplex.simplex, is_cheap=True),
    _Row("fit", regression.fit, is_cheap=True),
    _Row("predictions", regression.predictions, is_cheap=True),
    _Row("residuals", regression.residuals, is_cheap=True),
    _Row("weights", images.weights, is_cheap=False),
    _Row("gradients", inside.gradients, is_cheap=True),
    _Row("saturation", inside.saturation, is_cheap=True),
    _Row("distribution", classes.distribution, is_cheap=False),
)
assert tuple(row.name for row in _TABLE) == PICTURES


@dataclass(frozen=True)
class Picture:
    """A plot of a run, drawn on demand.

    Attributes:
        name: File name without its extension.
        title: Title in one line, also shown in the plot.
        alt: Alternative text that describes the plot, including its numbers.
        draw: Function that draws the figure.
        is_cheap: Whether `plots: auto` draws it after training: it is fast and does not use the test split.
        setup: Data, model and optimizer of the run, for the footer of the file.
        run_name: Name of the run, for the footer of the file.
    """

    name: str
    title: str
    alt: str
    draw: Callable[[], Figure]
    is_cheap: bool
    setup: Setup
    run_name: str

    def render(self, format_: Format, dpi: int = DPI) -> bytes:
        """Return the content of the image file, with a footer; repeated calls return the same bytes."""
        with drawing():
            figure = self.draw()
            add_footer(figure, [self.setup], self.run_name)
            return render(figure, format_, dpi)


def pictures(run: TrainedRun, names: Collection[str] = PICTURES) -> list[Picture]:
    """Return the plots that apply to a run, in reading order.

    Args:
        run: Run to plot.
        names: Names of the plots to make.
    """
    rows = [row for row in _TABLE if row.name in names]
    sketches = [(row, sketch) for row in rows if (sketch := row.sketch(run)) is not None]
    setup, run_name = describe_setup(run.config, run.info), name_run(run.title, run.config.name)
    return [
        Picture(row.name, *sketch._replace(draw=_in_style(sketch.draw)), row.is_cheap, setup, run_name)
        for row, sketch in sketches
    ]


def cheap_names() -> list[str]:
    """Return the names of the plots that `plots: auto` draws."""
    return [row.name for row in _TABLE if row.is_cheap]


def _in_style(draw: Callable[[], Figure]) -> Callable[[], Figure]:
    def draw_in_style() -> Figure:
        with drawing():
            return draw()

    return draw_in_style
