"""Inputs to predict for: tables, arrays, pictures and pipes, and what is refused."""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from picture_files import GRAY, write, write_classes

import dlcli
from dlcli.errors import DataError, DlcliError, UsageError
from prediction.runs_to_predict import SETTINGS, frame, train_table


def send(monkeypatch: pytest.MonkeyPatch, content: bytes, size: int = 1 << 20) -> None:
    """Make content the standard input, in reads of at most `size` bytes."""

    class Pipe(io.RawIOBase):
        rest = content

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            data, self.rest = self.rest[: min(size, len(buffer))], self.rest[min(size, len(buffer)) :]
            buffer[: len(data)] = data
            return len(data)

    monkeypatch.setattr("dlcli.prediction.open.stdin", lambda: io.BufferedReader(Pipe()))


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_a_pipe_is_read_once_and_like_a_file(clean_place: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    model = dlcli.load(train_table())
    table = frame(50 if size < 1000 else 300, seed=1)
    expected = model.predict(table).values
    table.write_csv("new.csv")
    table.write_parquet("new.parquet")
    for file in ("new.csv", "new.parquet"):
        send(monkeypatch, Path(file).read_bytes(), size)
        assert np.array_equal(model.predict("-").values, expected), file
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")
        if os.fork() == 0:
            Path("pipe").write_bytes(Path("new.csv").read_bytes())
            os._exit(0)
        assert np.array_equal(model.predict("pipe").values, expected)
        os.wait()


def test_compressed_data_may_be_larger_than_the_memory(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dlcli.load(train_table())
    table = frame(300, seed=1)
    Path("new.csv.gz").write_bytes(gzip.compress(table.write_csv().encode()))
    monkeypatch.setattr("dlcli.data.tables.source.free_memory", lambda: 1_000)
    assert np.array_equal(model.predict("new.csv.gz").values, model.predict(table).values)


def test_an_empty_pipe_is_refused(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dlcli.load(train_table())
    send(monkeypatch, b"")
    with pytest.raises(DataError, match="standard input is empty"):
        model.predict("-")


def test_arrays_of_files_and_their_true_values_are_used_by_name(clean_place: Path) -> None:
    draw = np.random.default_rng(0)
    values, labels = draw.normal(size=(200, 3)), draw.integers(0, 3, 200)
    names = np.array(["a", "b", "c"])
    np.savez("t.npz", inputs=values, targets=labels, feature_names=names)
    run = dlcli.train({"data": {"name": "npz", "path": "t.npz"}}, SETTINGS).run
    Path("t.npz").unlink()
    model = dlcli.load(run)
    expected = model.predict(values).values
    np.savez("turned.npz", inputs=values[:, ::-1], feature_names=names[::-1])
    np.savez("unnamed.npz", inputs=values.astype(np.float32).astype(np.float64), targets=labels)
    assert np.array_equal(model.predict("turned.npz").values, expected)
    predicted = model.predict("unnamed.npz")
    assert predicted.frame["label"].to_list() == labels.astype(str).tolist()
    assert model.evaluate("unnamed.npz").examples == 200
    np.savez("other.npz", inputs=values, feature_names=np.array(["a", "x", "c"]))
    with pytest.raises(DataError, match="has no column 'b'"):
        model.predict("other.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.float64(1)}, r"array 'inputs' has shape \(\) instead of"),
        ({"inputs": np.zeros((2, 5)), "targets": np.float64(1)}, r"array 'targets' has shape \(\), which does not fit"),
        ({"inputs": np.zeros((2, 5)), "targets": np.zeros(3)}, r"array 'targets' has shape \(3,\), which does not fit"),
        ({"inputs": np.zeros((2, 5)), "feature_names": np.array(["a"])}, "has 1 names for 5 features"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(clean_place: Path, arrays: dict[str, Any], message: str) -> None:
    model = dlcli.load(train_table())
    np.savez("new.npz", **arrays)
    with pytest.raises(DataError, match=message):
        model.predict("new.npz")


def test_a_model_of_arrays_is_evaluated_on_arrays(clean_place: Path) -> None:
    draw = np.random.default_rng(0)
    values, labels = draw.normal(size=(200, 3)), draw.integers(0, 3, 200)
    model = dlcli.load(dlcli.train({"training": {"epochs": 1}, "plots": "never"}, data=(values, labels)))
    result = model.evaluate((values, labels))
    preds = [int(name or -1) for name in model.predict(values).preds]
    assert (result.examples, result.data) == (200, "data")
    assert result.metrics["accuracy"] == np.mean(np.array(preds) == labels)
    with pytest.raises(DataError, match="has the class '3', which no training example has"):
        model.evaluate((values, np.full(200, 3)))


def train_pictures(**settings: Any) -> str:
    write_classes("train", n=30)
    data = {"name": "image_folder", "path": "train", "size": [3, 4], **settings}
    return dlcli.train({"data": data}, [*SETTINGS, "model.hidden_sizes=[5]"]).run


def test_pictures_of_a_folder_of_any_depth_have_the_predictions_of_their_pixels(clean_place: Path) -> None:
    model = dlcli.load(train_pictures())
    shades = [0, 3, 7, 12]
    for place, shade in zip(("new/10.png", "new/9.png", "new/deep/er/a.png", "new/b.png"), shades, strict=True):
        write(place, GRAY + shade)
    Path("new/.DS_Store").write_text("junk")
    Path("new/notes.txt").write_text("no picture")
    predicted = model.predict("new")
    assert predicted.frame["file"].to_list() == ["9.png", "10.png", "b.png", "deep/er/a.png"]
    pixels = np.stack([GRAY + shade for shade in (3, 0, 12, 7)])
    assert np.array_equal(predicted.values, model.predict(pixels).values)
    assert np.array_equal(model.predict("new/b.png").values, predicted.values[2:3])
    assert predicted.notes == ("skipped 1 file that is no picture: notes.txt",)
    Path("new/broken.png").write_bytes(Path("new/b.png").read_bytes()[:60])
    with pytest.raises(DataError, match=r"new/broken.png: damaged"):
        model.predict("new")
    blank = model.predict("new", bad_rows="blank")
    assert blank.preds.count(None) == 1
    np.savez("new.npz", inputs=pixels)
    assert np.array_equal(model.predict("new.npz").values, predicted.values)


def test_class_folders_have_true_classes(clean_place: Path) -> None:
    model = dlcli.load(train_pictures())
    write_classes("new", labels=("a", "c"), n=2)
    assert model.predict("new").frame["label"].to_list() == ["a", "a", "c", "c"]
    with pytest.raises(DataError, match=r"c/0.png: the example has the class 'c', which no training example has"):
        model.evaluate("new")
    write_classes("same", n=4)
    assert model.evaluate("same").examples == 8


def test_pictures_for_a_model_of_fashion_mnist_are_padded_as_in_training(clean_place: Path) -> None:
    from dlcli.config.schema import FashionMnistData
    from dlcli.prediction.pictures import PictureInput

    pixels = np.arange(784, dtype=np.uint8).reshape(28, 28)
    write("new.png", pixels)
    info = SimpleNamespace(image_shape=(1, 32, 32), class_names=("Bag",))
    predictor: Any = SimpleNamespace(
        data=FashionMnistData(name="fashion_mnist", pad=2), info=info, targets=("class",), columns=()
    )
    (part,) = PictureInput(Path("new.png"), predictor).parts([], [])
    assert part.pixels is not None
    assert np.array_equal(part.pixels.reshape(32, 32), np.pad(pixels, 2))


@pytest.mark.parametrize("source", ["https://x.y/new.csv", "s3://b/new.csv", "hf://datasets/x", "file:///etc/passwd"])
def test_addresses_are_refused_without_a_socket(
    clean_place: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    model = dlcli.load(train_table())
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was opened"))
    with pytest.raises(DataError, match="not a file"):
        model.predict(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,n,flag,kind\n1,2,true,x\n", "has no column 'place'"),
        ("A,n,flag,kind,place\n1,2,true,x,p\n", "has no column 'a'"),
        ("a,n,flag,kind,place\n1,2,true,x\n", "new.csv:2: the line has 4 fields instead of 5"),
        ("a,n,flag,kind,place\n1,2,true,x,p\n\n1,2,true,x,p,q\n", "new.csv:4: the line has 6 fields instead of 5"),
        ('a,n,flag,kind,place\n1,2,true,x,"p\n', "new.csv:2: the line has a quote that is never closed"),
        ('a,n,flag,kind,place\n1,2,true,x,"p"q\n', "new.csv:2: the line has text after a closing quote"),
        ("a,n,flag,kind,place\n", "has no rows"),
        ("", "is empty"),
        ("a,n,flag,kind,place\n1;2;true;x;p\n", "new.csv:2: the line has 1 field instead of 5"),
        ("a,n,flag,kind,place\n1,2,true,x,p\n1\0,2,true,x,p\n", "column 'a' has '1"),
    ],
)
def test_wrong_tables_are_refused_with_their_place(clean_place: Path, text: str, message: str) -> None:
    model = dlcli.load(train_table())
    Path("new.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        model.predict("new.csv")


def test_bytes_in_another_encoding_are_refused(clean_place: Path) -> None:
    model = dlcli.load(train_table())
    Path("new.csv").write_bytes("a,n,flag,kind,place\n1,2,true,zé,p\n".encode("latin-1"))
    with pytest.raises(DataError, match="bytes that are not UTF-8"):
        model.predict("new.csv")


def test_a_bad_value_is_named_with_its_line_in_200_random_files(clean_place: Path) -> None:
    model = dlcli.load(train_table())
    draw = random.Random(0)
    for number in range(200):
        rows = [[str(i), "0.5", "true", "x", "p", draw.choice(["", "plain", "two\nlines", "a,b"])] for i in range(40)]
        bad = draw.randrange(40)
        rows[bad][0] = "12 kg"
        text = io.StringIO()
        writer = csv.writer(text, lineterminator=draw.choice(["\n", "\r\n"]))
        writer.writerow(["a", "n", "flag", "kind", "place", "note"])
        for row in rows:
            text.write(draw.choice(["", "", "\n"]))
            writer.writerow(row)
        content = text.getvalue()
        line = content[: content.index("12 kg")].count("\n") + 1
        Path("new.csv").write_text(draw.choice(["", "\ufeff"]) + content, newline="")
        with pytest.raises(DataError) as raised:
            model.predict("new.csv")
        assert raised.value.message.startswith(f"new.csv:{line}: column 'a' has '12 kg'"), (number, raised.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": [1], "n": [1, 2]}, "cannot be read as a table"),
        ([], "shape"),
        (None, "cannot predict for a value of type NoneType"),
        (np.zeros((3, 4)), r"shape \(3, 4\), the model predicts from \(N, 5\)"),
        ([{"a": 1}], "has no column 'n'"),
        (object(), "cannot predict for a value of type object"),
        ({"a": [[1, 2]], "n": [1], "flag": [True], "kind": ["x"], "place": ["p"]}, "has nested values"),
    ],
)
def test_wrong_values_are_refused(clean_place: Path, values: Any, message: str) -> None:
    model = dlcli.load(train_table())
    with pytest.raises(DlcliError, match=message):
        model.predict(values)


def test_a_decimal_comma_is_seen_and_the_mark_of_the_run_decides_otherwise(clean_place: Path) -> None:
    frame().write_csv("train.csv", separator=";", decimal_comma=True)
    data = {"name": "csv", "path": "train.csv", "target": "y", "missing": "mean", "ignore": ["id", "u", "v", "w"]}
    model = dlcli.load(dlcli.train({"data": data}, SETTINGS).run)

    def raw(value: str, separator: str = ";") -> float:
        from dlcli.prediction.predict import Prediction

        rows = [["a", "n", "flag", "kind", "place"], [value, "1", "true", "x", "p"]]
        Path("new.csv").write_text("\n".join(separator.join(row) for row in rows) + "\n")
        return float(next(Prediction(model._predictor, "new.csv").parts()).raw[0, 0])

    assert raw("1,5") == 1.5
    assert raw("1.5") == 1.5
    assert raw("1.234") == raw("1.234", "\t") == 1234.0
    assert raw("1.234", ",") == 1.234
    assert raw("1.234,5") == 1234.5
    assert raw("12") == 12.0


def test_other_columns_do_not_decide_the_decimal_mark(clean_place: Path) -> None:
    model = dlcli.load(train_table())
    rows = [f"{a};0.5;true;x;p;{price}" for a, price in (("1.234", "2,5"), ("2.345", "3,5"))]
    Path("new.csv").write_text("\n".join(["a;n;flag;kind;place;price", *rows]) + "\n")
    row = {"n": 0.5, "flag": True, "kind": "x", "place": "p"}
    expected = model.predict([row | {"a": 1.234}, row | {"a": 2.345}]).values
    assert np.array_equal(model.predict("new.csv").values, expected)


def test_frames_with_the_arrow_interface_are_tables(clean_place: Path) -> None:
    model = dlcli.load(train_table())
    table = frame(20, seed=1)

    class Arrow:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return table.__arrow_c_stream__(requested_schema)

    assert np.array_equal(model.predict(Arrow()).values, model.predict(table).values)


def test_a_table_is_refused_by_a_model_for_pictures_and_the_other_way_round(clean_place: Path) -> None:
    pictures, tables = dlcli.load(train_pictures()), dlcli.load(train_table())
    frame().write_parquet("new.parquet")
    with pytest.raises(DataError, match="predicts for pictures of 1×3×4 pixels"):
        pictures.predict("new.parquet")
    for source in ("train", "train/a/0.png"):
        with pytest.raises(DataError, match="predicts for tables"):
            tables.predict(source)
    with pytest.raises(UsageError, match="the model predicts from N×1×3×4"):
        pictures.predict(torch.zeros(2, 5))


def test_a_keyed_row_is_where_it_is_for_every_split_of_a_quoted_file(clean_place: Path) -> None:
    from dlcli.data.tables.sniff import find_layout
    from dlcli.data.tables.source import Source
    from dlcli.data.tables.stream import stream_csv

    Path("t.csv").write_text('k,v\n"a\nb",1\nc,2\n\n"d",3\ne,4\n')
    for block in range(1, 30):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dlcli.data.tables.source.BLOCK", block)
            source = Source(Path("t.csv"))
            parts = list(stream_csv(source, find_layout(source, "auto", "auto", ()), []))
            found = [(part.line_of(row), *part.frame.row(row)) for part in parts for row in range(part.frame.height)]
        assert found == [(2, "a\nb", "1"), (4, "c", "2"), (6, "d", "3"), (7, "e", "4")], block


def test_names_of_columns_may_be_numbers_if_the_model_knows_them(clean_place: Path) -> None:
    draw = np.random.default_rng(0)
    table = pl.DataFrame({"1": draw.normal(size=60), "2": draw.normal(size=60), "y": draw.choice(["p", "q"], 60)})
    table.write_csv("t.csv")
    run = dlcli.train({"data": {"name": "csv", "path": "t.csv", "target": "y"}}, SETTINGS).run
    table.drop("y").write_csv("new.csv")
    assert np.array_equal(dlcli.load(run).predict("new.csv").values, dlcli.load(run).predict("t.csv").values)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"a,b;c\n1,2;3\n", "save the table as CSV in UTF-8 with commas between the values, or as Parquet"),
        ("a\n1\n2\n".encode("utf-16-le"), "save the file as UTF-8"),
        (b"ARROW1", "save it as Parquet"),
    ],
)
def test_hints_name_no_settings_because_predictions_have_none(clean_place: Path, content: bytes, hint: str) -> None:
    Path("new.csv").write_bytes(content)
    with pytest.raises(DataError) as raised:
        dlcli.load(train_table()).predict("new.csv")
    assert raised.value.hint == hint


def test_a_picture_in_a_pipe_has_the_name_of_the_pipe(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dlcli.load(train_pictures())
    content = Path("train/a/0.png").read_bytes()
    send(monkeypatch, content)
    assert model.predict("-").frame["file"].to_list() == ["standard input"]
    send(monkeypatch, content[:60])
    with pytest.raises(DataError, match=r"^standard input: damaged"):
        model.predict("-")
    send(monkeypatch, b"a,b\n1,2\n")
    with pytest.raises(DataError, match=r"^standard input is no picture"):
        model.predict("-")


def test_names_of_pictures_that_are_no_text_are_escaped(clean_place: Path) -> None:
    model = dlcli.load(train_pictures())
    Path("new").mkdir()
    try:
        Path("new", os.fsdecode(b"\xff.png")).write_bytes(Path("train/a/0.png").read_bytes())
    except OSError:
        pytest.skip("the file system refuses such names")
    assert model.predict("new").frame["file"].to_list() == ["\\udcff.png"]


def test_pixels_outside_the_range_of_the_training_are_refused(clean_place: Path) -> None:
    model = dlcli.load(train_pictures())
    assert len(model.predict(np.ones((2, 3, 4)))) == 2
    for value, number in ((0.5, "0.5"), (-1, "-1"), (256, "256")):
        with pytest.raises(UsageError, match=f"pixels from {number} to {number}, the model takes those from 0"):
            model.predict(np.full((2, 3, 4), value))


def test_a_file_without_the_array_of_inputs_is_refused(clean_place: Path) -> None:
    model = dlcli.load(train_table())
    np.savez("new.npz", x=np.zeros((2, 5)))
    with pytest.raises(DataError, match="array 'inputs' with the examples to predict for is not in the file"):
        model.predict("new.npz")
