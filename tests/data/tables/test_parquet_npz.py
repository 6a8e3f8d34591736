"""Parquet and NPZ files."""

from __future__ import annotations

import hashlib
import random
import zipfile
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from dlcli.data.tables.dates import parse_dates
from dlcli.data.tables.npz import read_npz, table_of_arrays
from dlcli.data.tables.read import ReadOptions, read_csv, read_parquet
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


def test_damaged_parquet_is_refused_without_output_of_polars(
    clean_place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pl.DataFrame({"x": [*range(50)], "s": [f"text {i}" for i in range(50)]}).write_parquet(
        PATH, compression="uncompressed"
    )
    content = PATH.read_bytes()
    for seed in range(400):  # polars 2.1.0 panics on 4 of these files
        damaged, draw = bytearray(content), random.Random(seed)
        for _ in range(draw.randrange(1, 6)):
            damaged[draw.randrange(4, len(damaged))] = draw.randrange(256)
        PATH.write_bytes(damaged)
        with suppress(DataError):
            read_parquet(PATH)
    assert capfd.readouterr() == ("", "")


def test_forced_types_of_numbers_lose_nothing_in_silence(clean_place: Path) -> None:
    pl.DataFrame({"zero": [-0.0, 0.0, None], "big": [2**53 + 1, 5, None], "y": ["1", "NA", "0"]}).write_parquet(PATH)
    columns = read_parquet(PATH, ReadOptions(types={"zero": "category", "big": "number", "y": "class"})).columns
    assert columns["zero"].categories == ("0",)
    assert columns["big"].note == "integers with more digits than a number keeps, such as 9007199254740993"
    assert (columns["y"].categories, columns["y"].missing.tolist()) == (("0", "1"), [False, True, False])


def test_parquet_file_with_brackets_in_its_name_reads_itself(clean_place: Path) -> None:
    pl.DataFrame({"x": [1.0]}).write_parquet("data[1].parquet")
    pl.DataFrame({"x": [2.0]}).write_parquet("data1.parquet")
    assert read_parquet(Path("data[1].parquet")).columns["x"].values.tolist() == [1.0]


def test_npz_arrays_are_read_by_name(clean_place: Path) -> None:
    inputs, targets = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 0])
    np.savez("a.npz", x=inputs, y=targets, class_names=np.array(["no", "yes"]), feature_names=np.array(["u", "v"]))
    arrays = read_npz(Path("a.npz"), "x", "y")
    np.testing.assert_array_equal(arrays.inputs, inputs)
    assert arrays.targets.tolist() == ["no", "yes", "no"]
    assert (arrays.class_names, arrays.feature_names) == (("no", "yes"), ("u", "v"))
    assert arrays.sha256 == hashlib.sha256(Path("a.npz").read_bytes()).hexdigest()
    np.savez("a.npz", inputs=inputs, targets=targets)
    arrays = read_npz(Path("a.npz"))
    assert (arrays.class_names, arrays.feature_names) == ((), ("x1", "x2"))


@pytest.mark.parametrize("dtype", [">f8", "<f4", "f2", ">i2", "u1", "u8", "?"])
def test_npz_columns_have_the_values_of_any_numeric_type(dtype: str, clean_place: Path) -> None:
    values = np.asfortranarray(np.array([[0, 1], [1, 0], [1, 1]], dtype=dtype))
    np.savez("a.npz", inputs=values, targets=values)
    columns = table_of_arrays(read_npz(Path("a.npz")), "y", ReadOptions(types={"y_2": "category"})).columns
    assert list(columns) == ["x1", "x2", "y_1", "y_2"]
    assert columns["x2"].values.tolist() == [1, 0, 1]
    assert columns["y_2"].categories == (("false", "true") if dtype == "?" else ("0", "1"))


