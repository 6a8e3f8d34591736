"""Tables of text as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Literal, TypeAlias

from dlcli.errors import one_line

TableFormat: TypeAlias = Literal["md", "csv", "tex"]
Rows: TypeAlias = Sequence[Sequence[str]]

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%_#${}"},
    "★": r"$\star$",
    "≈": r"$\approx$",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def format_table(headings: Sequence[str], rows: Rows, format_: TableFormat) -> str:
    """Return a table as text of a format, without a newline at the end; the first column is left-aligned."""
    return {"md": _markdown, "csv": _csv, "tex": _latex}[format_](headings, rows)


def _markdown(headings: Sequence[str], rows: Rows) -> str:
    """Return a GitHub-flavoured Markdown table."""
    table = [[_escape_markdown(cell) for cell in row] for row in (headings, *rows)]
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table[0], rule, *table[1:]))


def _escape_markdown(text: str) -> str:
    return "".join(f"\\{character}" if character in r"\`*_[]<>|" else character for character in one_line(text))


def _csv(headings: Sequence[str], rows: Rows) -> str:
    """Return comma-separated values with quotes where necessary (RFC 4180, with newlines as line ends)."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([headings, *rows])
    return buffer.getvalue().removesuffix("\n")


def _latex(headings: Sequence[str], rows: Rows) -> str:
    """Return a tabular for the booktabs package."""
    head, *body = (
        " & ".join("".join(_TEX.get(letter, letter) for letter in one_line(cell)) for cell in row) + r" \\"
        for row in (headings, *rows)
    )
    lines = [r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    columns = "l" + "r" * (len(headings) - 1)
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *(f"  {line}" for line in lines), r"\end{tabular}"])
