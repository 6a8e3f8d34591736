"""Parquet and NPZ files."""

from __future__ import annotations

import hashlib
import zipfile
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from dlcli.data.tables.read import ReadOptions, read_csv, read_npz, read_parquet
from dlcli.errors import DataError

pl = pytest.importorskip("polars")
PATH = Path("table.parquet")


def test_parquet_has_the_columns_of_the_csv_file_of_the_same_table(clean_place: Path) -> None:
    frame = pl.DataFrame(
        {
            "x": [0.1, None, 1e-300, -3.25],
            "n": [1, 2, None, 4],
            "ok": [True, None, False, True],
            "land": ["NA", "", "DE", None],
            "day": [date(2024, 1, 31), date(2023, 2, 1), None, date(2022, 3, 4)],
        }
    )
    frame.write_parquet(PATH)
    frame.write_csv("table.csv")
    parquet, text = read_parquet(PATH), read_csv(Path("table.csv"))
    assert list(parquet.columns) == list(text.columns)
    for name, column in text.columns.items():
        same = parquet.columns[name]
        assert (same.kind, same.categories) == (column.kind, column.categories)
        np.testing.assert_array_equal(same.values, column.values)
        assert same.values.dtype == column.values.dtype
    assert (parquet.rows, parquet.file, parquet.locate(2)) == (4, "table.parquet", 3)
    assert parquet.sha256 == hashlib.sha256(PATH.read_bytes()).hexdigest()


def test_categories_of_parquet_are_taken_by_value(clean_place: Path) -> None:
    texts = ["b", "a", None, "b"]
    frame = pl.DataFrame(
        {"c": pl.Series(texts, dtype=pl.Categorical), "e": pl.Series(texts, dtype=pl.Enum(["b", "z", "a"]))}
    )
    frame.write_parquet(PATH)
    for column in read_parquet(PATH).columns.values():
        assert (column.kind, column.categories, column.values.tolist()) == ("category", ("a", "b"), [1, 0, -1, 1])


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        ("price", [Decimal("1.5"), Decimal("2.5")], "decimals"),
        ("list", [[1], [2, 3]], "nested values"),
        ("struct", [{"a": 1}, {"a": 2}], "nested values"),
        ("bytes", [b"a", b"b"], "values of type Binary"),
        ("clock", [time(1, 2), time(3, 4)], "values of type Time"),
        ("span", [timedelta(1), timedelta(2)], "values of type Duration"),
    ],
)
def test_columns_of_other_types_are_refused_by_name_unless_ignored(
    name: str, values: list[object], problem: str, clean_place: Path
) -> None:
    pl.DataFrame({"x": [1, 2], name: values}).write_parquet(PATH)
    with pytest.raises(DataError, match=f"table.parquet:1: column '{name}' has {problem}") as error:
        read_parquet(PATH)
    assert f"data.ignore=[{name}]" in (error.value.hint or "")
    assert list(read_parquet(PATH, ReadOptions(columns=["x"])).columns) == ["x"]


def test_values_of_parquet_are_checked(clean_place: Path) -> None:
    pl.DataFrame({"x": [1.0, float("nan"), float("inf"), float("inf")]}).write_parquet(PATH)
    with pytest.raises(DataError, match=r"table.parquet:3: column 'x' has 'inf' in data row 3, .*; 1 more value of"):
        read_parquet(PATH)
    pl.DataFrame(
        {"id": [2**53 + 1, 5], "t": [datetime(2024, 1, 1), datetime(2024, 1, 2, 3)], "s": ["1", "x"]}
    ).write_parquet(PATH)
    table = read_parquet(PATH)
    assert table.columns["id"].note == "integers with more digits than a number keeps, such as 9007199254740993"
    assert table.columns["id"].categories == ("5", "9007199254740993")
    assert table.columns["t"].kind == "date"
    with pytest.raises(
        DataError, match=r"table\.parquet:2: column 's' has 'x' in data row 2, which is not a finite number"
    ):
        read_parquet(PATH, ReadOptions(types={"s": "number"}))
    with pytest.raises(DataError, match="column 'ids' is not in the file"):
        read_parquet(PATH, ReadOptions(columns=["ids"]))
    pl.DataFrame({"x": [-999, 3]}).write_parquet(PATH)
    assert np.isnan(read_parquet(PATH, ReadOptions(null_values=["-999"])).columns["x"].values[0])
    pl.DataFrame({"x": []}).write_parquet(PATH)
    with pytest.raises(DataError, match="has no rows"):
        read_parquet(PATH)