GOOD = {
    "x": np.ones((3, 2)),
    "y": np.array([0, 1, 0]),
    "class_names": np.array(["a", "b"]),
    "feature_names": np.array(["u", "v"]),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, "array 'x' is not in the file"),
        ({"x": np.ones(3)}, r"array 'x' has shape \(3,\) instead of \(examples, features\)"),
        ({"x": np.array([["a"], ["b"], ["c"]])}, "array 'x' has type <U1 instead of numbers"),
        ({"x": np.ones((3, 2), dtype=complex)}, "array 'x' has type complex128 instead of numbers"),
        ({"x": np.array([[1.0], [np.inf], [2.0]])}, r"1 infinite values, the first at \(1, 0\)"),
        ({"x": np.ones((0, 2)), "y": np.ones(0)}, r"array 'x' has shape \(0, 2\): it is empty"),
        ({"x": np.ones((3, 0))}, r"array 'x' has shape \(3, 0\): it is empty"),
        ({"x": np.ones((3, 4, 4))}, r"array 'x' has shape \(3, 4, 4\) and type float64 instead of uint8"),
        ({"x": np.ones((3, 4, 4, 3), np.uint8)}, r"array 'x' has shape \(3, 4, 4, 3\), which is none of pictures"),
        ({"x": np.ones((3, 1, 1, 4, 4), np.uint8)}, "which is none of pictures"),
        ({"y": None}, "array 'y' is not in the file"),
        ({"y": np.array([0, 1])}, r"array 'y' has shape \(2,\), which does not fit 3 inputs"),
        ({"y": np.array(5)}, r"array 'y' has shape \(\), which does not fit"),
        ({"y": np.array([{}, {}, {}])}, r"array 'y' holds Python objects \(pickle\)"),
        ({"y": np.array([b"a", b"b", b"a"])}, r"array 'y' has type \|S1 instead of numbers"),
        ({"y": np.array([0, 2, 0])}, "array 'y' has '2' at 1, which is no class of the 2 class_names"),
        ({"y": np.array([0, -1, 0])}, "array 'y' has '-1' at 1, which is no class"),
        ({"y": np.array(["a", "c", "b"])}, "array 'y' has 'c' at 1, which is no class"),
        ({"y": np.array(["a", "\ud800", "b"])}, "array 'y' has a text that is not valid Unicode"),
        ({"y": np.array([0.0, 1.0, 0.0])}, "type float64, which are no indices into class_names"),
        ({"y": np.eye(3, 2, dtype=int)}, r"shape \(3, 2\) and type int64, which are no indices into class_names"),
        ({"class_names": np.array(["a", "a"])}, "array 'class_names' has 'a' twice"),
        ({"class_names": np.array([1, 2])}, "array 'class_names' has type int64"),
        ({"feature_names": np.array(["u"])}, "array 'feature_names' has 1 names for 2 features"),
        ({"feature_names": np.array(["u", ""])}, "array 'feature_names' has an empty name"),
    ],
)
def test_npz_arrays_that_do_not_fit_are_refused(change: dict[str, object], message: str, clean_place: Path) -> None:
    arrays = {name: array for name, array in {**GOOD, **change}.items() if array is not None}
    np.savez("a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=f"a.npz: {message}" if message.startswith("array") else message) as error:
        read_npz(Path("a.npz"), "x", "y")
    assert error.value.hint


def test_a_feature_with_the_name_of_the_target_is_refused(clean_place: Path) -> None:
    np.savez("a.npz", inputs=np.ones((3, 1)), targets=np.arange(3), feature_names=np.array(["y"]))
    with pytest.raises(DataError, match=r"a\.npz: feature 'y' has the name of the target"):
        table_of_arrays(read_npz(Path("a.npz")), "y", ReadOptions())


def test_damaged_npz_files_are_refused(clean_place: Path) -> None:
    np.savez_compressed("a.npz", **GOOD)  # type: ignore[arg-type]
    whole = Path("a.npz").read_bytes()
    place = whole.index(b"x.npy") + 40
    for content in (b"", b"PK\x03\x04", whole[:-30], whole[:place] + b"\xff" * 30 + whole[place + 30 :]):
        Path("a.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz"):
            read_npz(Path("a.npz"), "x", "y")
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(DataError, match="array 'x' is no array"):
        read_npz(Path("a.npz"), "x", "y")


def test_times_with_a_zone_are_read_in_utc(clean_place: Path) -> None:
    start, end = datetime(2024, 10, 26, 23), datetime(2024, 10, 27, 3)  # 02:00 to 03:00 occurs twice in Berlin
    hours = pl.datetime_range(start, end, "30m", time_zone="UTC", eager=True)
    pl.DataFrame({"t": hours.dt.convert_time_zone("Europe/Berlin")}).write_parquet(PATH)
    assert parse_dates(read_parquet(PATH).columns["t"].categories) == hours.to_list()
