"""Pictures inside a page."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlcli.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_HALF = 800  # CSS pixels
_MOST_SVG_BYTES = 90_000  # text stays sharp at any size; beyond, pixels may be smaller


@dataclass(frozen=True)
class Image:
    """A picture as a page holds it.

    Attributes:
        title: Its caption.
        alt: What is to be seen, in words.
        source: The file itself, as a `data:` address.
        width: In CSS pixels.
        height: In CSS pixels.
    """

    title: str
    alt: str
    source: str
    width: int
    height: int

    @property
    def is_wide(self) -> bool:
        """Whether it is too much for half a page."""
        return self.width > _MOST_HALF


def embed(title: str, alt: str, draw: Callable[[], Figure]) -> Image:
    """Return a figure for a page: as SVG, or where that is large, as whichever of SVG and PNG is smaller."""
    with style.drawing():
        figure = draw()
        figure.suptitle("")  # the page says it
        kind, content = "svg+xml", style.render(figure, "svg")
        if len(content) > _MOST_SVG_BYTES:
            pixels = style.render(figure, "png")
            if len(pixels) < len(content):
                kind, content = "png", pixels
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Image(title, alt, f"data:image/{kind};base64,{base64.b64encode(content).decode()}", width, height)
