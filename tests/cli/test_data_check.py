"""`dlcli data check` and `dlcli config init` on tables and pictures, and duplicates in the output of other commands."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished
from picture_files import write_classes

Dlcli = Callable[..., Finished]


def write_visits(extra: str = "") -> None:
    """Write a table with an identifier, sentinels and, in 40 rows, copies."""
    rows = [
        f"P{i:03},{i * 37 % 101},{'-999' if i % 9 == 0 else i * 53 % 97},{('no', 'yes')[i % 3 > 0]}" for i in range(200)
    ]
    copies = [f"Q{row[1:]}" for row in rows[:40]]
    Path("visits.csv").write_text("\n".join(["patient,age,weight,ill", *rows, *copies, extra]).rstrip() + "\n")


def test_the_check_shows_columns_classes_rows_and_findings(dlcli: Dlcli) -> None:
    write_visits()
    done = dlcli("data", "check", "visits.csv", "--target", "ill")
    assert done.code == 0, done.err
    assert done.out.splitlines()[:4] == [
        "visits.csv: 240 rows",
        "separator ',', decimal '.', encoding 'utf-8'",
        "173 train, 19 val, 48 test, drawn at random, by class",
        "classification, target ill",
    ]
    words = [line.split() for line in done.out.splitlines()]
    assert any(line[:3] == ["age", "number", "0"] and line[4:7] == ["1", "scaled", "input"] for line in words)
    assert any(line[:2] == ["patient", "category"] and "left out" in " ".join(line) for line in words)
    assert ["class", "train", "val", "test"] in words
    assert ["example", "age", "weight", "ill", "patient"] in words
    findings = done.out.partition(" findings\n")[2]
    assert [line for line in findings.splitlines() if line and line[0] != " "] == [
        *("sentinel: weight", "identifier: patient", "copies")
    ]
    assert "try: 'data.null_values=[\"-999\"]' data.missing=mean" in findings


def test_the_json_has_all_figures_and_strict_fails(dlcli: Dlcli) -> None:
    write_visits()
    done = dlcli("data", "check", "visits.csv", "--target", "ill", "--json", "--strict")
    check = json.loads(done.out)
    assert (done.code, check["error"]["code"]) == (6, 6)
    assert list(check) == [
        *("data", "task", "target", "files", "splits", "drawn", "found", "findings", "notes", "columns", "classes"),
        *("first_rows", "sizes", "modes", "error"),
    ]
    assert list(check["findings"][0]) == ["name", "column", "statement", "evidence", "advice"]
    age = next(column for column in check["columns"] if column["name"] == "age")
    assert {**age, "mean": 0, "distinct": 0} == {
        "name": "age",
        "type": "number",
        "missing": 0,
        "distinct": 0,
        "low": 0.0,
        "high": 100.0,
        "mean": 0,
        "top": {},
        "becomes": "1 scaled input",
        "features": 1,
    }
    assert sum(check["splits"].values()) == 240
    assert dlcli("data", "check", "digits", "--strict").code == 0


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_page_fits_on_the_terminal(dlcli: Dlcli, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    write_visits()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = dlcli("data", "check", "visits.csv", "--target", "ill").out
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in shown.splitlines()]
    assert max(map(len, lines)) <= max(width, len(lines[2]))
    assert all(name in shown for name in ("patient", "age", "weight", "ill"))


def test_data_that_cannot_be_used_are_an_error(dlcli: Dlcli) -> None:
    write_visits("P999,12,heavy,yes")
    done = dlcli("data", "check", "visits.csv", "--target", "ill")
    assert (done.code, "visits.csv:242: column 'weight' has 'heavy'" in done.err) == (3, True)
    done = dlcli("data", "check", "visits.csv")
    assert (done.code, "patient, age, weight, ill" in done.err) == (3, False)
    write_visits()
    done = dlcli("data", "check", "visits.csv")
    assert (done.code, "add `--target COLUMN`: patient, age, weight, ill" in done.err) == (2, True)
    assert dlcli("data", "check", "missing.csv", "--target", "x").code == 3
    assert dlcli("data", "check", "digits", "--target", "x").code == 2


def test_copies_are_noted_in_training_evaluation_and_report(dlcli: Dlcli) -> None:
    write_visits()
    assert dlcli("config", "init", "--data", "visits.csv", "--target", "ill", "-o", "ill.yaml").code == 0
    trained = dlcli("train", "-c", "ill.yaml", "training.epochs=2", "--run-dir", "run", "--eval")
    assert trained.code == 0, trained.err
    sentence = "48 test examples ("
    assert f"of {sentence}" in trained.err
    (note,) = [line for line in trained.err.splitlines() if sentence in line]
    evaluated = dlcli("eval", "run")
    assert note.removeprefix("note: ") in " ".join(evaluated.out.split())
    assert note.removeprefix("note: ") in json.loads(dlcli("eval", "run", "--json").out)["statements"]
    assert dlcli("report", "run").code == 0
    assert note.removeprefix("note: ") in Path("run/report.html").read_text()


def test_a_config_for_a_folder_of_pictures_trains_as_it_is(dlcli: Dlcli) -> None:
    write_classes(n=12)
    Path("pictures/a/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = dlcli("config", "init", "--data", "pictures", "-o", "mine.yaml")
    assert (done.code, "3×4: the size of the pictures; grayscale: no colours" in done.out) == (0, True)
    text = Path("mine.yaml").read_text()
    assert "  unreadable: skip  # skipped 1 unreadable picture: a/broken.png" in text
    assert dlcli("train", "-c", "mine.yaml", "training.epochs=1", "--eval").code == 0
    assert dlcli("config", "init", "--data", "pictures", "--target", "a").code == 2


def test_the_target_is_asked_for_on_a_terminal(dlcli: Dlcli, monkeypatch: pytest.MonkeyPatch) -> None:
    write_visits()

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for answer, code in (("ill\n", 0), ("il\n", 2), ("", 2)):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        monkeypatch.setattr("dlcli.cli.init._is_terminal", lambda: True)
        done = dlcli("config", "init", "--data", "visits.csv")
        assert (done.code, "Which column is to be predicted?" in done.err) == (code, True)
        assert ("target: ill" in done.out) == (code == 0)
    Path("visits.csv").write_text(Path("visits.csv").read_text().replace(",ill", ",label", 1))
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    done = dlcli("config", "init", "--data", "visits.csv")
    assert ("predicted? [label] " in done.err, "target: label" in done.out) == (True, True)
