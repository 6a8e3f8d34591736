"""Targets of a table: the classes of its examples, and the range of its values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dlcli.data.class_folders import natural_key
from dlcli.data.row_splits import RowSplits
from dlcli.data.scaling import check_range
from dlcli.data.tables.options import name_setting
from dlcli.data.tables.rows import Kept
from dlcli.errors import DataError


def check_targets(names: Sequence[str], values: Tensor, dtype: torch.dtype) -> None:
    """Check that the squares of targets fit the dtype of training, since errors in the target's unit are computed too.

    Args:
        names: Names of the targets.
        values: Float64 of shape (N, targets).
        dtype: Type of training.

    Raises:
        RangeError: If the squares of a target do not fit.
    """
    for name, column in zip(names, values.t(), strict=True):
        check_range(name, column.to(dtype).square(), column.numpy())


def number_labels(kept: Kept, targets: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the classes of all examples, in the order of the file or natural order, and the class of each example.

    Raises:
        DataError: If there are several targets, a single class or more than 1,000.
    """
    if len(targets) > 1:
        hint = f"write it like `{name_setting('data.target', targets[0])}`"
        raise DataError("classification needs a single target", hint=hint)
    column, file = kept.column(targets[0]), kept.rows.tables[0].file
    order = {name: (place,) for place, name in enumerate(kept.rows.tables[0].class_names)}
    used = sorted(
        np.flatnonzero(np.bincount(column.values)).tolist(),
        key=lambda code: order[column.categories[code]] if order else natural_key(column.categories[code]),
    )
    if len(used) < 2:
        message = f"{file}: column {targets[0]!r} has a single class, {column.categories[used[0]]!r}"
        raise DataError(message, hint="choose another target")
    if len(used) > 1000:
        message = f"{file}: column {targets[0]!r} has {len(used):,} different values, too many for classes"
        raise DataError(message, hint="use task=regression, or another target")
    place = np.zeros(len(column.categories), dtype=np.int64)
    place[used] = np.arange(len(used))
    return tuple(column.categories[code] for code in used), place[column.values]


def number_classes(
    kept: Kept, target: str, names: Sequence[str], labels: np.ndarray, splits: RowSplits
) -> tuple[tuple[str, ...], np.ndarray]:
    """Number the classes of the training examples in the order of `names`; a class that train lacks is an error."""
    known = np.flatnonzero(np.bincount(labels[splits.train])).tolist()
    new = np.zeros(len(names), dtype=np.int64) - 1
    new[known] = np.arange(len(known))
    numbered = new[labels]
    if (numbered < 0).any():
        name = names[int(labels[numbered < 0][0])]
        problem = f"has the class {name!r}, which no training example has"
        kept.fail(target, numbered < 0, problem, "split the data in another way")
    return tuple(names[code] for code in known), numbered
