"""What all pictures share: colours that the colour-blind tell apart, sizes that survive print, files that repeat."""

from __future__ import annotations

import io
import logging
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dlcli.errors import visible
from dlcli.plots.importing import import_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format: TypeAlias = Literal["png", "svg"]
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

# Okabe and Ito (2008), "Color Universal Design", in an order whose neighbours differ in brightness too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D1F")
TRAIN, VAL, RIGHT, WRONG, TRUTH = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[1], COLOURS[6]
MUTED = "#767676"  # on white still 4.5 : 1, as WCAG asks of text
FAINT = "#D8D8D8"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # colours are never the only difference
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...")
SEQUENTIAL = "Blues"  # from white, which takes no ink, to dark
DIVERGING = "cividis"  # blue, grey at 0, yellow; unlike others it is dark, grey, bright in black-and-white print
MANY = 2000  # points of one kind: more are drawn as an image in SVG too, which else takes megabytes

_SETTINGS: dict[str, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.grid": False,
    "axes.prop_cycle": COLOURS,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "svg.hashsalt": "dlcli",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a $ in a user's name is a dollar
}
_CHARACTERS_PER_INCH = 9.3  # of a bold title
# What matplotlib warns of when a user's names are in letters its font lacks; it draws a box.
_MISSING_LETTERS = (r"Glyph \d+", "Matplotlib currently does not support")


class Sketch(NamedTuple):
    """A picture that is not drawn yet.

    Attributes:
        title: What is seen, in a line.
        alt: What is to be seen, in words with the numbers.
        draw: Draws it.
    """

    title: str
    alt: str
    draw: Callable[[], Figure]


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with dlcli's settings, whatever the user's matplotlibrc says, and leave no trace of them."""
    logger = logging.getLogger("matplotlib")  # tells of a font cache it builds, or cannot keep
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        mpl = import_matplotlib()
        from cycler import cycler

        settings: Any = {**_SETTINGS, "axes.prop_cycle": cycler(color=_SETTINGS["axes.prop_cycle"])}
        with mpl.rc_context(), warnings.catch_warnings():
            for message in _MISSING_LETTERS:
                warnings.filterwarnings("ignore", message=message)
            mpl.rcdefaults()
            mpl.rcParams.update(settings)
            yield
    finally:
        logger.setLevel(level)


def new_figure(title: str, width: float = 6.4, height: float = 4.0) -> Figure:
    """Return an empty figure under a title, in inches; pyplot's list of open figures is not used."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    title = textwrap.fill(visible(title), int(width * _CHARACTERS_PER_INCH))
    figure.suptitle(title, x=0.01, horizontalalignment="left")
    return figure


def new_axes(title: str, width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes."""
    figure = new_figure(title, width, height)
    return figure, figure.add_subplot()


def render(figure: Figure, format_: Format) -> bytes:
    """Return a figure as a file's content: the same bytes each time."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if format_ == "svg" else {"Software": None}
    figure.savefig(buffer, format=format_, metadata=metadata)
    return buffer.getvalue()


def shortened(names: Sequence[str], most: int = 14) -> list[str]:
    """Return names short enough for an axis, each in one line, with control characters made visible."""
    lines = [" ".join(visible(name).split()) for name in names]
    return [line if len(line) <= most else f"{line[: most - 1]}…" for line in lines]


def class_look(label: int) -> tuple[str, str]:
    """Return the colour and the marker of a class; no two of the first 64 share both."""
    return COLOURS[label % len(COLOURS)], MARKERS[(label + label // len(COLOURS)) % len(MARKERS)]


def percent(share: float) -> str:
    """Return a share as text, such as `98.5 %`."""
    return f"{100 * share:.1f} %"
