"""Predictions for a row: the same bits in every company, order, chunk and file format."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import dlcli
from dlcli.api import LoadedModel
from dlcli.errors import DataError
from dlcli.model import ACTIVATIONS
from dlcli.prediction import inputs
from dlcli.prediction.row_model import ROWS, RowModel, row_parts
from dlcli.training.threads import thread_count
from prediction.runs_to_predict import RUNS, frame, train_table


@pytest.mark.parametrize("kind", RUNS)
def test_a_row_has_the_same_bits_in_every_form(clean_place: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dlcli.load(RUNS[kind]())
    new = frame(2 * ROWS + 7, seed=1)
    expected = model.predict(new).values
    assert np.isfinite(expected).all()
    assert len(np.unique(expected[:, 0])) > len(expected) / 2

    order = np.random.default_rng(2).permutation(len(new))
    assert np.array_equal(model.predict(new[order]).values, expected[order]), "shuffled"
    for row in (0, 1, 2, 3, 4, 5, 6, 7, ROWS - 1, ROWS, len(new) - 1):
        assert np.array_equal(model.predict(new[row : row + 1]).values, expected[row : row + 1]), f"row {row} alone"
    for form, table in {
        "columns turned": new.select(reversed(new.columns)),
        "extra columns": new.with_columns(extra=1, another=pl.lit("text")),
        "without targets": new.drop("y", "u", "v", "w"),
        "dict": new.to_dict(as_series=False),
        "list of dicts": new.to_dicts(),
        "array": new.select(column.name for column in model.features).to_numpy().astype(object),
        "categories": new.with_columns(pl.col("kind", "place").cast(pl.Categorical)),
    }.items():
        assert np.array_equal(model.predict(table).values, expected), form
    write_all(new)
    for file in ("new.csv", "new.csv.gz", "semicolons.csv", "new.parquet", "quoted.csv"):
        assert np.array_equal(model.predict(file).values, expected), file
    with thread_count(2):
        assert np.array_equal(model.predict("new.csv").values, expected), "threads"
    for rows in (1, 1000, 65_536):
        monkeypatch.setattr(inputs, "_PART_ROWS", rows)
        part = new[:50] if rows == 1 else new
        assert np.array_equal(model.predict(part).values, expected[: len(part)]), f"parts of {rows}"


def write_all(new: pl.DataFrame) -> None:
    """Write a table in several formats."""
    import gzip

    new.write_csv("new.csv")
    Path("new.csv.gz").write_bytes(gzip.compress(Path("new.csv").read_bytes()))
    new.write_csv("semicolons.csv", separator=";", decimal_comma=True)
    new.write_parquet("new.parquet")
    lines = new.with_columns(note=pl.lit('a "quoted"\nline, break')).write_csv(quote_style="non_numeric")
    Path("quoted.csv").write_text("\n\n" + lines)


@pytest.mark.parametrize("block", [64, 333, 4096])
def test_a_file_has_the_same_predictions_in_blocks_of_any_size(
    clean_place: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dlcli.load(train_table())
    new = frame(300, seed=3)
    expected = model.predict(new).values
    write_all(new)
    monkeypatch.setattr("dlcli.data.tables.source.BLOCK", block)
    for file in ("new.csv", "quoted.csv", "semicolons.csv"):
        assert np.array_equal(model.predict(file).values, expected), file


@pytest.mark.parametrize(("activation", "dtype"), list(itertools.product(ACTIVATIONS, (torch.float32, torch.float64))))
def test_products_do_not_depend_on_the_other_examples(activation: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    for sizes in ((5, 3), (13, 32, 1), (1, 7, 1), (50, 65, 64, 2)):
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(sizes[:-1]):
            layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), ACTIVATIONS[activation](), nn.Dropout()]
        plain = nn.Sequential(*layers, nn.Linear(*sizes[-2:])).to(dtype)
        values = torch.randn(ROWS + 100, sizes[0], dtype=dtype)
        plain(values)  # statistics of the normalized layers
        model, plain = RowModel(plain), plain.eval()

        def outputs(rows: torch.Tensor, model: RowModel = model) -> torch.Tensor:
            parts = [model.outputs(rows[part])[: part.stop - part.start].clone() for part in row_parts(len(rows))]
            return torch.cat(parts)

        expected = outputs(values)
        torch.testing.assert_close(expected, plain(values).detach(), rtol=1e-4, atol=1e-5)
        order = torch.randperm(len(values))
        assert torch.equal(outputs(values[order]), expected[order])
        for row in range(0, ROWS, 97):
            assert torch.equal(outputs(values[row : row + 1]), expected[row : row + 1])


def by_hand(model: LoadedModel, features: list[list[float]]) -> np.ndarray:
    """Return predictions for inputs before scaling, by the parts of the checkpoint."""
    predictor = model._predictor
    scaled = predictor.input_scaling.apply(torch.tensor(features, dtype=torch.float64)).float()
    outputs = predictor._row_model.outputs(scaled)
    return predictor.task.predictions(outputs)[: len(features)].numpy()


def row(**values: object) -> dict[str, object]:
    return {"a": 10.0, "n": 0.5, "flag": True, "kind": "x", "place": "p"} | values


def test_gaps_and_new_categories_are_what_the_description_says(clean_place: Path) -> None:
    model = dlcli.load(train_table("y", "data.min_frequency=20"))
    fills = {column.name: column.fill for column in model.features}
    names = [feature for column in model.features for feature in column.features]
    assert names == [
        *("a", "n", "flag", "kind=x", "kind=y", "kind=zé", "kind=(missing)"),
        *("place=p", "place=q", "place=(other)"),
    ]
    plain = [10.0, 0.5, 1.0, 1, 0, 0, 0, 1, 0, 0]
    cases = {
        "plain": (row(), plain),
        "no number": (row(n=None), [10.0, fills["n"], *plain[2:]]),
        "no boolean": (row(flag=None), [10.0, 0.5, fills["flag"], *plain[3:]]),
        "missing category": (row(kind=None), [*plain[:3], 0, 0, 0, 1, *plain[7:]]),
        "new category": (row(kind="new"), [*plain[:3], 0, 0, 0, 0, *plain[7:]]),
        "rare category": (row(place="s"), [*plain[:7], 0, 0, 1]),
        "new among rare": (row(place="new"), [*plain[:7], 0, 0, 1]),
    }
    for case, (given, features) in cases.items():
        assert np.array_equal(model.predict([given]).values, by_hand(model, [features])), case


def test_counts_in_the_notes_are_right_for_100_random_files(clean_place: Path) -> None:
    model = dlcli.load(train_table())
    draw = np.random.default_rng(5)
    for _ in range(100):
        rows, gaps, new, bad = (int(n) for n in draw.integers([20, 0, 0, 0], [200, 8, 8, 8]))
        places = draw.permutation(rows)
        table = frame(rows, seed=int(draw.integers(1000))).with_columns(
            pl.col("a").cast(pl.String), n=pl.lit(0.5), kind=pl.lit("x")
        )
        columns = table.to_dict(as_series=False)
        groups = np.split(places[: min(rows, gaps + new + bad)], np.cumsum([gaps, new])[:2])
        for column, value, chosen in zip(("n", "kind", "a"), (None, "newer", "12 kg"), groups, strict=True):
            for place in chosen:
                columns[column][place] = value
        predicted = model.predict(columns, bad_rows="blank")
        text = " ".join(predicted.notes)
        counts = Counter(n=len(groups[0]), kind=len(groups[1]), a=len(groups[2]))
        assert (f"n ({counts['n']})" in text) == bool(counts["n"]), text
        assert (f"'newer' ({counts['kind']})" in text) == bool(counts["kind"]), text
        blank = np.isnan(predicted.values).any(1)
        assert sorted(np.flatnonzero(blank)) == sorted(groups[2])
        assert len(predicted.notes) == sum(count > 0 for count in counts.values())


@pytest.mark.parametrize(
    ("setting", "given", "message"),
    [
        ({"unknown": "error"}, row(kind="new"), "row 1: column 'kind' has the category 'new', which no training"),
        ({"missing": "drop"}, row(n=None), "row 1: column 'n' has no value"),
        ({"missing": "drop"}, row(kind=None), "row 1: column 'kind' has no value"),
        ({}, row(a="12 kg"), "row 1: column 'a' has '12 kg', which is not a finite number"),
        ({}, row(a=float("inf")), "row 1: column 'a' has 'inf', which is not a finite number"),
        ({}, row(flag="maybe"), "row 1: column 'flag' has 'maybe', which is neither true nor false"),
    ],
)
def test_a_row_that_cannot_be_used_stops_or_is_blank(
    clean_place: Path, setting: dict[str, str], given: dict[str, object], message: str
) -> None:
    model = dlcli.load(train_table(**setting))
    rows = [row(), given, row(a=5.0)]
    with pytest.raises(DataError, match=message) as raised:
        model.predict(rows)
    assert "--bad-rows blank" in str(raised.value.hint)
    predicted = model.predict(rows, bad_rows="blank")
    assert np.isnan(predicted.values).any(1).tolist() == [False, True, False]
    assert np.array_equal(predicted.values[[0, 2]], model.predict([row(), row(a=5.0)]).values)
    assert predicted.preds[1] is None
    assert len(predicted.notes) == 1
    assert "1 row has no prediction" in predicted.notes[0]
