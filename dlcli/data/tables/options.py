"""Options of the table readers, and the text of hints that name them."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from dlcli.data.tables.records import shown
from dlcli.errors import DataError

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHELL = re.compile(r"""[\s"'`$&;|<>()*?!~\\#]""")  # characters that a shell interprets
_YAML_WORDS = {"true", "false", "null"}  # YAML 1.2
ForcedKind: TypeAlias = Literal["number", "boolean", "category", "class"]


@dataclass(frozen=True)
class ReadOptions:
    """Options for reading a table; `auto` detects a value from the file.

    Attributes:
        separator: Separator between fields, one character.
        decimal: Decimal mark, `.` or `,`.
        encoding: Text encoding.
        null_values: Texts that are missing values in all columns, besides the empty text; in columns of numbers,
            99 also matches 99.0. NA, N/A, NaN, null, ? and - are missing in columns of numbers and booleans anyway.
        types: Types by column name, which replace the detected types. A value that does not fit is an error. `class` is
            a category; NA and the like are missing in it only if all other values are numbers, or all are booleans.
        columns: Names of the columns to return; None for all. The others are not typed.
        ignored: Names of columns to leave out, whatever their values are.
        typed: Types in `types` that the user has set; hints repeat them.
    """

    separator: str = "auto"
    decimal: str = "auto"
    encoding: str = "auto"
    null_values: Sequence[str] | Literal["auto"] = "auto"
    types: Mapping[str, ForcedKind] = field(default_factory=dict)
    columns: Collection[str] | None = None
    ignored: Collection[str] = ()
    typed: Mapping[str, str] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        """Return whether a column is to be returned."""
        return (self.columns is None or name in self.columns) and name not in self.ignored

    @property
    def nulls(self) -> tuple[str, ...]:
        """Texts that the user has typed as missing values."""
        return () if self.null_values == "auto" else tuple(self.null_values)

    def emptying(self, text: str) -> str:
        """Return the setting that also makes a text a missing value, as a shell argument."""
        return list_setting("data.null_values", dict.fromkeys([*self.nulls, text]))

    def typing(self, name: str, kind: str) -> str:
        """Return the setting that gives a column a type, as a shell argument."""
        return types_setting({**self.typed, name: kind})

    def ignoring(self, name: str) -> str:
        """Return the setting that also leaves a column out, as a shell argument."""
        return list_setting("data.ignore", [*self.ignored, name])


def check_marks(options: ReadOptions) -> None:
    """Raise DataError if the separator or the decimal mark is not a valid one."""
    mark = options.separator
    if mark != "auto" and (len(mark) != 1 or mark.isalnum() or mark in '"\r\n\0.+-'):
        hint = 'type data.separator=auto, ",", ";", "|" or "\\t"'
        raise DataError(
            f"data.separator must be one character other than letters, digits and quotes. Got {mark!r} instead",
            hint=hint,
        )
    if options.decimal not in ("auto", ".", ","):
        message = f"data.decimal must be auto, a point or a comma. Got {options.decimal!r} instead"
        raise DataError(message, hint='type data.decimal=auto, "." or ","')


def check_names(file: str, header: Sequence[str], options: ReadOptions) -> None:
    """Raise DataError if `columns`, `types` or `ignored` name a column that the header lacks."""
    for name in [*(options.columns or ()), *options.types, *options.ignored]:
        if name not in header:
            close = difflib.get_close_matches(name, header, n=1)
            hint = f"did you mean {shown(close[0])}? " if close else ""
            names = ", ".join(shown(column) for column in header[:20]) + (", …" if len(header) > 20 else "")
            raise DataError(f"{file}:1: column '{shown(name)}' is not in the file", hint=f"{hint}columns: {names}")


def typed(text: str) -> str:
    """Return a name or value as the user types it within [...] or {...} on the command line."""
    if _PLAIN_NAME.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def list_setting(key: str, values: Iterable[str]) -> str:
    """Return a setting with a list, such as `data.ignore=[a, b]`, as a shell argument."""
    return _as_argument(f"{key}=[{', '.join(map(typed, values))}]")


def types_setting(types: Mapping[str, str]) -> str:
    """Return the setting of column types as a shell argument."""
    return _as_argument(f"data.types={{{', '.join(f'{typed(name)}: {kind}' for name, kind in types.items())}}}")


def name_setting(key: str, name: str) -> str:
    """Return a setting with the name of a column as a shell argument."""
    return _as_argument(f"{key}={typed(name)}")


def _as_argument(setting: str) -> str:
    return shlex.quote(setting) if _SHELL.search(setting) else setting


def bad_number_hint(name: str, text: str, decimal: str, options: ReadOptions) -> str:
    """Return the hint for a value in a number column that is not a number."""
    other = "," if decimal == "." else "."
    if text.strip() == name:
        return "delete the line if it repeats the column names"
    if re.fullmatch(rf"[+-]?\d+\{other}\d+", text.strip()):
        return f'if "{other}" is the decimal mark of the file, type data.decimal="{other}"; else correct the value'
    return (
        f"correct the value; if it stands for a missing one, type {options.emptying(text)}; "
        f"if the column has categories, type {options.typing(name, 'category')}; or {options.ignoring(name)}"
    )
