"""Loading of the user's own tables: columns, splits, encoding and scaling, all learned from the training examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from dlcli.config.schema import AUTO_SETTINGS, Config, TableData
from dlcli.data.ahead import map_ahead
from dlcli.data.encoding import ColumnInfo, fit_column
from dlcli.data.preprocessing import Preprocessing
from dlcli.data.row_splits import RowSplits, split_rows
from dlcli.data.scaling import RangeError, Scaling, check_range, fit_scaling
from dlcli.data.split_encoding import encode_splits
from dlcli.data.splits import DataInfo, Split, Splits
from dlcli.data.table_features import check_categories, complete_rows, feature_names
from dlcli.data.table_notes import class_notes, column_notes, layout_notes, unknown_notes
from dlcli.data.table_targets import check_targets, number_classes, number_labels
from dlcli.data.tables.options import ForcedKind
from dlcli.data.tables.rows import Kept, Rows, read_rows
from dlcli.errors import DataError


@dataclass(frozen=True)
class PreparedTable:
    """Table of a config: read, checked and split, before its values are encoded.

    Attributes:
        rows: All rows of the files.
        kept: Rows that are used; indices in `splits` refer to these rows.
        targets: Names of the target columns.
        infos: Encoding of each feature column.
        class_names: Classes of the training examples in label order; () for regression.
        labels: Class of each row that is used, int64; None for regression.
        layout: Settings that were `auto` and found in the files.
        notes: Messages for the user, one line each.
        inherited: Preprocessing of a trained model to use; None fits the scaling on the training examples.
    """

    rows: Rows
    kept: Kept
    targets: tuple[str, ...]
    infos: tuple[ColumnInfo, ...]
    splits: RowSplits
    class_names: tuple[str, ...]
    labels: np.ndarray | None
    layout: Mapping[str, str]
    notes: tuple[str, ...]
    inherited: Preprocessing | None = None


@dataclass(frozen=True)
class ReadTable:
    """Table that has been read for a config and can be split with several seeds.

    Attributes:
        rows: All rows of the files.
        targets: Names of the target columns.
    """

    rows: Rows
    targets: tuple[str, ...]

    def load(self, config: Config, inherited: Preprocessing | None, *, keeps_rows: bool) -> Splits:
        """Return scaled splits; unless inherited, encoding and scaling are learned from the training examples only.

        Args:
            config: Config with the settings of the table.
            inherited: See `load_splits`.
            keeps_rows: Whether the columns are kept for another seed; otherwise each is released once it is encoded.

        Raises:
            DataError: If a column cannot be used; the message names the place.
        """
        rows = self.rows.shared() if keeps_rows else self.rows
        return encode_table(config, prepare_rows(config, rows, self.targets, inherited))


def read_table(config: Config) -> ReadTable:
    """Read the table of a config.

    Raises:
        DataError: If a file cannot be read; the message names the place.
    """
    data = config.data
    assert isinstance(data, TableData)
    targets = (data.target,) if isinstance(data.target, str) else tuple(data.target)
    kind: ForcedKind = "class" if config.task == "classification" else "number"
    kinds: dict[str, ForcedKind] = {} if data.split is None else {data.split: "category"}
    return ReadTable(read_rows(data, kinds | dict.fromkeys(targets, kind)), targets)


def prepare_table(config: Config, inherited: Preprocessing | None = None) -> PreparedTable:
    """Read, check and split the table of a config; see `ReadTable.load`."""
    table = read_table(config)
    return prepare_rows(config, table.rows, table.targets, inherited)


def prepare_rows(
    config: Config, rows: Rows, targets: Sequence[str], inherited: Preprocessing | None = None
) -> PreparedTable:
    """Check and split the rows of a table; see `ReadTable.load`.

    Args:
        config: Config with the settings of a table.
        rows: All rows of the files of the config.
        targets: Columns to predict.
        inherited: See `load_splits`.
    """
    data = config.data
    assert isinstance(data, TableData)
    names = feature_names(rows, data, targets)
    kept = rows.select(complete_rows(rows, data, names, targets))
    class_names, labels = number_labels(kept, targets) if config.task == "classification" else ((), None)
    splits = split_rows(kept, data, labels, config.seed)
    for name in names:
        check_categories(rows, kept.column(name), splits.train, data)
    if inherited:
        infos = _inherited_columns(kept, names, inherited)
    else:
        columns = map(kept.column, names)
        infos = tuple(
            map_ahead(fit_column, ((column, splits.train, data.missing, data.min_frequency) for column in columns))
        )
    layout = _layout(data, rows)
    noted = list(dict.fromkeys([*names, *targets, *([] if data.time is None else [data.time])]))
    notes = [
        *layout_notes(data, layout),
        *column_notes(rows, noted),
        *unknown_notes(kept, infos, splits, data, inherited),
    ]
    if labels is not None:
        class_names, labels = number_classes(kept, targets[0], class_names, labels, splits)
        notes += class_notes(class_names, labels, splits)
    return PreparedTable(
        rows, kept, tuple(targets), infos, splits, class_names, labels, layout, tuple(notes), inherited
    )


def _inherited_columns(kept: Kept, names: Sequence[str], inherited: Preprocessing) -> tuple[ColumnInfo, ...]:
    """Return the encoding of the columns in the order of the inherited preprocessing.

    Raises:
        DataError: If the columns or their types differ.
    """
    if not inherited.info.columns:
        raise inherited.differs(f"{inherited.info.name} there, a table here")
    inherited.check_features(names)
    for info in inherited.info.columns:
        kind = kept.column(info.name).kind
        if (kind == "category") != (info.kind == "category"):
            raise inherited.differs(f"{info.name!r} is a {info.kind} there, a {kind} here")
    return inherited.info.columns


def encode_table(config: Config, table: PreparedTable) -> Splits:
    """Encode and scale the values of a table, and release its feature columns.

    Raises:
        DataError: If a value is too large or too small for the precision of training.
    """
    with ranges_explained(config, table.rows):
        return _encode_table(config, table)


@contextmanager
def ranges_explained(config: Config, rows: Rows) -> Iterator[None]:
    """Turn a RangeError into a DataError that names the file and a remedy."""
    try:
        yield
    except RangeError as error:
        file, name, value = rows.tables[0].file, error.column, f"{error.value:g}"
        size, precision = "large" if error.is_large else "small", config.training.precision
        message = f"{file}: column {name!r} has {value}, too {size} for training with {precision}"
        fix = "correct the value, or write the column in another unit"
        other = ", or use training.precision=float64" if precision != "float64" and abs(error.value) < 1e300 else ""
        raise DataError(message, hint=fix + other) from error


def dtype_of(config: Config) -> torch.dtype:
    """Return the dtype of training data: float64 if the precision is float64, otherwise float32."""
    return torch.float64 if config.training.precision == "float64" else torch.float32


def _encode_table(config: Config, table: PreparedTable) -> Splits:
    data, splits, infos, labels, inherited = config.data, table.splits, table.infos, table.labels, table.inherited
    assert isinstance(data, TableData)
    dtype = dtype_of(config)
    if labels is None:
        values = torch.from_numpy(np.column_stack([table.kept.column(name).values for name in table.targets]))
        target_scaling = inherited.scaling_of_targets(", ".join(table.targets)) if inherited else None
        target_scaling = target_scaling or fit_scaling(values[splits.train], data.normalize, jointly=False)
        outcome, out_features = target_scaling.apply(values), len(table.targets)
        check_targets(table.targets, values, dtype)
        for name, column, scaled in zip(table.targets, values.t(), outcome.t(), strict=True):
            check_range(name, scaled.to(dtype), column.numpy())
    else:
        outcome = torch.from_numpy(labels)
        target_scaling, out_features = Scaling.identity(), len(table.class_names)
    columns = (table.kept.take(info.name) for info in infos)
    kept_scaling = inherited.input_scaling if inherited else None
    scaling, inputs = encode_splits(columns, infos, splits, data.normalize, dtype, kept_scaling)
    features = tuple(feature for info in infos for feature in info.features)
    info = DataInfo(
        name=data.name,
        task=config.task,
        in_features=len(features),
        out_features=out_features,
        class_names=table.class_names,
        feature_names=features,
        target_name=", ".join(table.targets),
        checksums=checksums(data, table.rows),
        columns=infos,
    )
    train, val, test = (
        Split(part, outcome[torch.from_numpy(index)]) for part, index in zip(inputs, splits, strict=True)
    )
    return Splits(info, train, val, test, scaling, target_scaling, table.notes, layout=table.layout)


def checksums(data: TableData, rows: Rows) -> dict[str, str]:
    """Return the SHA-256 of each file by its label."""
    return dict(zip(data.files_by_label(), (table.sha256 for table in rows.tables), strict=True))


def _layout(data: TableData, rows: Rows) -> dict[str, str]:
    """Return the settings that are `auto` and for which all files have the same value."""
    layout = {}
    for name in AUTO_SETTINGS:
        found = {table.found.get(name) for table in rows.tables}
        choices = get_args(type(data).model_fields[name].annotation) if hasattr(data, name) else ()
        if getattr(data, name, None) == "auto" and len(found) == 1 and found <= {*choices}:
            layout[name] = str(found.pop())
    return layout
