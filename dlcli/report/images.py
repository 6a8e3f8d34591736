"""Plots embedded in a page."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlcli.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_HALF = 800  # largest width of an image on half a page, in CSS pixels
_MOST_SVG_BYTES = 90_000  # vectors stay sharp at any size; larger files may be embedded as PNG


@dataclass(frozen=True)
class Image:
    """A plot as embedded in a page.

    Attributes:
        title: Caption.
        alt: Alternative text that describes the plot.
        source: Image file as a `data:` URL.
        width: Width in CSS pixels.
        height: Height in CSS pixels.
    """

    title: str
    alt: str
    source: str
    width: int
    height: int

    @property
    def is_wide(self) -> bool:
        """Whether the image is too wide for half a page."""
        return self.width > _MOST_HALF


def embed(title: str, alt: str, draw: Callable[[], Figure]) -> Image:
    """Return a figure for a page: as SVG or, if the SVG is large, as the smaller of SVG and PNG."""
    with style.drawing():
        figure = draw()
        figure.suptitle("")  # the page shows the title as a caption
        kind, content = "svg+xml", style.render(figure, "svg")
        if len(content) > _MOST_SVG_BYTES:
            pixels = style.render(figure, "png")
            if len(pixels) < len(content):
                kind, content = "png", pixels
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Image(title, alt, f"data:image/{kind};base64,{base64.b64encode(content).decode()}", width, height)
