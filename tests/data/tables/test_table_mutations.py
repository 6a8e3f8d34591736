"""Mutated tables: each is read as the csv module and float read it, or refused with a DataError."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import numpy as np
import pytest

from dlcli.data.tables import source
from dlcli.data.tables.numbers import MISSING_WORDS
from dlcli.data.tables.read import ReadOptions, read_csv
from dlcli.data.tables.table import Column, Table
from dlcli.errors import DataError

_TEXT = '"quoted, text"', "plain", '"two\nlines"', '"a ""word"""', "NA", "", "Zürich"
TABLES = {
    "comma": "id,x,y,name,seen\n"
    + "".join(f"{i:03d},{i * 0.37:.3f},{-i}e-3,{_TEXT[i % 7]},{i % 2 == 0}\n" for i in range(25)),
    "semicolon": "größe;preis;datum;stadt\r\n"
    + "".join(f"{i},5;1.{i + 100},25;2024-01-{i + 1:02d};{'Köln' if i % 3 else 'Ulm'}\r\n" for i in range(20)),
    "tab": "a\tb\tc\n" + "".join(f"{i}\t{'' if i % 5 == 0 else i / 7}\t{'xyz'[i % 3]}\n" for i in range(30)),
    "all in quotes": '"","age","sex","date"\n'
    + "".join(f'"{i}","{20 + i * 7 % 50}","{"mf"[i % 2]}","2024-01-{i + 1:02d} 10:30"\n' for i in range(25)),
    "pipe": "code|amount|flag|text\n"
    + "".join(f"{1000 + i}|{i * 1e5:,.2f}|{['yes', 'no'][i % 2]}|{'a, b' * (i % 3)}\n" for i in range(20)),
    "extremes": "large,small,integer,gap\n"
    + "".join(
        f"{i}e300,{i}.5E-310,{2**53 - 12 + i},{('NA', ' 1', '+2', '.5', '-0', '3.')[i % 6]}\n" for i in range(24)
    ),
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32")


def mutated(text: str, draw: random.Random) -> bytes:
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        lines = text.splitlines(keepends=True)
        line = draw.randrange(len(lines))
        place = draw.randrange(len(text))
        kind = draw.randrange(8)
        if kind == 0:
            text = (
                text[:place]
                + draw.choice(['"', ",", ";", "\t", "\r", "\n", "\r\n", " ", "0", "-", "x", "\0", "é", "|"])
                + text[place:]
            )
        elif kind == 1:
            text = text[:place] + text[place + draw.randrange(1, 4) :]
        elif kind == 2:
            lines.insert(line, lines[draw.randrange(len(lines))])
            text = "".join(lines)
        elif kind == 3:
            del lines[line]
            text = "".join(lines)
        elif kind == 4:
            target = draw.randrange(len(lines))
            lines[line], lines[target] = lines[target], lines[line]
            text = "".join(lines)
        elif kind == 5:
            lines[line] = draw.choice(("\n", "\r\n", " \n", ",,\n", "\n\n\n", '""\n')) + lines[line]
            text = "".join(lines)
        elif kind == 6:
            text = text[:place]
        else:
            text = text.replace(
                *draw.choice(
                    (("\n", "\r\n"), ("\n", "\r"), (",", ";"), ("0", "00"), ('"', ""), (".", ","), ("1", " 1"))
                )
            )
        text = text or "a"
    data = bytearray(text.encode(draw.choice(ENCODINGS) if draw.random() < 0.3 else "utf-8", errors="replace"))
    if draw.random() < 0.2 and data:
        data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data)


def check_column(column: Column, texts: list[str], decimal: str) -> None:
    if column.kind == "number":
        expected = [number(text.strip(), decimal) for text in texts]
        np.testing.assert_array_equal(column.values, expected)
    elif column.kind == "boolean":
        truths = {"true": 1.0, "false": 0.0, "": np.nan}
        np.testing.assert_array_equal(column.values, [truths.get(text.strip().lower(), np.nan) for text in texts])
    else:
        assert list(column.categories) == sorted(set(texts) - {""})
        assert [column.categories[code] if code >= 0 else "" for code in column.values] == texts


def number(text: str, decimal: str) -> float:
    if text == "" or text in MISSING_WORDS:
        return np.nan
    if decimal == ",":
        text = text.replace(".", "").replace(",", ".")
    assert not text.lstrip("+-").lower().startswith(("inf", "nan"))
    assert not (len(text) > 1 and text[0] == "0" and text[1].isdigit()), "a leading zero is lost"
    return float(text)


def check(table: Table, data: bytes) -> None:
    encoding = "utf-8-sig" if table.found["encoding"] == "utf-8" else table.found["encoding"]
    lines = io.StringIO(data.decode(encoding), newline="")
    reader = csv.reader(lines, delimiter=table.found["separator"])
    rows, places, end = [], [], 0
    for fields in reader:
        if fields:
            rows.append(fields)
            places.append(end + 1)
        end = reader.line_num
    assert len(rows) - 1 == table.rows
    assert list(table.columns) == [name.strip() or f"column_{index + 1}" for index, name in enumerate(rows[0])]
    for index, column in enumerate(table.columns.values()):
        check_column(column, [fields[index] for fields in rows[1:]], table.found["decimal"])
    assert [table.locate(row) for row in range(table.rows)] == places[1:]


@pytest.mark.parametrize("name", TABLES)
def test_mutated_tables_are_read_as_csv_and_float_read_them_or_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_mutations(name, 85, random.Random(name), tmp_path, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("name", TABLES)
def test_four_thousand_mutated_tables_are_read_or_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_mutations(name, 667, random.Random(f"{name}, long"), tmp_path, monkeypatch)


def check_mutations(name: str, trials: int, draw: random.Random, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    for trial in range(trials):
        monkeypatch.setattr(source, "BLOCK", draw.choice((16 << 20, 16 << 20, 41, 300)))  # blocks that end anywhere
        data = mutated(TABLES[name], draw)
        path = folder / f"{trial}.csv"
        path.write_bytes(data)
        try:
            table = read_csv(path, ReadOptions())
        except DataError as error:
            assert error.message.startswith(str(path))  # noqa: PT017
            assert error.hint  # noqa: PT017
            continue
        check(table, data)
        read += 1
    assert read >= trials // 4
