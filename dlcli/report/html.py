"""What every page shares: escaping, numbers as text, the frame, and what the browser is forbidden."""

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

_HERE = "dlcli.report"
# What stands in backticks, or a setting: optimizer.lr=0.1, model.hidden_sizes=[64, 32].
_CODE = re.compile(r"`([^`]+)`|((?<![\w.])[a-z_]+(?:\.[a-z_]+)*=(?:\[[^\]]*\]|\{[^}]*\}|[^\s;,]+))")


def render_page(template: str, **content: Any) -> str:
    """Return a page; whatever text is in `content` is shown as text.

    Args:
        template: Its file's name.
        content: What the template shows.
    """
    style = files(_HERE).joinpath("style.css").read_text(encoding="utf-8")
    page = _environment().get_template(template)
    return page.render(**content, style=Markup(style), policy=_policy(style), version=version("dlcli"))  # noqa: S704  # ours


def _policy(style: str) -> str:
    """Return a Content-Security-Policy: pictures within the page, this one style sheet, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # what is Markup is escaped already
    )
    environment.filters |= {"number": number, "code": code}
    return environment


def number(value: Any) -> str:
    """Return a figure as text: four decimals, as `dlcli eval` has it; what is undefined as a dash."""
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
    """Return text with settings, and what stands in `backticks`, as code; a command is code as a whole."""
    text = visible(text)
    if "`" not in text and text.startswith("dlcli "):
        text = f"`{text}`"
    parts, end = [], 0
    for found in _CODE.finditer(text):
        parts += [escape(text[end : found.start()]), Markup("<code>{}</code>").format(found[1] or found[2])]
        end = found.end()
    return Markup().join([*parts, escape(text[end:])])


def plain(value: Any) -> str:
    """Return a value from a record that may come from anywhere as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(one)}" for key, one in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value)) or "none"
    return "none" if value is None else number(value) if isinstance(value, float) else str(value)
