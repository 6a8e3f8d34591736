"""Broken tables: each is refused with its file, line and column, and a hint that can be typed."""

# ruff: noqa: E501 - one case per line

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from dlcli.data.tables.read import ReadOptions, read_csv
from dlcli.errors import DataError


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return file.getvalue()


COLUMNS = "a,b,c\n"
ROWS = "1,2,3\n4,5,6\n"
TALL = "".join(f"{i},{i + 1},x{i % 2}\n" for i in range(20))
# Content, options, the message after the name of the file, and a part of the hint.
BROKEN: dict[str, tuple[str | bytes, dict[str, object], str, str]] = {
    # Numbers of fields
    "short row": (COLUMNS + "1,2\n" + ROWS, {}, ":2: column 'c' has no value: the line has 2 fields instead of 3", "complete"),
    "short last row": (COLUMNS + ROWS + "1,2", {}, ":4: column 'c' has no value", "complete"),
    "row of one field": (COLUMNS + ROWS + "1\n", {}, ":4: column 'b' has no value: the line has 1 field instead", "complete"),
    "row of blanks": (COLUMNS + ROWS + "   \n", {}, ":4: column 'b' has no value", "delete the blanks"),
    "long row": (COLUMNS + ROWS + "1,2,3,4\n", {}, ":4: column 'c' is followed by one value too many, '4'", "quotes"),
    "long row after a blank line": (COLUMNS + "\n\n1,2,3,4\n" + ROWS, {}, ":4: column 'c' is followed", "quotes"),
    "long rows": (COLUMNS + "1,2,3,4\n" * 3, {}, "4 fields instead of 3; 2 more lines differ", "a name for each"),
    "separator at the end of each line": (COLUMNS + "1,2,3,\n4,5,6,\n", {}, ":2: column 'c' is followed", "at the end of"),
    "row names without a name": ("a,b\nx,1,2\ny,3,4\n", {}, ":2: column 'b' is followed by one value too many", "a name for each"),
    "short and long row": (COLUMNS + "1,2\n3,4,5,6\n", {}, ":2: column 'c' has no value: the line has 2 fields", "complete"),
    "short row behind quotes": (COLUMNS + '1,"x\ny",3\n4,5\n', {}, ":4: column 'c' has no value", "complete"),
    "sum of fields right, rows wrong": (COLUMNS + "1,2\n3,4,5,6\n", {}, "; 1 more line differs", "complete"),
    "title above the header": ("My table\na,b\n1,2\n", {}, ":1: column 'My table' is the only one; the lines below have 2 fields", "delete the lines above"),
    "title above semicolons": ("My table\na;b;c\n1;2;3\n", {}, ":1: column 'My table' is the only one; the lines below have 3", "delete the lines above"),
    "title with the separator": ("Sales, 2024\na,b,c,d\n1,2,3,4\n", {}, ":2: column '2024' is followed by one value too many", "delete the lines above"),
    "comment above the header": ("# made by hand, 2024\na,b,c\n1,2,3\n", {}, ":2: column '2024' is followed", "delete the first"),
    "sep= of Excel": ("sep=;\na;b\n1;2\n", {"separator": ";"}, ":1: column 'sep=' is a mark for Excel", "delete the first line"),
    # Quotes
    "quote not closed": (COLUMNS + '1,"2,3\n4,5,6\n', {}, ":2: column 'b' has a quote that is never closed", "close the quote"),
    "quote not closed in the last field": (COLUMNS + ROWS + '1,2,"3', {}, ":4: column 'c' has a quote that is never", "close"),
    "text after a quote": (COLUMNS + '1,"2"x,3\n', {}, ":2: column 'b' has text after a closing quote", "twice"),
    "blank after a quote": (COLUMNS + '1,"2" ,3\n', {}, ":2: column 'b' has text after a closing quote", "twice"),
    "single quote in quotes": (COLUMNS + '1,2,"5" pipe"\n', {}, ":2: column 'c' has text after a closing quote", "twice"),
    "quote not closed in the header": ('a,"b\n1,2\n', {}, ":1: column 'b", "close the quote"),
    "value without end": (COLUMNS + '1,2,"' + "x" * 140_000 + "\n" + ROWS, {}, ":2: column 'c' has more than 131,072", "quote"),
    # Values
    "word among numbers": (COLUMNS + ROWS + "7,oops,9\n", {}, ":4: column 'b' has 'oops' in data row 3", "data.ignore=[b]"),
    "header in the middle": (COLUMNS + ROWS * 5 + COLUMNS + ROWS, {}, ":12: column 'a' has 'a' in data row 11", "delete the line if it repeats"),
    "unit": (COLUMNS + ROWS + "7,12 kg,9\n", {}, "has '12 kg' in data row 3, which is not a finite number", 'null_values=["12 kg"]'),
    "infinity": (COLUMNS + ROWS + "inf,8,9\n", {}, ":4: column 'a' has 'inf' in data row 3, which is not a finite", "correct"),
    "overflow": (COLUMNS + ROWS + "1e999,8,9\n", {}, ":4: column 'a' has '1e999'", "correct"),
    "minus infinity": (COLUMNS + ROWS + "-Infinity,8,9\n", {}, ":4: column 'a' has '-Infinity'", "correct"),
    "error of Excel": (COLUMNS + ROWS + "7,#N/A,9\n", {}, ":4: column 'b' has '#N/A'", 'data.null_values=["#N/A"]'),
    "two points": (COLUMNS + ROWS + "7,1.2.3,9\n", {}, ":4: column 'b' has '1.2.3'", "correct"),
    "underscore": (COLUMNS + ROWS + "7,1_000,9\n", {}, ":4: column 'b' has '1_000'", "correct"),
    "full-width digits": (COLUMNS + ROWS + "7,１２,9\n", {}, ":4: column 'b' has '１２'", "correct"),
    "hexadecimal": (COLUMNS + ROWS + "7,0x1F,9\n", {}, ":4: column 'b' has '0x1F'", "correct"),
    "typographic minus": (COLUMNS + ROWS + "7,−5,9\n", {}, ":4: column 'b' has '−5'", "correct"),
    "escape sequence": (COLUMNS + ROWS + "7,\x1b[2J,9\n", {}, r":4: column 'b' has '\x1b[2J'", "correct"),
    "one comma among points": (COLUMNS + ROWS + '7,"8,5",9\n', {"decimal": "."}, "column 'b' has '8,5'", 'data.decimal=","'),
    "one point among commas": ("a;b\n1,5;2\n2,5;3\n3.5;4\n", {"decimal": ","}, ":4: column 'a' has '3.5'", 'data.decimal="."'),
    "several bad values": ("a,b\n" + TALL.replace(",x0", "").replace(",x1", "") + "x,1\ny,2\n", {}, "; 1 more value of", "correct"),
    "earliest of two columns": (COLUMNS + ROWS + "7,8,x\nx,8,9\n", {}, ":4: column 'c' has 'x'", "correct"),
    "name with a blank": ("a,b c\n1,2\n3,4\n5,x\n", {}, ":4: column 'b c' has 'x'", 'data.ignore=["b c"]'),
    "no number where forced": ("a,b\n1,x\n2,y\n", {"types": {"b": "number"}}, "data row 1, which is not a finite number; 1 more", "b: category"),
    "no boolean where forced": ("a,b\n1,true\n2,maybe\n", {"types": {"b": "boolean"}}, ":3: column 'b' has 'maybe'", "b: category"),
    "number as boolean": ("a,b\n1,0\n2,2\n", {"types": {"b": "boolean"}}, ":3: column 'b' has '2' in data row 2, which is neither", ""),
    "points and commas": ("a;b\n1.5;2,5\n3.7;4,1\n", {}, ":2: column 'a' has decimal points, such as '1.5'; table.csv:2: column 'b' has decimal commas, such as '2,5'", "data.decimal"),
    "bad value among decimal commas": ("a;b\n1,5;2\n2,5;3\nx;4\n3,5;1\n", {}, ":4: column 'a' has 'x'", "correct"),
    # Header
    "empty file": ("", {}, " is empty", "column names"),
    "blank lines only": ("\n\n\n", {}, " is empty", "column names"),
    "blanks only": ("   \n", {}, " is empty", "column names"),
    "header only": (COLUMNS, {}, ":1: column 'a' and all others have no values", "below"),
    "header at the end": ("\n\n\n" + COLUMNS[:-1], {}, ":4: column 'a' and all others have no values", "below"),
    "header and blank lines": (COLUMNS + "\n\n", {}, ":1: column 'a' and all others have no values", "below"),
    "no header": ("5.1,3.5\n4.9,3.0\n", {}, ":1: column '5.1' and all others have numbers for names", "a,b"),
    "name twice": ("a,b,a\n1,2,3\n", {}, ":1: column 'a' is there twice, as columns 1 and 3", "another name"),
    "name twice but for blanks": ("a,b, a\n1,2,3\n", {}, ":1: column 'a' is there twice", "another name"),
    "name twice on line 3": ("\n\na,a\n1,2\n", {}, ":3: column 'a' is there twice", "another name"),
    "two names missing": (",a,\n1,2,3\n", {}, ":1: column '' has no name; this is so for columns 1, 3", "first line"),
    "unknown column": (COLUMNS + ROWS, {"columns": ["bb"]}, ":1: column 'bb' is not in the file", "did you mean b?"),
    "unknown column with a type": (COLUMNS + ROWS, {"types": {"d": "number"}}, ":1: column 'd' is not in", "columns: a, b, c"),
    "wrong separator": ("a;b\n1;2\n", {"separator": ",", "columns": ["a"]}, ":1: column 'a' is not in the file", "a;b"),
    # Separators
    "blank as separator": ("a b\n1 2\n3 4\n", {}, ":1: the values seem to be separated by blanks", 'data.separator=" "'),
    "columns of fixed width": ("a   b\n1   2\n30  4\n", {}, ":1: the values seem to be separated by blanks", "commas"),
    "two separators fit": ("a,b;c\n1,2;3\n", {}, ":1: both ',' and ';' separate the lines into 2 fields", "data.separator"),
    "two characters": ("a::b\n1::2\n", {"separator": "::"}, "data.separator must be one character", "auto"),
    "quote as separator": ("a,b\n1,2\n", {"separator": '"'}, "data.separator must be one character", "auto"),
    "unknown decimal mark": ("a,b\n1,2\n", {"decimal": "'"}, "data.decimal must be auto, a point or a comma", "auto"),
    # Encodings
    "Windows-1252": ("a,stadt\n1,Köln\n2,Ulm\n".encode("cp1252"), {}, r":2: column 'stadt' has bytes that are not UTF-8 in 'K\xf6ln'", "windows-1252"),
    "Windows-1252 in the header": ("a,größe\n1,2\n".encode("cp1252"), {}, r":1: column 'gr\xf6\xdfe' has bytes", "windows-1252"),
    "cut within a character": ("a,b\n1,ö".encode()[:-1], {}, ":2: column 'b' has bytes that are not UTF-8", "windows-1252"),
    "several wrong bytes": ("a,b\n1,ö\n2,ä\n3,ü\n".encode("latin-1"), {}, "; 2 more values with such characters", "UTF-8"),
    "UTF-16 without mark": ("a,b\n1,2\n".encode("utf-16-le"), {}, ":1: looks like UTF-16", "data.encoding=utf-16-le"),
    "UTF-16 big-endian without mark": ("a,b\n1,2\n".encode("utf-16-be"), {}, ":1: looks like", "data.encoding=utf-16-be"),
    "half a character of UTF-16": ("a,b\n1,2\n".encode("utf-16") + b"\n", {}, ": the file has bytes that are not UTF-16", "save"),
    "another encoding than the mark": ("a,b\n1,2\n".encode("utf-16"), {"encoding": "cp1252"}, ":1: begins with the byte order", "auto"),
    "unknown encoding": ("a,b\n1,2\n", {"encoding": "klingon"}, "data.encoding 'klingon' is not a known", "windows-1252"),
    "encoding of bytes": ("a,b\n1,2\n", {"encoding": "rot13"}, "data.encoding 'rot13' is not a known", "windows-1252"),
    "no Windows-1252": (b"a,b\n1,\x81\n", {"encoding": "cp1252"}, ":2: column 'b' has bytes that are not CP1252", "encoding=auto"),
    "NUL": ("a,b\n1,x\0y\n2,z\n", {}, r":2: column 'b' has a NUL character in 'x\x00y'", "write it again"),
    # Files that are no tables
    "workbook": (zipped("xl/workbook.xml", "[Content_Types].xml"), {}, " is an Excel workbook", "save the table as CSV"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, {}, " is an old Excel workbook", "save the table as CSV"),
    "OpenDocument": (zipped("mimetype", "content.xml"), {}, " is an OpenDocument file", "save the table as CSV"),
    "Word": (zipped("word/document.xml"), {}, " is a Word document", "save the table as CSV"),
    "zip": (zipped("table.csv"), {}, " is a zip archive", "unpack"),
    "damaged zip": (zipped("table.csv")[:40], {}, " is a damaged zip archive", "unpack"),
    "NPZ": (zipped("inputs.npy"), {}, " is an NPZ file", "data.name=npz"),
    "Parquet": (b"PAR1" + b"\0" * 100, {}, " is a Parquet file", "data.name=parquet"),
    "gzip twice": (gzip.compress(gzip.compress(b"a,b\n1,2\n")), {}, " is compressed twice with gzip, not a CSV file", "gunzip"),
    "bzip2": (b"BZh91AY&SY", {}, " is a bzip2 archive", "unpack"),
    "xz": (b"\xfd7zXZ\x00abc", {}, " is an xz archive", "unpack"),
    "zstd": (b"\x28\xb5\x2f\xfdabc", {}, " is a zstd archive", "unpack"),
    "7z": (b"7z\xbc\xaf\x27\x1cabc", {}, " is a 7z archive", "unpack"),
    "tar": (b"t.csv".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 300, {}, " is a tar archive", "unpack"),
    "tar.gz": (gzip.compress(b"t.csv".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 300), {}, " is a tar archive", "unpack"),
    "web page": ("\n<!DOCTYPE html>\n<html><body>404</body></html>", {}, " is a web page (HTML)", "download the table itself"),
    "XML": ('<?xml version="1.0"?>\n<table/>', {}, " is an XML file", "save the table as CSV"),
    "JSON": ('[\n{"a": 1, "b": 2}]', {}, " is a JSON file", "save the table as CSV"),
    "PDF": (b"%PDF-1.7\n", {}, " is a PDF document", "save the table as CSV"),
    "picture": (b"\x89PNG\r\n\x1a\n", {}, " is a picture", "image_folder"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", {}, " is an HDF5 file", "save the table as CSV"),
    "SQLite": (b"SQLite format 3\0", {}, " is an SQLite database", "save the table as CSV"),
    "array": (b"\x93NUMPY\x01\x00", {}, " is a NumPy array", "data.name=npz"),
    "pickle": (b"\x80\x04\x95\x10\x00", {}, " is a Python pickle", "save the table as CSV"),
    "Git LFS": ("version https://git-lfs.github.com/spec/v1\n", {}, " is a Git LFS pointer", "git lfs pull"),
    "gzip cut off": (gzip.compress((COLUMNS + ROWS * 999).encode())[:-9], {}, ": the gzip data is damaged", "again"),
    "gzip damaged": (b"\x1f\x8b\x08\x00" + b"\xff" * 60, {}, ": the gzip data is damaged", "again"),
    "empty gzip": (gzip.compress(b""), {}, " is empty", "column names"),
    "bad value in gzip": (gzip.compress((COLUMNS + ROWS + "7,x,9\n").encode()), {}, ":4: column 'b' has 'x'", "correct"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_table_is_refused_with_its_place_and_a_hint(name: str, clean_place: Path) -> None:
    content, options, message, hint = BROKEN[name]
    path = Path("table.csv")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        read_csv(path, ReadOptions(**options))  # type: ignore[arg-type]
    if not message.startswith("data."):
        assert error.value.message.startswith("table.csv")
    assert message in error.value.message
    assert hint in (error.value.hint or "")
    assert error.value.hint
    assert error.value.message.isprintable()


def test_at_least_eighty_kinds_of_broken_tables_are_refused() -> None:
    assert len(BROKEN) >= 80