def test_files_that_are_no_parquet_are_refused(clean_place: Path) -> None:
    pl.DataFrame({"x": [1.0] * 100}).write_parquet(PATH)
    whole = PATH.read_bytes()
    for content in (b"a,b\n1,2\n", b"", b"PAR1", whole[:-20], whole[:50] + b"\xff" * 60 + whole[110:]):
        PATH.write_bytes(content)
        with pytest.raises(DataError, match=r"table\.parquet"):
            read_parquet(PATH)
    for path in ("s3://bucket/a.parquet", ".", "missing.parquet"):
        with pytest.raises(DataError):
            read_parquet(Path(path))


def test_parquet_file_with_brackets_in_its_name_reads_itself(clean_place: Path) -> None:
    pl.DataFrame({"x": [1.0]}).write_parquet("data[1].parquet")
    pl.DataFrame({"x": [2.0]}).write_parquet("data1.parquet")
    assert read_parquet(Path("data[1].parquet")).columns["x"].values.tolist() == [1.0]


def test_npz_arrays_are_read_by_name(clean_place: Path) -> None:
    inputs, targets = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 0])
    np.savez("a.npz", x=inputs, y=targets, names=np.array(["no", "yes"]), columns=np.array(["u", "v"]))
    arrays = read_npz(Path("a.npz"), "x", "y", "names", "columns")
    np.testing.assert_array_equal(arrays.inputs, inputs)
    np.testing.assert_array_equal(arrays.targets, targets)
    assert (arrays.class_names, arrays.feature_names) == (("no", "yes"), ("u", "v"))
    assert arrays.sha256 == hashlib.sha256(Path("a.npz").read_bytes()).hexdigest()
    assert read_npz(Path("a.npz"), "x", "y")[2:4] == (None, None)


GOOD = {"x": np.ones((3, 2)), "y": np.array([0, 1, 0]), "c": np.array(["a", "b"]), "f": np.array(["u", "v"])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, "array 'x' is not in the file"),
        ({"x": np.ones(3)}, r"array 'x' has shape \(3,\) instead of \(examples, features\)"),
        ({"x": np.array([["a"], ["b"], ["c"]])}, "array 'x' has type <U1 instead of numbers"),
        ({"x": np.ones((3, 2), dtype=complex)}, "array 'x' has type complex128 instead of numbers"),
        ({"x": np.array([[1.0], [np.inf], [2.0]]), "f": np.array(["u"])}, r"1 infinite values, the first at \(1, 0\)"),
        ({"x": np.ones((0, 2)), "y": np.ones(0)}, "array 'x' has no examples"),
        ({"y": np.array([0, 1])}, r"array 'y' has shape \(2,\), which does not fit 3 inputs"),
        ({"y": np.array(5)}, r"array 'y' has shape \(\), which does not fit"),
        ({"y": np.array([{}, {}, {}])}, r"array 'y' holds Python objects \(pickle\)"),
        ({"c": np.array(["a", "a"])}, "array 'c' has 'a' twice"),
        ({"c": np.array([1, 2])}, "array 'c' has type int64"),
        ({"f": np.array(["u"])}, "array 'f' has 1 names for 2 features"),
    ],
)
def test_npz_arrays_that_do_not_fit_are_refused(change: dict[str, object], message: str, clean_place: Path) -> None:
    arrays = {name: array for name, array in {**GOOD, **change}.items() if array is not None}
    np.savez("a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=f"a.npz: {message}" if message.startswith("array") else message) as error:
        read_npz(Path("a.npz"), "x", "y", "c", "f")
    assert error.value.hint


def test_damaged_npz_files_are_refused(clean_place: Path) -> None:
    np.savez_compressed("a.npz", **GOOD)  # type: ignore[arg-type]
    whole = Path("a.npz").read_bytes()
    place = whole.index(b"x.npy") + 40
    for content in (b"", b"PK\x03\x04", whole[:-30], whole[:place] + b"\xff" * 30 + whole[place + 30 :]):
        Path("a.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz"):
            read_npz(Path("a.npz"), "x", "y", "c", "f")
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(DataError, match="array 'x' is no array"):
        read_npz(Path("a.npz"), "x", "y")
