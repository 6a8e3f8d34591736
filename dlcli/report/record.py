"""Tables and lists of a run's record: log, layers, settings, environment and commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from torch import nn

from dlcli.config.render import flatten, render_value
from dlcli.config.schema import Config
from dlcli.data.encoding import ColumnInfo, describe_encoding
from dlcli.data.scaling import Scaling
from dlcli.model import count_parameters
from dlcli.report.html import as_text
from dlcli.report.tables import Cell, Table, Value
from dlcli.reporters.formats import round_lr
from dlcli.runs.run import command_line
from dlcli.runs.worlds import read_worlds

_MOST_EPOCHS = 40  # maximum number of rows of an unfolded or sampled table; the log has all epochs


def epochs_table(rows: Sequence[Mapping[str, float | int]], best_epoch: int | None) -> Table | None:
    """Return the log as a table; a long log is sampled evenly and includes the best and the last epoch."""
    if not rows:
        return None
    n, most = len(rows), _MOST_EPOCHS
    shown = set(range(n)) if n <= most else {round(i * (n - 1) / (most - 1)) for i in range(most)}
    if best_epoch is not None and 0 < best_epoch <= n:
        shown.add(best_epoch - 1)
    names = list(dict.fromkeys(name for row in rows for name in row))
    highest_lr = max(row.get("lr", 0.0) for row in rows)
    shortened = [{**row, "lr": round_lr(row["lr"], highest_lr)} if "lr" in row else row for row in rows]
    cells: list[list[Value]] = [[shortened[i].get(name) for name in names] for i in sorted(shown)]
    for row in cells:
        if row[0] == best_epoch:
            row[0] = Cell(row[0], mark="best")
    caption = "All epochs" if len(shown) == n else f"{len(shown)} of {n:,} epochs; metrics.csv contains all of them"
    return Table(caption, [name.replace("_", " ") for name in names], cells, is_folded=True)


def layers_table(model: nn.Sequential, in_features: int) -> Table:
    """Return a table of the model's layers and their parameters."""
    rows: list[list[Value]] = []
    size = in_features
    for i, module in enumerate(model, 1):
        if isinstance(module, nn.Linear):
            size = module.out_features
        shapes = (f"{name} {' × '.join(map(str, tensor.shape))}" for name, tensor in module.named_parameters())
        rows.append([str(i), type(module).__name__, size, ", ".join(shapes) or "–", count_parameters(module)])
    rows.append(["total", "", "", "", count_parameters(model)])
    return Table("Layers, from inputs to outputs", ["layer", "type", "outputs", "shapes", "parameters"], rows)


def columns_table(columns: Sequence[ColumnInfo], scaling: Scaling) -> Table | None:
    """Return a table of the columns and of the inputs made from them; None if the data is not a table."""
    if not columns:
        return None
    rows: list[list[Value]] = [[*described] for described in describe_encoding(columns, scaling)]
    caption = f"Columns of the table, and how x becomes an input ({len(rows):,})"
    return Table(caption, ["column", "type", "encoding"], rows, is_folded=len(rows) > _MOST_EPOCHS)


def settings_tables(config: Config, origins: Mapping[str, str]) -> list[Table]:
    """Return a table of the settings made and one of the settings left at their defaults, with their origins."""
    rows = [(key, render_value(value), origins.get(key, "")) for key, value in flatten(config).items()]
    made = [row for row in rows if row[2] != "default"]
    left = [row for row in rows if row[2] == "default"]
    headings = ("setting", "value", "origin")
    return [
        Table("Settings made for this run", headings, made),
        Table(f"{len(left)} settings left at their defaults", headings, left, is_folded=True),
    ]


def environment_facts(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the environment of a run as (name, value) pairs."""
    data = _mapping(manifest.get("data"))
    resumed = manifest.get("resumed")
    facts = [
        ("started", _moment(manifest.get("started"))),
        ("duration", _duration(summary.get("seconds"))),
        ("device", _joined(manifest, "device", "device_name", "instructions")),
        ("threads", as_text(manifest.get("threads"))),
        ("processes", as_text(size) if (size := read_worlds(manifest)[-1]["size"]) != 1 else "none"),
        ("platform", as_text(manifest.get("platform"))),
        ("host", as_text(manifest.get("host"))),
        ("folder", as_text(manifest.get("working_folder"))),
        ("git commit", as_text(manifest.get("git_commit"))),
        *((f"{name} version", as_text(value)) for name, value in _mapping(manifest.get("versions")).items()),
        ("data", as_text(data.get("name"))),
        *((f"SHA-256 of {name}", as_text(value)) for name, value in _mapping(data.get("sha256")).items()),
        *(
            ("resumed", _moment(_mapping(start).get("started")))
            for start in (resumed if isinstance(resumed, list) else ())
        ),
    ]
    return [(name, value) for name, value in facts if value != "none"]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _joined(manifest: Mapping[str, Any], *keys: str) -> str:
    return ", ".join(as_text(manifest[key]) for key in keys if manifest.get(key)) or "none"


def _moment(value: Any) -> str:
    with suppress(ValueError):
        return f"{datetime.fromisoformat(as_text(value)):%Y-%m-%d %H:%M:%S %Z}".strip()
    return as_text(value)


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:
        return as_text(seconds)
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (hours + minutes > 0)
    return " ".join([*parts, f"{rest:.0f} s" if parts else f"{rest:.1f} s"])


def reproduction_commands(path: str, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return commands that reproduce a run, as (description, command) pairs."""
    size = read_worlds(manifest)[0]["size"]
    processes = [] if size == 1 else ["--processes", str(size)]
    commands = [
        ("Train again from the settings recorded in this run", ["train", "-c", f"{path}/resolved.yaml", *processes]),
        ("Train again and compare with this run bit by bit", ["verify", path]),
        ("Evaluate this run again", ["eval", path]),
        ("Create this page again", ["report", path]),
    ]
    lines = [(description, shlex.join(["dlcli", *command])) for description, command in commands]
    if command := command_line(manifest):
        folder = manifest.get("working_folder")
        heading = f"Original command, run in {as_text(folder)}" if folder else "Original command"
        lines.insert(0, (heading, command))
    return lines
