"""Rows to check an exported model with: rows of the data, and generated rows with unusual values."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from dlcli.config.schema import Config, NpzData, TableData
from dlcli.data.encoding import UNKNOWN, ColumnInfo, raw_values
from dlcli.data.sources import load_splits
from dlcli.data.splits import DataInfo
from dlcli.errors import DlcliError
from dlcli.prediction.predictor import Predictor
from dlcli.runs.run import Run

_MOST_ROWS = 10_000
_MOST_VALUES = 2**24  # maximum number of values of the real rows: 128 MB of float64
_LEAST_ROWS = 64  # minimum number of generated rows


def real_rows(run: Run, predictor: Predictor) -> np.ndarray | None:
    """Return up to 10,000 evenly spaced rows of the data of a run, as raw values; see `RawModel.forward`.

    Returns None if the data is missing or has changed.
    """
    info = predictor.info
    try:
        return _table_rows(run.config, info) if info.columns else _array_rows(run.config, predictor)
    except (DlcliError, OSError):
        return None


def _table_rows(config: Config, info: DataInfo) -> np.ndarray | None:
    from dlcli.data.npz_source import prepare_npz
    from dlcli.data.table_source import checksums, prepare_table

    assert isinstance(config.data, TableData)
    table = prepare_npz(config) if isinstance(config.data, NpzData) else prepare_table(config)
    if table is None or checksums(config.data, table.rows) != info.checksums:
        return None
    columns = {column.name: table.kept.column(column.name) for column in info.columns}
    chosen = _evenly_spaced(len(table.kept.index), len(columns))
    return np.column_stack([raw_values(columns[column.name].take(chosen), column) for column in info.columns])


def _array_rows(config: Config, predictor: Predictor) -> np.ndarray | None:
    splits = load_splits(config)
    if splits.info != predictor.info:
        return None
    train = splits.train
    chosen = train.select(torch.from_numpy(_evenly_spaced(len(train), predictor.info.in_features)))
    is_scaled = chosen.scaling is None
    values = predictor.input_scaling.invert(chosen.stored.double()) if is_scaled else chosen.stored
    return _shaped(values.numpy(), predictor.info)


def _evenly_spaced(count: int, width: int) -> np.ndarray:
    rows = min(count, _MOST_ROWS, max(1, _MOST_VALUES // max(1, width)))
    return np.linspace(0, count - 1, rows).round().astype(np.int64)


def _shaped(values: np.ndarray, info: DataInfo) -> np.ndarray:
    """Return values as an exported model takes them: images as uint8 of shape (N, channels, height, width)."""
    if info.image_shape is None:
        return values
    return values.round().clip(0, 255).astype(np.uint8).reshape(len(values), *info.image_shape)


def generated_rows(predictor: Predictor) -> np.ndarray:
    """Return the same rows every time, with every category of every column, missing values and unknown categories."""
    info, draw = predictor.info, np.random.default_rng(0)
    if info.columns:
        widths = itertools.accumulate((len(column.features) for column in info.columns), initial=0)
        scales = predictor.input_scaling.scale.expand(info.in_features).tolist()
        count = max(_LEAST_ROWS, *(len(column.categories) + 2 for column in info.columns))
        columns = zip(info.columns, widths, strict=False)
        return np.column_stack([_generate(column, scales[first], count, draw) for column, first in columns])
    shift, scale = (part.numpy() for part in (predictor.input_scaling.shift, predictor.input_scaling.scale))
    return _shaped(shift + scale * draw.standard_normal((_LEAST_ROWS, info.in_features)), info)


def _generate(column: ColumnInfo, scale: float, count: int, draw: np.random.Generator) -> np.ndarray:
    """Return raw values of a column: all codes in random order, or numbers of which every seventh is missing."""
    if column.kind == "category":
        codes = np.array([*range(len(column.categories)), np.nan, UNKNOWN])
        return codes[draw.permutation(count) % len(codes)]
    if column.kind == "boolean":
        return np.resize([0.0, 1.0, np.nan], count)
    values = column.fill + scale * draw.standard_normal(count)
    values[::7] = np.nan
    return values
