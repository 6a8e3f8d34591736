"""What all pictures share: colours that the colour-blind tell apart, sizes that survive print, files that repeat."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format: TypeAlias = Literal["png", "svg"]

# Okabe and Ito (2008), "Color Universal Design", in an order whose neighbours differ in brightness too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D1F")
TRAIN, VAL, RIGHT, WRONG, TRUTH = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[1], COLOURS[6]
MUTED = "#767676"  # on white still 4.5 : 1, as WCAG asks of text
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # colours are never the only difference
LINES = ("-", "--", "-.", ":")
SEQUENTIAL, DIVERGING = "viridis", "PuOr"

_SETTINGS: dict[str, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.grid": False,
    "axes.prop_cycle": COLOURS,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "svg.hashsalt": "dlcli",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a $ in a user's name is a dollar
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with dlcli's settings, whatever the user's matplotlibrc says, and leave no trace of them."""
    import matplotlib as mpl
    from cycler import cycler

    settings: Any = {**_SETTINGS, "axes.prop_cycle": cycler(color=_SETTINGS["axes.prop_cycle"])}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield


def new_figure(width: float = 6.4, height: float = 4.0) -> Figure:
    """Return an empty figure, in inches; pyplot's list of open figures is not used."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def new_axes(width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes."""
    figure = new_figure(width, height)
    return figure, figure.add_subplot()


def render(figure: Figure, format_: Format) -> bytes:
    """Return a figure as a file's content: the same bytes each time."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if format_ == "svg" else {"Software": None}
    figure.savefig(buffer, format=format_, metadata=metadata)
    return buffer.getvalue()


def shortened(names: Sequence[str], most: int = 14) -> list[str]:
    """Return names short enough for an axis."""
    return [name if len(name) <= most else f"{name[: most - 1]}…" for name in names]
