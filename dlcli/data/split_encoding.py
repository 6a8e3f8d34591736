"""Encoding of the splits of a table, column by column."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dlcli.data.ahead import map_ahead
from dlcli.data.encoding import ColumnInfo, Encoder, raw_values
from dlcli.data.scaling import Scaling, check_range, fit_scaling
from dlcli.data.tables.numbers import LARGE, reserve
from dlcli.data.tables.table import Column

_BLOCK = 1 << 15  # values or rows per block: few enough for the cache, and for torch to compute in the calling thread


def encode_splits(
    columns: Iterable[Column],
    infos: Sequence[ColumnInfo],
    splits: Sequence[np.ndarray],
    how: Literal["none", "unit", "symmetric", "standard"],
    dtype: torch.dtype,
    scaling: Scaling | None = None,
) -> tuple[Scaling, list[Tensor]]:
    """Encode and scale the examples of each split, column by column so that few values are in memory twice.

    Arithmetic is float64. The scaling is fitted on the first split unless given; features of categories stay 0 and 1.

    Args:
        columns: Columns in the order of `infos`; each is released once it is encoded if nothing else refers to it.
        infos: What was learned about the columns.
        splits: Indices of the examples of train and of the other splits.
        how: Kind of scaling, see `fit_scaling`.
        dtype: Type to round the inputs to.
        scaling: Scaling of the features; None fits one.

    Returns:
        The scaling, and the inputs of each split, of shape (N, features).

    Raises:
        RangeError: If a value, or all values of a column, are outside the range of `dtype`.
    """
    encoder = Encoder(infos)
    count = len(encoder.fill)
    fits = scaling is None and how != "none"
    scaling = scaling or Scaling.identity()
    shift, scale = (values.expand(count).clone() for values in (scaling.shift, scaling.scale))
    parts = [_reserve(count, len(rows), dtype) for rows in splits]  # transposed: columns are contiguous

    def encode(number: int, column: Column, info: ColumnInfo) -> None:
        """Write the features of a column to their places in `parts`, `shift` and `scale`."""
        raw, span = raw_values(column, info), encoder.span(number)
        if info.kind == "category":
            for part, rows in zip(parts, splits, strict=True):
                for place, block in _encode_blocks(encoder, number, raw, rows):
                    part[span, place] = block
            return
        filled = [_fill_column(encoder, number, raw.take(rows)) for rows in splits]
        if fits:
            fitted = fit_scaling(filled[0], how, jointly=False)
            shift[span], scale[span] = fitted.shift, fitted.scale
        for part, values, rows in zip(parts, filled, splits, strict=True):
            _put_scaled(values, Scaling(shift[span], scale[span]), part[span.start])
            check_range(info.name, part[span.start], raw, rows)

    for _ in map_ahead(encode, zip(itertools.count(), columns, infos)):
        pass
    inputs = []
    while parts:
        inputs.append(_transposed(parts.pop(0)))
    return Scaling(shift, scale) if fits else scaling, inputs


def _reserve(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Return an uninitialized tensor; a large tensor uses huge pages, which save most page faults."""
    count = rows * columns
    if count * dtype.itemsize < LARGE:
        return torch.empty(rows, columns, dtype=dtype)
    return torch.from_numpy(reserve(count, torch.empty(0, dtype=dtype).numpy().dtype)).reshape(rows, columns)


def _transposed(part: Tensor) -> Tensor:
    """Return the contiguous transpose of a matrix, copied in blocks of rows by two threads."""
    out = _reserve(part.shape[1], part.shape[0], part.dtype)
    blocks = zip(out.split(_BLOCK), part.t().split(_BLOCK), strict=True)
    for _ in map_ahead(np.copyto, ((rows.numpy(), columns.numpy()) for rows, columns in blocks)):
        pass
    return out


def _fill_column(encoder: Encoder, number: int, values: np.ndarray) -> Tensor:
    """Return the encoded values of a column of numbers, of shape (N, 1); without missing values, they are unchanged."""
    encoded = torch.from_numpy(values)
    has_gaps = len(values) and np.isnan(values.min())  # min() is NaN if a value is
    return encoder.encode(number, encoded).t() if has_gaps else encoded.unsqueeze(1)


def _put_scaled(values: Tensor, scaling: Scaling, out: Tensor) -> None:
    """Scale values of shape (N, 1) in place, and round them into `out` of shape (N,)."""
    for block, rounded in zip(values.split(_BLOCK), out.split(_BLOCK), strict=True):
        scaling.put(block, block)
        rounded.copy_(block[:, 0])


def _encode_blocks(encoder: Encoder, number: int, raw: np.ndarray, rows: np.ndarray) -> Iterator[tuple[slice, Tensor]]:
    """Yield the features of a column in blocks of examples, each with the slice of its examples in the split."""
    span = encoder.span(number)
    step = max(1, _BLOCK // max(1, span.stop - span.start))
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        yield slice(start, start + len(chosen)), encoder.encode(number, torch.from_numpy(raw[chosen]))
