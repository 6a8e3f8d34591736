"""Faults planted into six tables: the check finds each of them and names its column."""

from __future__ import annotations

import csv
import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import pytest
from nine_tables import find_table

from dlcli.config.load import load_config
from dlcli.data.check.check import check_data, check_file
from dlcli.data.check.finding import DataFinding
from dlcli.errors import DataError

Rows: TypeAlias = list[dict[str, str]]
Plant: TypeAlias = Callable[[Rows, np.random.Generator], str]


@cache
def _table(name: str) -> tuple[dict[str, str], ...]:
    if name in ("weather", "rents"):
        return tuple(_made_up(name))
    with TemporaryDirectory() as folder, find_table(name, Path(folder)).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _made_up(name: str) -> Rows:
    rng, rows = np.random.default_rng(5), []
    for _ in range(400):
        size, wind, town = rng.normal(70, 20), rng.gamma(2.0, 4.0), rng.choice(["Ulm", "Köln", "Bonn"])
        outcome = size / 20 + wind / 8 + (town == "Köln") + rng.normal()
        target = f"{300 + 90 * outcome:.2f}" if name == "rents" else ("rain", "sun")[int(outcome > 5)]
        rows.append({"size": f"{size:.1f}", "wind": f"{wind:.2f}", "town": str(town), "target": target})
    return rows


TABLES = ("iris", "wine", "breast_cancer", "diabetes", "weather", "rents")


def each(name: str, value: Callable[[int, dict[str, str]], object]) -> Plant:
    """Return a fault that adds a column with a value for each row."""

    def plant(rows: Rows, rng: np.random.Generator) -> str:
        for i, row in enumerate(rows):
            row[name] = str(value(i, row))
        return name

    return plant


def drawn(name: str, value: Callable[[np.random.Generator], object]) -> Plant:
    """Return a fault that adds a column with a random value for each row."""

    def plant(rows: Rows, rng: np.random.Generator) -> str:
        for row in rows:
            row[name] = str(value(rng))
        return name

    return plant


def spoiled(values: tuple[str, ...], share: float) -> Plant:
    """Return a fault that adds a column of numbers, some of which are replaced by other values."""

    def plant(rows: Rows, rng: np.random.Generator) -> str:
        for i, row in enumerate(rows):
            row["planted"] = f"{rng.gamma(3.0, 5.0):.1f}"
            if rng.random() < share or i == 0:
                row["planted"] = values[i % len(values)]
        return "planted"

    return plant


def shuffled_counter(rows: Rows, rng: np.random.Generator) -> str:
    for row, number in zip(rows, rng.permutation(len(rows)), strict=True):
        row["planted"] = str(number)
    return "planted"


def outlier(rows: Rows, rng: np.random.Generator) -> str:
    column = drawn("planted", lambda rng: f"{rng.normal(170, 10):.1f}")(rows, rng)
    for row in rows[::60][:3]:  # one at least is no test example
        row[column] = "17000"
    return column


def spelled(*names: str) -> Plant:
    def plant(rows: Rows, rng: np.random.Generator) -> str:
        for i, row in enumerate(rows):
            row["planted"] = names[0] if i % 5 == 0 else ("female", names[1])[int(rng.random() < 0.5)]
        return "planted"

    return plant


def repeated(rows: Rows, rng: np.random.Generator) -> str:
    rows += [dict(row) for row in rows]
    return ""


def contradicting(rows: Rows, rng: np.random.Generator) -> str:
    targets = [row["target"] for row in rows]
    rows += [{**row, "target": target} for row, target in zip(list(rows), reversed(targets), strict=True)]
    return "target"


def equal_columns(rows: Rows, rng: np.random.Generator) -> str:
    first = next(iter(rows[0]))
    return each("planted", lambda _, row: row[first])(rows, rng)


def leaking(rows: Rows, rng: np.random.Generator) -> str:
    """Add the target with noise, as a number."""
    names = sorted({row["target"] for row in rows})
    numbers = [_number(row["target"], names) for row in rows]
    spread = float(np.std(numbers)) if len(names) > 20 else 1.0
    for row, number in zip(rows, numbers, strict=True):
        row["planted"] = f"{3 - 7 * (number + 0.02 * spread * rng.normal()):.4f}"
    return "planted"


def curved(rows: Rows, rng: np.random.Generator) -> str:
    """Add a function of the target that is no line and falls in one part."""
    names = sorted({row["target"] for row in rows})
    numbers = np.array([_number(row["target"], names) for row in rows])
    scaled = (numbers - numbers.min()) / np.ptp(numbers)
    for row, value in zip(rows, scaled, strict=True):
        row["planted"] = f"{np.exp(3 * value) + 1e-3 * rng.normal():.5f}"
    return "planted"


