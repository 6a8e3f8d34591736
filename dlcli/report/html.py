"""Shared parts of all pages: rendering, escaping, number formats, embedded plots and Content-Security-Policy."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from dlcli.errors import DataError, visible
from dlcli.plots import style
from dlcli.runs.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKAGE = "dlcli.report"
# Text in backticks, or a setting: optimizer.lr=0.1, model.hidden_sizes=[64, 32].
_CODE = re.compile(r"`([^`]+)`|((?<![\w.])[a-z_]+(?:\.[a-z_]+)*=(?:\[[^\]]*\]|\{[^}]*\}|[^\s;,]+))")
_MOST_HALF = 800  # largest width of an image on half a page, in CSS pixels
_MOST_SVG_BYTES = 90_000  # vectors stay sharp at any size; larger files may be embedded as PNG
_ANOTHER_FILE = "choose another file, such as report.html"


def render_page(template: str, sections: Sequence[tuple[str, str, Any]], **content: Any) -> str:
    """Render a page; text in `content` is escaped.

    Args:
        template: File name of the template.
        sections: Id and heading of each section, and whether the page contains it.
        content: Variables of the template.
    """
    css = files(_PACKAGE).joinpath("style.css").read_text(encoding="utf-8")
    present = [(id_, heading) for id_, heading, is_present in sections if is_present]
    shared = {"sections": present, "policy": _policy(css), "version": version("dlcli")}
    return _environment().get_template(template).render(**content, **shared, style=Markup(css))  # noqa: S704  # our own file


def write_page(file: Path, page: bytes) -> None:
    """Write a page atomically.

    Raises:
        DataError: If the file cannot be written, or the path exists and is not a regular file.
    """
    try:
        if file.exists() and not file.is_file():
            raise DataError(f"cannot write {file}: it exists and is not a regular file")
        write_atomic(file, page)
    except ValueError as error:  # such as a NUL character in the path
        raise DataError(f"cannot write {str(file)!r}: not a valid file name", hint=_ANOTHER_FILE) from error
    except DataError as error:
        raise DataError(error.message, hint=_ANOTHER_FILE) from error


def _policy(css: str) -> str:
    """Return a Content-Security-Policy that allows only embedded images and this style sheet."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # Markup is already escaped
    )
    environment.filters |= {"number": number, "code": code}
    return environment


def number(value: Any) -> str:
    """Return a number as text with four decimals, as in `dlcli eval`; a missing value becomes a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:,.4f}"


def code(text: str) -> Markup:
    """Return HTML with settings and text in `backticks` as code; a `dlcli` command is code as a whole."""
    text = visible(text)
    if "`" not in text and text.startswith("dlcli "):
        text = f"`{text}`"
    parts, end = [], 0
    for match in _CODE.finditer(text):
        parts += [escape(text[end : match.start()]), Markup("<code>{}</code>").format(match[1] or match[2])]
        end = match.end()
    return Markup().join([*parts, escape(text[end:])])


def as_text(value: Any) -> str:
    """Return a value of any type, from a record that may be damaged or foreign, as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(as_text, value)) or "none"
    return "none" if value is None else number(value) if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Image:
    """A plot as embedded in a page: caption, alternative text, file as a `data:` URL, and size in CSS pixels.

    A photograph shows examples or weights as images, in which brightness has a meaning.
    """

    title: str
    alt: str
    source: str
    width: int
    height: int
    is_photograph: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether the image is too wide for half a page."""
        return self.width > _MOST_HALF


def embed(title: str, alt: str, draw: Callable[[], Figure], *, is_photograph: bool = False) -> Image:
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
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return Image(title, alt, source, width, height, is_photograph)
