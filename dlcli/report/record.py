"""What a run left behind -> the tables and lists that show it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from dlcli.config.render import flatten, render_value
from dlcli.config.schema import Config
from dlcli.report.html import plain
from dlcli.report.tables import Cell, Table, Value

_MOST_EPOCHS = 40  # rows of the table; the log has them all


@dataclass(frozen=True)
class Layer:
    """One module of a model.

    Attributes:
        name: What it is.
        outputs: How many numbers leave it.
        shapes: Of its parameters, in words; "" for none.
        parameters: How many numbers training changes in it.
    """

    name: str
    outputs: int
    shapes: str
    parameters: int


def epochs_table(rows: Sequence[Mapping[str, float | int]], best_epoch: int | None) -> Table | None:
    """Return the log as a table: of a long run, epochs evenly spread, with the best and the last."""
    if not rows:
        return None
    n, most = len(rows), _MOST_EPOCHS
    shown = set(range(n)) if n <= most else {round(i * (n - 1) / (most - 1)) for i in range(most)}
    if best_epoch is not None and 0 < best_epoch <= n:
        shown.add(best_epoch - 1)
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells: list[list[Value]] = [[rows[i].get(name) for name in names] for i in sorted(shown)]
    for row in cells:
        if row[0] == best_epoch:
            row[0] = Cell(row[0], mark="best")
    caption = "Each epoch" if len(shown) == n else f"{len(shown)} of {n:,} epochs; metrics.csv has them all"
    return Table(caption, [name.replace("_", " ") for name in names], cells, is_folded=True)


def layers_table(layers: Sequence[Layer]) -> Table | None:
    """Return the model's layers and how many parameters each has."""
    if not layers:
        return None
    rows: list[list[Value]] = [
        [str(i), one.name, one.outputs, one.shapes or "–", one.parameters] for i, one in enumerate(layers, 1)
    ]
    rows.append(["all", "", "", "", sum(one.parameters for one in layers)])
    return Table("From inputs to outputs", ["layer", "what", "outputs", "shapes", "parameters"], rows)


def settings_tables(config: Config, origins: Mapping[str, str]) -> list[Table]:
    """Return the settings that were made, and those left at their defaults, each with where it came from."""
    rows = [(key, render_value(value), origins.get(key, "")) for key, value in flatten(config).items()]
    made = [row for row in rows if row[2] != "default"]
    left = [row for row in rows if row[2] == "default"]
    headings = ("setting", "value", "origin")
    return [
        Table("Settings made for this run", headings, made),
        Table(f"{len(left)} settings left at their defaults", headings, left, is_folded=True),
    ]


def environment_facts(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a run was made with: (what, which)."""
    data = _mapping(manifest.get("data"))
    resumed = manifest.get("resumed")
    facts = [
        ("started", _moment(manifest.get("started"))),
        ("took", _duration(summary.get("seconds"))),
        ("device", _joined(manifest, "device", "device_name", "instructions")),
        ("threads", plain(manifest.get("threads"))),
        ("platform", plain(manifest.get("platform"))),
        ("host", plain(manifest.get("host"))),
        ("folder", plain(manifest.get("working_folder"))),
        ("git commit", plain(manifest.get("git_commit"))),
        *((f"{name} version", plain(one)) for name, one in _mapping(manifest.get("versions")).items()),
        ("data", plain(data.get("name"))),
        *((f"SHA-256 of {name}", plain(one)) for name, one in _mapping(data.get("sha256")).items()),
        *(("resumed", _moment(_mapping(one).get("started"))) for one in (resumed if isinstance(resumed, list) else ())),
    ]
    return [(what, which) for what, which in facts if which != "none"]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _joined(manifest: Mapping[str, Any], *keys: str) -> str:
    return ", ".join(plain(manifest[key]) for key in keys if manifest.get(key)) or "none"


def _moment(value: Any) -> str:
    with suppress(ValueError):
        return f"{datetime.fromisoformat(plain(value)):%Y-%m-%d %H:%M:%S %Z}".strip()
    return plain(value)


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:
        return plain(seconds)
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (hours + minutes > 0)
    return " ".join([*parts, f"{rest:.0f} s" if parts else f"{rest:.1f} s"])


def repeat_commands(path: str, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return commands that lead here again: (what it does, what to type)."""
    command = manifest.get("command")
    commands = [
        (
            "Train from this run's own record, wherever the first config is now",
            _typed("train", "-c", f"{path}/resolved.yaml"),
        ),
        ("Train again and compare with this run, bit for bit", _typed("verify", path)),
        ("Measure it again", _typed("eval", path)),
        ("Make this page again", _typed("report", path)),
    ]
    if isinstance(command, (list, tuple)) and command:
        folder = manifest.get("working_folder")
        where = f"As it was typed, in {plain(folder)}" if folder else "As it was typed"
        commands.insert(0, (where, " ".join([_program(plain(command[0])), *_quoted(map(plain, command[1:]))])))
    return commands


def _program(path: str) -> str:
    return "dlcli" if PurePath(path).name in ("__main__.py", "dlcli") else shlex.quote(path)


def _typed(*words: str) -> str:
    return " ".join(["dlcli", *_quoted(words)])


def _quoted(words: Iterable[str]) -> list[str]:
    return [shlex.quote(word) for word in words]