def renamed(rows: Rows, rng: np.random.Generator) -> str:
    """Add the target in other words."""
    names = sorted({row["target"] for row in rows})
    for row in rows:
        number = _number(row["target"], names)
        row["planted"] = f"{2 * number + 1:.6f}" if len(names) > 20 else f"group {names.index(row['target'])}"
    return "planted"


def _number(target: str, names: list[str]) -> float:
    return float(target) if len(names) > 20 else float(names.index(target))


def rare_class(rows: Rows, rng: np.random.Generator) -> str:
    if len({row["target"] for row in rows}) < 20:
        rows += [{**row, "target": "unknown"} for row in rows[:5]]
        return "target"
    return spelled("Male", "male")(rows, rng)  # a table without classes


def class_in_two_spellings(rows: Rows, rng: np.random.Generator) -> str:
    if len({row["target"] for row in rows}) > 20:
        return spelled("MALE", "male")(rows, rng)
    for row in rows[::3]:
        row["target"] = row["target"].upper()
    return "target"


def without_header(rows: Rows, rng: np.random.Generator) -> str:
    """Name each column by its value in a row, as if the first line were data."""
    each("planted", lambda i, _: "north" if i % 3 else "south")(rows, rng)
    template = {
        key: f"{value}1" if i and value[-1].isdigit() else value for i, (key, value) in enumerate(rows[0].items())
    }
    names = {key: (f"{value}{i}" if "." in value else value) for i, (key, value) in enumerate(template.items())}
    names |= {"target": "target", "planted": "north"}
    rows[:] = [{names[key]: value for key, value in row.items()} for row in rows]
    return "north"


