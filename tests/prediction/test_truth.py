"""True classes and values of new data: spellings, missing words, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import dlcli
from dlcli.api.loaded import LoadedModel
from dlcli.errors import DataError
from dlcli.prediction.values import _named
from prediction.runs_to_predict import SETTINGS, train_table

VALUES = np.random.default_rng(0).normal(size=120)


def train_labels(labels: pl.Series) -> LoadedModel:
    pl.DataFrame({"a": VALUES, "y": labels}).write_csv("train.csv")
    return dlcli.load(dlcli.train({"data": {"name": "csv", "path": "train.csv", "target": "y"}}, SETTINGS).run)


@pytest.mark.parametrize(
    ("trained", "new"),
    [
        (pl.String, pl.Boolean),  # True and False in training, as pandas writes them
        (pl.Boolean, pl.String),
        (pl.Int64, pl.Float64),
        (pl.Float64, pl.Int64),
    ],
)
def test_classes_that_are_the_same_value_are_the_same_class(
    clean_place: Path, trained: type[pl.DataType], new: type[pl.DataType]
) -> None:
    true = pl.Series(VALUES > 0)

    def labels(kind: type[pl.DataType]) -> pl.Series:
        return true.replace_strict({True: "True", False: "False"}) if kind == pl.String else true.cast(kind)

    model = train_labels(labels(trained))
    table = pl.DataFrame({"a": VALUES, "y": labels(new)})
    table.write_csv("new.csv")
    expected = [model.class_names[int(value > 0)] for value in VALUES]
    for source in (table, "new.csv"):
        assert model.predict(source).frame["label"].to_list() == expected
        assert model.evaluate(source).examples == 120


def test_missing_words_are_no_classes_where_classes_are_numbers(clean_place: Path) -> None:
    new = {"a": [1.0] * 5, "y": ["NA", "1", "", "01", "7"]}
    model = train_labels(pl.Series(VALUES > 0).cast(pl.Int64))
    assert model.predict(new).frame["label"].to_list() == [None, "1", None, "01", "7"]
    model = train_labels(pl.Series(VALUES > 0).replace_strict({True: "sun", False: "rain"}))
    assert model.predict(new).frame["label"].to_list() == ["NA", "1", None, "01", "7"]


def test_places_of_classes_are_their_names() -> None:
    assert _named(np.array([1, 0, 2, -1]), ["Bag", "Coat"]).tolist() == ["Coat", "Bag", "2", "-1"]


@pytest.mark.parametrize("value", [None, float("inf"), float("nan"), "12 kg"])
def test_a_target_that_is_no_number_is_refused(clean_place: Path, value: Any) -> None:
    model = dlcli.load(train_table(["u", "v"], task="regression"))
    row = {"a": 1.0, "n": 0.5, "flag": True, "kind": "x", "place": "p", "u": 1.0, "v": value}
    with pytest.raises(DataError, match="row 1: the example has no number as its target"):
        model.evaluate([row | {"v": 2.0}, row])
    assert np.isnan(model.predict([row]).frame["target_v"].fill_null(float("nan"))[0])
    del row["v"]
    with pytest.raises(DataError, match="no column 'v' with the true values"):
        model.evaluate([row])
