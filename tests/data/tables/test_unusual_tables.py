"""Unusual tables that are read, and read right."""

# ruff: noqa: E501 - one case per line

from __future__ import annotations

import gzip
import hashlib
import random
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dlcli.data.tables import source
from dlcli.data.tables.read import ReadOptions, read_csv, read_csv_files
from dlcli.data.tables.source import free_memory
from dlcli.data.tables.table import Column, Table
from dlcli.errors import DataError

NAN = np.nan


def read(content: str | bytes, **options: object) -> Table:
    path = Path("table.csv")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(path, ReadOptions(**options))  # type: ignore[arg-type]


def values(column: Column) -> list[object]:
    if column.kind in ("number", "boolean"):
        return [float(value) for value in column.values]
    return [column.categories[code] if code >= 0 else None for code in column.values]


# Content, options, kind and values of column b.
READ: dict[str, tuple[str | bytes, dict[str, object], str, list[object]]] = {
    "plain": ("a,b\n1,2\n3,4\n", {}, "number", [2, 4]),
    "no line end": ("a,b\n1,2\n3,4", {}, "number", [2, 4]),
    "CRLF": ("a,b\r\n1,2\r\n3,4\r\n", {}, "number", [2, 4]),
    "CR only": ("a,b\r1,2\r3,4\r", {}, "number", [2, 4]),
    "mixed line ends": ("a,b\r\n1,2\n3,4\r5,6", {}, "number", [2, 4, 6]),
    "CRLF behind quotes": ('a,b\r\n"1","x"\r\n"2","y"\r\n', {}, "category", ["x", "y"]),
    "blank lines": ("\n\na,b\n\n1,2\n\n\n3,4\n\n", {}, "number", [2, 4]),
    "blank lines among quotes": ('a,b\n\n1,"2"\n\n\n3,"4"\n', {}, "number", [2, 4]),
    "rows of missing values": ("a,b\n1,2\n,\n3,4\n", {}, "number", [2, NAN, 4]),
    "UTF-8 with BOM": ("\ufeffa,b\n1,ö\n2,ä\n", {}, "category", ["ö", "ä"]),
    "UTF-16": ("a,b\n1,ö\n2,ä\n".encode("utf-16"), {}, "category", ["ö", "ä"]),
    "UTF-16 without mark": ("a,b\n1,ö\n2,ä\n".encode("utf-16-le"), {"encoding": "utf-16-le"}, "category", ["ö", "ä"]),
    "UTF-32": ("a,b\n1,ö\n2,ä\n".encode("utf-32"), {}, "category", ["ö", "ä"]),
    "Windows-1252": ("a,b\n1,ö\n2,€\n".encode("cp1252"), {"encoding": "windows-1252"}, "category", ["ö", "€"]),
    "gzip": (gzip.compress(b"a,b\n1,2\n3,4\n"), {}, "number", [2, 4]),
    "two gzip parts": (gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"), {}, "number", [2, 4]),
    "semicolon": ("a;b\n1;2\n3;4\n", {}, "number", [2, 4]),
    "tab": ("a\tb\n1\t2\n3\t4\n", {}, "number", [2, 4]),
    "bar": ("a|b\n1|2\n3|4\n", {}, "number", [2, 4]),
    "colon": ("a:b\n1:2\n3:4\n", {"separator": ":"}, "number", [2, 4]),
    "blank": ("a b\n1 2\n3 4\n", {"separator": " "}, "number", [2, 4]),
    "separators within quotes": ('a;b\n1;"x,y,z"\n2;"u;v"\n', {}, "category", ["x,y,z", "u;v"]),
    "decimal commas": ("a;b\n1,5;2,25\n3;4\n", {}, "number", [2.25, 4]),
    "decimal commas in quotes": ('a,b\n1,"2,25"\n3,"4,5"\n', {}, "number", [2.25, 4.5]),
    "decimal commas with gaps": ("a;b\n1;2,25\n;\n3;NA\n4;-\n", {}, "number", [2.25, NAN, NAN, NAN]),
    "decimal commas and null values": ("a;b\n1;2,25\n3;.\n", {"null_values": ["."]}, "number", [2.25, NAN]),
    "thousands": ("a;b\n1;1.234,56\n3;-1.234.567\n", {}, "number", [1234.56, -1234567]),
    "thousands of English": ('a,b\n1,"1,234.56"\n3,"2,000.5"\n', {}, "category", ["1,234.56", "2,000.5"]),
    "exponents": ("a,b\n1,1e-3\n2,-2.5E+2\n", {}, "number", [0.001, -250]),
    "signs and bare points": ("a,b\n1,+.5\n2,-1.\n", {}, "number", [0.5, -1]),
    "blanks around numbers": ("a, b\n1,  2 \n3,\t4\n", {}, "number", [2, 4]),
    "blanks around texts": ("a,b\n1, Male\n2,Male\n", {}, "category", [" Male", "Male"]),
    "17 digits": ("a,b\n1,0.1000000000000000055\n2,123456789.12345678\n", {}, "number", [0.1, 123456789.12345678]),
    "smallest numbers": ("a,b\n1,5e-324\n2,1.7976931348623157e308\n", {}, "number", [5e-324, 1.7976931348623157e308]),
    "all words for missing": (
        "a,b\n1,1\n1,NA\n1,N/A\n1,NaN\n1,null\n1,?\n1,-\n1,\n1,2\n", {}, "number", [1] + [NAN] * 7 + [2],
    ),
    "Namibia": ("a,b\n1,NA\n2,DE\n3,\n", {}, "category", ["NA", "DE", None]),
    "Namibia alone": ("a,b\n1,NA\n2,NA\n", {}, "category", ["NA", "NA"]),
    "null values": ("a,b\n1,-999\n2,4\n3,none\n", {"null_values": ["-999", "none"]}, "number", [NAN, 4, NAN]),
    "null values of a text": ("a,b\n1,x\n2,none\n", {"null_values": ["none"]}, "category", ["x", None]),
    "null value by value": ("a,b\n1,-999.0\n2, -999\n3,-9.99e2\n4,NA\n5,7\n", {"null_values": ["-999"]}, "number", [NAN] * 4 + [7]),
    "null value with a decimal comma": ("a;b\n1,5;-9,0\n2,5;-9,00\n3,5;7\n", {"null_values": ["-9,0"]}, "number", [NAN, NAN, 7]),
    "leading zero behind a blank": ("a,b\n1, 01234\n2,99999\n", {}, "category", [" 01234", "99999"]),
    "leading zero before a blank": ("a,b\n1,01234 \n2,99999\n", {}, "category", ["01234 ", "99999"]),
    "telephone number": ("a,b\n1,+01234\n2,99999\n", {}, "category", ["+01234", "99999"]),
    "large integer behind a blank": ("a,b\n1, 9007199254740993\n2,1\n", {}, "category", [" 9007199254740993", "1"]),
    "no values": ("a,b\n1,\n2,\n", {}, "number", [NAN, NAN]),
    "leading zero": ("a,b\n1,01234\n2,99999\n", {}, "category", ["01234", "99999"]),
    "zeros": ("a,b\n1,00\n2,0\n", {}, "category", ["00", "0"]),
    "zero points": ("a,b\n1,0.5\n2,0\n3,-0.0\n", {}, "number", [0.5, 0, 0]),
    "leading zero, forced": ("a,b\n1,01234\n2,99999\n", {"types": {"b": "number"}}, "number", [1234, 99999]),
    "large integers": ("a,b\n1,9007199254740993\n2,1\n", {}, "category", ["9007199254740993", "1"]),
    "largest exact integer": ("a,b\n1,9007199254740992\n2,1\n", {}, "number", [9007199254740992, 1]),
    "number as category": ("a,b\n1,1.0\n2,1\n", {"types": {"b": "category"}}, "category", ["1.0", "1"]),
    "booleans": ("a,b\n1,true\n2,False\n3,TRUE\n4,\n", {}, "boolean", [1, 0, 1, NAN]),
    "booleans of R": ("a,b\n1,TRUE\n2,NA\n3,FALSE\n", {}, "boolean", [1, NAN, 0]),
    "forced booleans": ("a,b\n1,1\n2,no\n3,0\n", {"types": {"b": "boolean"}}, "boolean", [1, 0, 0]),
    "some numbers among words": ("a,b\n1,1\n2,x\n3,y\n", {}, "category", ["1", "x", "y"]),
    "dates": ("a,b\n1,2024-01-31\n2,2023-12-01\n", {}, "date", ["2024-01-31", "2023-12-01"]),
    "times": ("a,b\n1,2024-01-31T10:30:00Z\n2,2023-12-01 23:59\n", {}, "date", ["2024-01-31T10:30:00Z", "2023-12-01 23:59"]),
    "German dates": ("a,b\n1,31.12.2024\n2,1.2.2023\n", {}, "date", ["31.12.2024", "1.2.2023"]),
    "American dates": ("a,b\n1,12/31/2024\n2,1/2/2023\n", {}, "date", ["12/31/2024", "1/2/2023"]),
    "dates with names": ("a,b\n1,19-Sep-03\n2,1-May-04\n", {}, "date", ["19-Sep-03", "1-May-04"]),
    "no date": ("a,b\n1,2024-02-30\n2,2023-12-01\n", {}, "category", ["2024-02-30", "2023-12-01"]),
    "line breaks in quotes": ('a,b\n1,"x\r\ny"\n2,"\n"\n', {}, "category", ["x\r\ny", "\n"]),
    "doubled quotes": ('a,b\n1,"5"" pipe"\n2,""""\n', {}, "category", ['5" pipe', '"']),
    "quote within a value": ('a,b\n1,5" pipe\n2,x\n', {}, "category", ['5" pipe', "x"]),
    "quoted empty text": ('a,b\n1,""\n2,x\n', {}, "category", [None, "x"]),
    "row names": (',b\nx,1\ny,2\n', {}, "number", [1, 2]),
    "blanks around names": ("a , b \n1,2\n", {}, "number", [2]),
    "quoted names": ('"a","b"\n1,2\n', {}, "number", [2]),
    "one column": ("b\n1\n\n2\n", {}, "number", [1, 2]),
    "other columns are not typed": ("a,b\nx,1\n1,2\n2,3\n", {"columns": ["b"]}, "number", [1, 2, 3]),
    "hash and equals signs": ("#a,b\n#1,=x\n2,@y\n", {}, "category", ["=x", "@y"]),
    "order of code points": ("a,b\n1,é\n2,z\n3,Z\n4,10\n5,9\n6,x\n", {}, "category", ["é", "z", "Z", "10", "9", "x"]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_unusual_table_is_read_right(name: str, clean_place: Path) -> None:
    content, options, kind, expected = READ[name]
    table = read(content, **options)
    column = table.columns["b"]
    assert column.kind == kind
    np.testing.assert_array_equal(values(column), expected)
    assert list(column.categories) == sorted({text for text in expected if isinstance(text, str)})
    assert table.rows == len(expected)
    assert table.sha256 == hashlib.sha256(Path("table.csv").read_bytes()).hexdigest()


def test_notes_say_why_a_column_is_no_number_and_which_words_are_kept(clean_place: Path) -> None:
    table = read("zip,id,land,n,m\n01234,9007199254740993,NA,?,1\n2,3,DE,4,x\n3,4,FR,4,y\n")
    notes = {name: column.note for name, column in table.columns.items()}
    assert notes == {
        "zip": "values with a leading zero, such as 01234",
        "id": "integers with more digits than a number keeps, such as 9007199254740993",
        "land": "NA is text here",
        "n": "? is missing here",
        "m": "1 value is a number; the first that is none is 'x' in data row 2",
    }


def test_numbers_with_another_decimal_mark_are_noted(clean_place: Path) -> None:
    table = read('a,b\n1,"1,234"\n2,"5,678"\n')
    assert values(table.columns["b"]) == ["1,234", "5,678"]
    assert table.columns["b"].note == "values such as 1,234 are no numbers with this decimal mark"


def test_many_or_long_distinct_texts_are_free_text(clean_place: Path) -> None:
    rows = "".join(f"id{i},{'lorem ipsum dolor ' * 2}{i % 990},{i % 100}c\n" for i in range(1200))
    table = read("id,words,c\n" + rows)
    assert [column.kind for column in table.columns.values()] == ["text", "category", "category"]
    assert read("words\n" + "".join(f"a rather long sentence {i}\n" for i in range(50))).columns["words"].kind == "text"


def test_a_type_found_late_holds_for_the_whole_file(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", 64)
    numbers = [str(i) for i in range(100)]
    table = read("a,b\n" + "".join(f"{text},{i}\n" for i, text in enumerate([*numbers, "007"])))
    assert values(table.columns["a"]) == [*numbers, "007"]
    assert values(table.columns["b"]) == list(range(101))
    words = [*numbers, *("x", "y", "z") * 30]
    assert values(read("a,b\n" + "".join(f"{text},1\n" for text in words)).columns["a"]) == words


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_rows_may_become_shorter_than_the_first_ones(
    name: str, clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is reserved for as many rows as the size of the file and the first rows suggest."""
    monkeypatch.setattr(source, "BLOCK", 256)
    texts = [*(f"{i}.{i:060}" for i in range(20)), *map(str, range(3000))]
    data = ("a,b\n" + "".join(f"{text},{text}\n" for text in texts)).encode()
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert values(read_csv(Path(name)).columns["a"]) == [float(text) for text in texts]


@pytest.mark.parametrize("text", ["007", " 007", "  \t007", "+007", " +007", " 9007199254740993", '"007"', '" +007"'])
@pytest.mark.parametrize("end", ["\n", ""])
def test_a_code_in_a_later_block_keeps_its_text(
    text: str, end: str, clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "BLOCK", 64)
    numbers = [str(i) for i in range(100)]
    for rows in ([f"{i},{i}" for i in [*numbers, text, *numbers]], [f"{i},{i}" for i in [*numbers, text]]):
        table = read("a,b\n" + "\n".join(rows) + end)
        assert (
            values(table.columns["a"]) == values(table.columns["b"]) == [row.split(",")[0].strip('"') for row in rows]
        )


@pytest.mark.parametrize("trial", range(100))
def test_planted_bad_value_is_named_with_its_line_row_and_column(
    trial: int, clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_planted(random.Random(trial), monkeypatch)


@pytest.mark.long
def test_two_hundred_more_planted_bad_values_are_named(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for trial in range(100, 300):
        check_planted(random.Random(trial), monkeypatch)


def check_planted(draw: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", draw.choice((16 << 20, 16 << 20, 100)))
    end = draw.choice(("\n", "\r\n"))
    rows, columns = draw.randrange(12, 60), draw.randrange(2, 6)
    bad_row, bad_column = draw.randrange(rows), draw.randrange(columns)
    with_quotes, with_blanks = draw.random() < 0.5, draw.random() < 0.5
    text = end * draw.randrange(3) + ",".join(["note", *(f"x{index}" for index in range(columns))]) + end
    for row in range(rows):
        text += end * draw.randrange(3) if with_blanks else ""
        line = text.count("\n") + 1
        cells = [f"{draw.uniform(-9, 9):.4f}" for _ in range(columns)]
        if row == bad_row:
            cells[bad_column], bad_line = "b@d", line
        note = f'"two{end}lines, ""{row}"""' if with_quotes and draw.random() < 0.5 else "n"
        text += ",".join([note, *cells]) + end
    Path("table.csv").write_bytes(text.encode(draw.choice(("utf-8", "utf-8-sig", "utf-16"))))
    with pytest.raises(DataError) as error:
        read_csv(Path("table.csv"))
    place = f"table.csv:{bad_line}: column 'x{bad_column}' has 'b@d' in data row {bad_row + 1},"
    assert error.value.message.startswith(place)


def test_web_and_cloud_paths_are_refused_without_a_socket(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket is opened"))
    for path in ("https://example.org/a.csv", "http://example.org/a.csv", "ftp://example.org/a", "file:///etc/passwd"):
        with pytest.raises(DataError, match="is a web address, not a file"):
            read_csv(Path(path))
    for path in ("s3://bucket/a.csv", "hf://datasets/a.csv", "gs://a/b.csv", "az://a/b.csv", "abfss://a/b.csv"):
        with pytest.raises(DataError, match="is a cloud path, not a file"):
            read_csv(Path(path))


def test_brackets_and_stars_in_a_name_are_no_pattern(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket is opened"))
    for index, name in enumerate(("data[1].csv", "data1.csv", "*.csv", "a?.csv", "s3-like:x.csv")):
        Path(name).write_text(f"a,b\n{index},x\n")
    for index, name in enumerate(("data[1].csv", "data1.csv", "*.csv", "a?.csv", "s3-like:x.csv")):
        assert values(read_csv(Path(name)).columns["a"]) == [index]


def test_folder_pipe_and_device_are_named(clean_place: Path) -> None:
    import os

    Path("folder").mkdir()
    os.mkfifo("pipe")
    for name, kind in (("folder", "a folder"), ("pipe", "a pipe"), ("/dev/null", "a device")):
        with pytest.raises(DataError, match=f"{name} is {kind}, not a file"):
            read_csv(Path(name))
    for name in ("missing.csv", "a\0b", "x" * 5000):
        with pytest.raises(DataError):
            read_csv(Path(name))


def test_gzip_larger_than_the_free_memory_is_refused(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "free_memory", lambda: 10_000)
    content = gzip.compress(b"a,b\n" + b"1,2\n" * 5_000)
    with pytest.raises(DataError, match=r"table\.csv: is larger than the free memory"):
        read(content)
    assert free_memory() > 10_000


def test_file_that_changes_while_it_is_read_is_refused(clean_place: Path) -> None:
    path = Path("table.csv")
    path.write_text("a,b\n1,x\n")
    table_source = source.Source(path)
    assert list(table_source.blocks()) == [b"a,b\n1,x\n", b""] or list(table_source.blocks()) == [b"a,b\n1,x\n"]
    path.write_text("a,b\n2,x\n")
    with pytest.raises(DataError, match="has changed while it was read"):
        list(table_source.blocks())


def test_polars_is_not_imported_before_a_table_is_read() -> None:
    code = "import dlcli.data.tables.read, sys; print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


def read_files(options: dict[str, object] | None = None, **contents: str) -> dict[str, Table]:
    for name, content in contents.items():
        Path(name).write_text(content)
    return dict(
        zip(contents, read_csv_files([Path(name) for name in contents], ReadOptions(**(options or {}))), strict=True)
    )  # type: ignore[arg-type]


def test_all_files_have_one_decimal_mark(clean_place: Path) -> None:
    train, test = "b;y\n1.100,5;x\n7;y\n", "b;y\n1.100;x\n2.200;y\n"
    for order in ({"train": train, "test": test}, {"test": test, "train": train}):
        tables = read_files(**order)
        assert [values(tables[name].columns["b"]) for name in ("train", "test")] == [[1100.5, 7], [1100, 2200]]
        assert {table.found["decimal"] for table in tables.values()} == {","}
        assert tables["test"].columns["b"].note == "points that separate thousands are removed"
    with pytest.raises(DataError, match=r"^other:2: column 'b' has decimal points, such as '0.5'; train:2: "):
        read_files(train=train, other="b;y\n0.5;x\n")


@pytest.mark.parametrize("share", [1.0, 0.05])
def test_a_decimal_comma_far_down_counts(share: float, clean_place: Path) -> None:
    rows = [f"{i};12.345" for i in range(1, 250)]
    late = [f"{i},5;1.000" if i % 100 < 100 * share else f"{i};1.000" for i in range(1, 250)]
    table = read("b;n\n" + "\n".join([*rows, *late]) + "\n")
    assert table.found["decimal"] == ","
    assert values(table.columns["b"])[:250] == [*range(1, 250), 1.5]
    assert set(values(table.columns["n"])) == {12345, 1000}


def test_points_that_may_separate_thousands_are_noted(clean_place: Path) -> None:
    unclear = read("n;y\n950;x\n1.234;y\n12.345;z\n").columns["n"]
    assert values(unclear) == [950, 1.234, 12.345]
    assert unclear.note.startswith("values such as 1.234 are read with a decimal point;")
    for clear in ("n;y\n0.123;x\n1.234;y\n", "n;y\n1.5;x\n1.234;y\n", "n;m\n1.234;0.5\n", "n,y\n1.234,x\n"):
        column = read(clear).columns["n"]
        assert (column.unclear, column.note) == ("", "")
    assert values(read("n;y\n950;x\n1.234;y\n", decimal=",").columns["n"]) == [950, 1234]


CLASSES = {
    "numbers": ("0\n1\nNA\n", ["0", "1", None], "NA is missing here"),
    "booleans": ("true\nfalse\n?\n", ["true", "false", None], "? is missing here"),
    "texts": ("a\nb\nNA\n", ["a", "b", "NA"], "NA is text here"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_words_for_missing_values_are_no_classes_among_numbers(name: str, clean_place: Path) -> None:
    content, expected, note = CLASSES[name]
    column = read("b\n" + content, types={"b": "class"}).columns["b"]
    assert (values(column), column.kind, column.note) == (expected, "category", note)
    assert values(read("b\n" + content, types={"b": "category"}).columns["b"]) == content.split()