KINDS: dict[str, tuple[Plant, str]] = {  # the fault and the name of the finding; "error" if the table is refused
    "constant number": (each("planted", lambda i, _: 7), "constant"),
    "constant text": (each("planted", lambda i, _: "yes"), "constant"),
    "constant beside gaps": (each("planted", lambda i, _: "" if i % 4 == 0 else 3), "constant"),
    "empty column": (each("planted", lambda i, _: ""), "constant"),
    "row number": (each("planted", lambda i, _: i + 1), "identifier"),
    "shuffled row number": (shuffled_counter, "identifier"),
    "text identifier": (each("planted", lambda i, _: f"P{i:05}"), "identifier"),
    "uuid": (each("planted", lambda i, _: uuid.UUID(int=7919 * (i + 1) << 64)), "identifier"),
    "long numbers": (each("customer_id", lambda i, _: 10_000_000 + (7919 * i) % 999_983), "identifier"),
    "dates": (each("planted", lambda i, _: dt.date(2020, 1, 1) + dt.timedelta(days=i // 3)), "date"),
    "free text": (each("planted", lambda i, _: f"the {i}th visit of a patient who said {i // 2} words"), "identifier"),
    "copy of the target": (each("planted", lambda i, row: row["target"]), "gives-target-away"),
    "target in other words": (renamed, "gives-target-away"),
    "target with noise": (leaking, "gives-target-away"),
    "curve of the target": (curved, "gives-target-away"),
    "units": (drawn("planted", lambda rng: f"{rng.integers(40, 140)} kg"), "numbers-as-text"),
    "percent": (drawn("planted", lambda rng: f"{rng.integers(0, 80)} %"), "numbers-as-text"),
    "decimal commas": (drawn("planted", lambda rng: f"{rng.integers(0, 80)},{rng.integers(0, 10)}"), "error"),
    "currency": (drawn("planted", lambda rng: f"${rng.integers(1, 99)},{rng.integers(100, 999)}"), "numbers-as-text"),
    "numbers and words": (spoiled(("unknown", "none"), 0.2), "mixed"),
    "a single word": (spoiled(("about 12",), 0.0), "error"),
    "-999": (spoiled(("-999",), 0.1), "sentinel"),
    "-1": (spoiled(("-1",), 0.1), "sentinel"),
    "9999": (spoiled(("9999",), 0.1), "sentinel"),
    "two sentinels": (spoiled(("-99", "-999"), 0.1), "sentinel"),
    "outlier": (outlier, "outlier"),
    "case": (spelled("Male", "male"), "spelling"),
    "blanks": (spelled(" male", "male"), "spelling"),
    "double blanks": (spelled("male  adult", "male adult"), "spelling"),
    "class in two spellings": (class_in_two_spellings, "spelling"),
    "all names with blanks": (drawn("planted", lambda rng: rng.choice([" male", " female"])), "blanks"),
    "few numbers": (drawn("planted", lambda rng: rng.integers(1, 6)), "few-values"),
    "mostly missing": (
        drawn("planted", lambda rng: f"{rng.normal():.3f}" if rng.random() < 0.3 else ""),
        "mostly-missing",
    ),
    "equal columns": (equal_columns, "equal-columns"),
    "copies": (repeated, "copies"),
    "contradictions": (contradicting, "contradictions"),
    "rare class": (rare_class, "rare-class"),
    "no header": (without_header, "header"),
}


def check_planted(rows: Rows, *, settings: dict[str, object] | None = None) -> list[DataFinding]:
    """Check rows as a file, or as the data of a config with some settings."""
    with open("planted.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if settings is None:
        return list(check_file("planted.csv", "target").findings)
    task = "regression" if len({row["target"] for row in rows}) > 20 else "classification"
    data = {"name": "csv", "path": "planted.csv", "target": "target", "missing": "mean", **settings}
    return list(check_data(load_config({"task": task, "data": data}).config).findings)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_fault_is_found_and_its_column_named(kind: str, table: str) -> None:
    rows, (plant, name) = [dict(row) for row in _table(table)], KINDS[kind]
    column = plant(rows, np.random.default_rng(0))
    if kind == "rare class" and column != "target":
        name = "spelling"
    if name == "error":
        with pytest.raises(DataError, match=f"planted.csv.*column '{column}'"):
            check_planted(rows)
        return
    findings = check_planted(rows)
    assert any(
        finding.name == name and (finding.column == column or repr(column) in finding.evidence) for finding in findings
    ), findings
    assert all(finding.evidence and finding.advice for finding in findings)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", ["numbers", "categories", "gaps", "new category"])
def test_a_difference_between_train_and_val_is_found(kind: str, table: str) -> None:
    rows, rng = [dict(row) for row in _table(table)], np.random.default_rng(0)
    for i, row in enumerate(rows):
        row["part"] = "train" if i % 5 < 3 else ("val", "test")[i % 5 - 3]
        is_val = row["part"] == "val"
        row["planted"] = {
            "numbers": f"{rng.normal(3.0 * is_val, 1.0):.3f}",
            "categories": "ab"[int(rng.random() < (0.9 if is_val else 0.1))],
            "gaps": "" if is_val and rng.random() < 0.8 else f"{rng.normal():.3f}",
            "new category": "new" if is_val and rng.random() < 0.5 else "old",
        }[kind]
    findings = check_planted(rows, settings={"split": "part"})
    assert ("train-val-differ", "planted") in [(finding.name, finding.column) for finding in findings], findings


def test_a_class_missing_from_val_is_found() -> None:
    rows = [dict(row) for row in _table("iris")]
    for i, row in enumerate(rows):
        row["part"] = "test" if i % 4 == 3 else "val" if i % 4 == 2 and row["target"] != "setosa" else "train"
    findings = {finding.name: finding for finding in check_planted(rows, settings={"split": "part"})}
    assert (findings["missing-class"].column, findings["missing-class"].evidence) == ("target", "'setosa'")


def test_decimal_commas_among_decimal_points_are_found_where_the_decimal_mark_is_given() -> None:
    rows = [{**row, "planted": f"{i % 9},{i % 10}"} for i, row in enumerate(_table("iris"))]
    findings = check_planted(rows, settings={"decimal": "."})
    advice = {finding.column: finding.advice for finding in findings if finding.name == "numbers-as-text"}
    assert 'data.decimal=","' in advice["planted"]


def test_values_of_test_examples_have_no_part_in_the_check() -> None:
    rows = [dict(row) for row in _table("rents")]
    for i, row in enumerate(rows):
        row["part"] = ("train", "train", "val", "test")[i % 4]
    changed = [
        {**row, "size": f"{1000 * float(row['size']):.1f}", "town": "Bonn"} if row["part"] == "test" else row
        for row in rows
    ]
    data = {"name": "csv", "path": "planted.csv", "target": "target", "split": "part"}
    checks = []
    for table in (rows, changed):
        check_planted(table, settings={"split": "part"})
        checks.append(asdict(check_data(load_config({"task": "regression", "data": data}).config)))
    assert checks[0] == checks[1]


def test_numbers_that_float32_cannot_tell_apart_give_the_target_away() -> None:
    rows = [dict(row) for row in _table("weather")]
    for i, row in enumerate(rows):
        row["planted"] = str(1_700_000_000_000 + i % 50 + 60 * (row["target"] == "rain"))
    findings = [(finding.name, finding.column) for finding in check_planted(rows)]
    assert ("gives-target-away", "planted") in findings
