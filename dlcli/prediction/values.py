"""Values in memory as rows to predict for: data frames, dicts of columns, lists of dicts, and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dlcli.config.schema import DigitsData, FashionMnistData
from dlcli.errors import DataError, UsageError, one_line
from dlcli.prediction.inputs import FrameInput, Input, InputLike
from dlcli.prediction.predictor import Predictor

if TYPE_CHECKING:
    import polars as pl


def input_of_values(source: InputLike, predictor: Predictor) -> Input:
    """Return the rows of values in memory; see `open_input`.

    Raises:
        UsageError: If the values are not a table or array, or the model cannot predict for them.
    """
    import polars as pl

    try:
        if isinstance(source, pl.DataFrame):
            return table_only(FrameInput(source, "data"), predictor)
        if isinstance(source, Mapping):
            return table_only(FrameInput(pl.DataFrame(dict(source), strict=False), "data"), predictor)
        if isinstance(source, Sequence) and source and all(isinstance(row, Mapping) for row in source):
            rows = pl.from_dicts([dict(row) for row in source], infer_schema_length=None, strict=False)
            return table_only(FrameInput(rows, "data"), predictor)
        if hasattr(source, "__arrow_c_stream__"):
            return table_only(FrameInput(pl.DataFrame(source), "data"), predictor)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        reason = one_line(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise UsageError(f"the data cannot be read as a table: {reason}") from error
    with suppress(TypeError, ValueError):
        array = source.numpy(force=True) if isinstance(source, Tensor) else np.asarray(source)
        if array.dtype != object or (array.ndim == 2 and predictor.columns):
            return input_of_array(array, (), None, "data", predictor)
    hint = "give a path, a dict of columns, a list of dicts, a data frame or an array"
    raise UsageError(f"cannot predict for a value of type {type(source).__name__}", hint=hint)


def input_of_array(
    values: np.ndarray, names: Sequence[str], labels: np.ndarray | None, name: str, predictor: Predictor
) -> Input:
    """Return the rows of an array.

    Args:
        values: Array of shape (N, columns), or (N, ...) of pixels.
        names: Names of its columns; () if they are in the order of training.
        labels: True classes or values of shape (N,) or (N, targets), if they are known.
        name: Name of the input in messages.
        predictor: Model to predict with.
    """
    import polars as pl

    frame = pl.DataFrame()
    if labels is not None:
        if isinstance(predictor.data, FashionMnistData) and labels.dtype.kind in "iu" and labels.ndim == 1:
            labels = _named(labels, predictor.info.class_names)
        columns = labels.reshape(len(labels), -1).T
        frame = pl.DataFrame(dict(zip(predictor.targets, map(_as_series, columns), strict=False)))
    if not predictor.columns:
        pixels = _as_pixels(values, name, predictor)
        return FrameInput(frame, name, pixels)
    expected = [column.name for column in predictor.columns]
    if values.ndim != 2 or (not names and values.shape[1] != len(expected)):
        message = f"{name} has shape {values.shape}, the model predicts from (N, {len(expected)})"
        raise UsageError(message, hint=f"columns in order: {', '.join(expected[:20])}")
    series = dict(zip(names or expected, map(_as_series, values.T), strict=True))
    return FrameInput(pl.DataFrame(series).hstack(frame.select(set(frame.columns) - series.keys())), name)


def _named(labels: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Return the names of classes that are given by index, as in the files of Fashion-MNIST."""
    is_class = (labels >= 0) & (labels < len(class_names))
    return np.where(is_class, np.array(class_names)[np.where(is_class, labels, 0)], labels.astype(str))


def _as_series(values: np.ndarray) -> pl.Series:
    import polars as pl

    if values.dtype.kind in "OU":
        return pl.Series([None if value is None else value for value in values.tolist()], strict=False)
    return pl.Series(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")))


def _as_pixels(values: np.ndarray, name: str, predictor: Predictor) -> Tensor:
    shape, count = predictor.info.image_shape, predictor.info.in_features
    if values.ndim == 4 and shape is not None and values.shape[1:] == (*shape[1:], shape[0]) != shape:
        values = values.transpose(0, 3, 1, 2)  # channels last
    if values.ndim < 2 or values[:1].size != count * len(values[:1]) or values.dtype.kind not in "fiub":
        sizes = "×".join(map(str, shape or (count,)))
        raise UsageError(f"{name} has shape {values.shape} and type {values.dtype}, the model predicts from N×{sizes}")
    pixels = torch.from_numpy(np.ascontiguousarray(values.reshape(len(values), count)))
    if pixels.dtype == torch.uint8:
        return pixels
    pixels = pixels.double()
    if not pixels.isfinite().all():
        raise UsageError(f"{name} contains a value that is not a finite number")
    has_bytes = shape is not None and not isinstance(predictor.data, DigitsData)
    if has_bytes and len(pixels):
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 255 or (high <= 1 and pixels.frac().any()):
            message = f"{name} has pixels from {low:.3g} to {high:.3g}, the model takes those from 0 to 255"
            raise UsageError(message, hint="give them as they were before scaling")
    return pixels


def table_only(opened: Input, predictor: Predictor) -> Input:
    """Return the input unchanged if the model predicts for tables.

    Raises:
        DataError: If the model predicts for pictures instead.
    """
    if shape := predictor.info.image_shape:
        message = f"the model predicts for pictures of {'×'.join(map(str, shape))} pixels, and {opened.name} is a table"
        raise DataError(message, hint="give a picture, a folder of pictures or an NPZ file")
    return opened
