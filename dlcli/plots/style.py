"""Shared style of all plots: colour-blind-safe colours, print-safe sizes and reproducible files."""

from __future__ import annotations

import io
import logging
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dlcli.errors import UsageError, visible
from dlcli.plots.importing import import_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format: TypeAlias = Literal["png", "svg", "pdf"]
Setup: TypeAlias = Sequence[str]  # data, model and optimizer of a run, see `describe_setup`
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

# Okabe and Ito (2008), "Color Universal Design", ordered so that neighbours differ in brightness too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D1F")
TRAIN, VAL, RIGHT, WRONG, TRUTH = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[1], COLOURS[6]
MUTED = "#767676"  # contrast 4.5 : 1 on white, the WCAG minimum for text
FAINT = "#D8D8D8"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # colour is never the only distinction
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...")
SEQUENTIAL = "Blues"  # white to dark; white saves ink
DIVERGING = "cividis"  # blue, grey at 0, yellow; monotonic in black-and-white print (dark, grey, bright)
MANY = 2000  # more points of one kind are drawn as pixels in SVG files; as vectors, they would take megabytes

_SETTINGS: dict[str, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",  # bundled with matplotlib, so plots look the same everywhere
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
    "pdf.fonttype": 42,  # TrueType: text stays text, which journals require
    "svg.hashsalt": "dlcli",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a $ in a user's name is a literal dollar sign
}
DPI = 150  # default resolution of PNG files
_CHARACTERS_PER_INCH = 9.3  # of a bold title
_FOOTER_SIZE, _FOOTER_CHARACTERS_PER_INCH = 6.5, 19
_LONGEST_NAME = 100  # maximum number of letters of the name in a footer
_METADATA: dict[Format, dict[str, None]] = {  # without versions and times, so that the bytes are the same each time
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# Warnings of matplotlib about letters that its font lacks; it draws boxes instead.
_MISSING_LETTERS = (r"Glyph \d+", "Matplotlib currently does not support")


class Sketch(NamedTuple):
    """A plot that is not drawn yet.

    Attributes:
        title: Title in one line.
        alt: Alternative text that describes the plot, including its numbers.
        draw: Function that draws the figure.
    """

    title: str
    alt: str
    draw: Callable[[], Figure]


@contextmanager
def drawing() -> Iterator[None]:
    """Apply dlcli's settings, independent of the user's matplotlibrc, and restore the previous settings on exit."""
    logger = logging.getLogger("matplotlib")  # reports when it builds the font cache or cannot save it
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
    """Return an empty figure with a title, which is not registered with pyplot; the size is in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    title = textwrap.fill(visible(title), int(width * _CHARACTERS_PER_INCH))
    figure.suptitle(title, x=0.01, horizontalalignment="left")
    return figure


def new_axes(title: str, width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    """Return a figure with a single Axes."""
    figure = new_figure(title, width, height)
    return figure, figure.add_subplot()


def add_footer(figure: Figure, setups: Sequence[Setup], name: str) -> None:
    """Write a small grey line below a figure: data, model, optimizer and name of the run.

    Args:
        figure: Figure from `new_figure`, whose layout reserves the space of the line.
        setups: Setup of each run in the figure; the line states what they share.
        name: Name of the run, or description of the runs.
    """
    parts = [_shared_words(texts) for texts in zip(*setups, strict=True)]
    line = " · ".join(part for part in (*parts, *shorten([name], _LONGEST_NAME)) if part)
    line = textwrap.fill(visible(line), int(figure.get_figwidth() * _FOOTER_CHARACTERS_PER_INCH))
    figure.supxlabel(line, x=0.01, horizontalalignment="left", fontsize=_FOOTER_SIZE, color=MUTED)


def _shared_words(texts: Sequence[str]) -> str:
    """Return the items that all of the comma-separated texts contain, separated by spaces."""
    items = [text.split(", ") for text in texts]
    return " ".join(item for item in items[0] if all(item in others for others in items))


def format_of(file: Path) -> Format:
    """Return the format of a figure from the suffix of its file.

    Raises:
        UsageError: If the suffix is not .png, .svg or .pdf.
    """
    formats: dict[str, Format] = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
    if file.suffix.lower() not in formats:
        message = f"the name of a figure must end in .png, .svg or .pdf. Got {str(file)!r} instead"
        raise UsageError(message, hint="write it like `-o figure.pdf`; `--html FILE` writes a page")
    return formats[file.suffix.lower()]


def render(figure: Figure, format_: Format, dpi: int = DPI) -> bytes:
    """Return a figure as the content of an image file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format_, metadata=_METADATA[format_], dpi=dpi)
    return buffer.getvalue()


def shorten(names: Sequence[str], max_length: int = 14) -> list[str]:
    """Return names shortened to fit an axis, on one line each, with control characters escaped."""
    lines = [" ".join(visible(name).split()) for name in names]
    return [line if len(line) <= max_length else f"{line[: max_length - 1]}…" for line in lines]


def class_style(label: int) -> tuple[str, str]:
    """Return the colour and marker of a class; the pair is unique among the first 64 classes."""
    return COLOURS[label % len(COLOURS)], MARKERS[(label + label // len(COLOURS)) % len(MARKERS)]


def percent(fraction: float) -> str:
    """Return a fraction as text, such as `98.5 %`."""
    return f"{100 * fraction:.1f} %"
