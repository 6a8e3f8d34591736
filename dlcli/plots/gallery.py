"""The one table of pictures: what there is, in reading order."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from dlcli.plots import classes, confusion, curves, images, regions, regression, reliability, simplex
from dlcli.plots import layers as inside
from dlcli.plots.style import Format, Sketch, drawing, render
from dlcli.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Sketcher: TypeAlias = Callable[[TrainedRun], Sketch | None]


class _Row(NamedTuple):
    """A kind of picture: its name, what makes it of a run (None where it makes no sense), and `Picture.is_cheap`."""

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
NAMES = tuple(row.name for row in _TABLE)


@dataclass(frozen=True)
class Picture:
    """A picture of a run, drawn when it is asked for.

    Attributes:
        name: Stem of its file.
        title: What is seen, in a line; it stands in the picture too.
        alt: What is to be seen, in words with the numbers: for those who do not see it.
        draw: Draws it.
        is_cheap: Whether `plots: auto` draws it after training: it needs nothing of test, and little time.
    """

    name: str
    title: str
    alt: str
    draw: Callable[[], Figure]
    is_cheap: bool

    def render(self, format_: Format) -> bytes:
        """Return a file's content: the same bytes each time."""
        with drawing():
            return render(self.draw(), format_)


def pictures(run: TrainedRun, names: Collection[str] = NAMES) -> list[Picture]:
    """Return the pictures that make sense for a run, in reading order.

    Args:
        run: What they are of.
        names: Which of them to make.
    """
    rows = [row for row in _TABLE if row.name in names]
    sketches = [(row, sketch) for row in rows if (sketch := row.sketch(run)) is not None]
    return [Picture(row.name, *one._replace(draw=_in_style(one.draw)), row.is_cheap) for row, one in sketches]


def cheap_names() -> list[str]:
    """Return the names of the pictures that `plots: auto` draws."""
    return [row.name for row in _TABLE if row.is_cheap]


def _in_style(draw: Callable[[], Figure]) -> Callable[[], Figure]:
    def draw_in_style() -> Figure:
        with drawing():
            return draw()

    return draw_in_style
