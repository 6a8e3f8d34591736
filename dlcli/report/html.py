"""Shared parts of all pages: rendering, escaping, number formats and Content-Security-Policy."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from dlcli.errors import visible

_PACKAGE = "dlcli.report"
# Text in backticks, or a setting: optimizer.lr=0.1, model.hidden_sizes=[64, 32].
_CODE = re.compile(r"`([^`]+)`|((?<![\w.])[a-z_]+(?:\.[a-z_]+)*=(?:\[[^\]]*\]|\{[^}]*\}|[^\s;,]+))")


def render_page(template: str, **content: Any) -> str:
    """Render a page; text in `content` is escaped.

    Args:
        template: File name of the template.
        content: Variables of the template.
    """
    style = files(_PACKAGE).joinpath("style.css").read_text(encoding="utf-8")
    page = _environment().get_template(template)
    return page.render(**content, style=Markup(style), policy=_policy(style), version=version("dlcli"))  # noqa: S704  # our own file


def _policy(style: str) -> str:
    """Return a Content-Security-Policy that allows only embedded images and this style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
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
