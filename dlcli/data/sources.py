"""Data sources, and loading of the splits of a config.

A new source needs one file, one row in `SOURCES` and one section in the schema.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from typing import TYPE_CHECKING, Any, cast

from dlcli.config.paths import open_regular
from dlcli.config.schema import AnyData, Config, NpzData, TableData
from dlcli.data.bundled import load_diabetes, load_digits
from dlcli.data.duplicates import describe_duplicates
from dlcli.data.image_folder import load_image_folder, note_missing_classes
from dlcli.data.make_splits import make_splits, prepare
from dlcli.data.mnist import fetch_mnist, load_mnist
from dlcli.data.preprocessing import Preprocessing
from dlcli.data.splits import MissingDataError, RawData, Splits
from dlcli.data.synthetic import load_synthetic_classification, load_synthetic_regression
from dlcli.errors import DeviceError

if TYPE_CHECKING:
    from dlcli.data.table_source import ReadTable

SOURCES: dict[str, Callable[[Any], RawData]] = {
    "fashion_mnist": load_mnist,
    "mnist": load_mnist,
    "digits": load_digits,
    "diabetes": load_diabetes,
    "image_folder": load_image_folder,
    "synthetic_regression": load_synthetic_regression,
    "synthetic_classification": load_synthetic_classification,
}
FETCHERS: dict[str, Callable[[Any, Callable[[str], None]], None]] = {
    "fashion_mnist": fetch_mnist,
    "mnist": fetch_mnist,
}


def load_splits(
    config: Config,
    *,
    notify: Callable[[str], None] | None = None,
    inherited: Preprocessing | None = None,
    raw: RawData | ReadTable | None = None,
) -> Splits:
    """Load, split and scale the data of a config.

    Args:
        config: Config; `data` selects the source, `seed` draws the validation split.
        notify: Called with a one-line message before a download; None disables downloads.
        inherited: Preprocessing of a trained model to use; None fits it on the training examples.
        raw: Result of `load_raw` for the same data; None loads it.

    Raises:
        DataError: If the data is missing or damaged, has too few examples for the splits, or other features than the
            inherited preprocessing.
        DeviceError: If the data does not fit into memory.
    """
    with _memory_errors_explained(config.data):
        if isinstance(config.data, TableData):
            read = raw or _read_table(config)
            if not isinstance(read, RawData):
                return _note_duplicates(read.load(config, inherited, keeps_rows=raw is not None))
            splits = make_splits(read, config.data, config.seed, inherited, shares=raw is not None)
            return _note_duplicates(note_missing_classes(splits) if config.task == "classification" else splits)
        assert raw is None or isinstance(raw, RawData), "it is the data of this config"
        splits = make_splits(
            raw or _load_raw(config.data, notify), config.data, config.seed, inherited, shares=raw is not None
        )
        return _note_duplicates(note_missing_classes(splits)) if config.data.name == "image_folder" else splits


def load_raw(config: Config, notify: Callable[[str], None] | None = None) -> RawData | ReadTable:
    """Load the data of a config, to be split by `load_splits` with several seeds.

    Raises:
        DataError: If the data is missing or damaged.
        DeviceError: If the data does not fit into memory.
    """
    with _memory_errors_explained(config.data):
        raw = _read_table(config) if isinstance(config.data, TableData) else _load_raw(config.data, notify)
        return prepare(raw, config.data) if isinstance(raw, RawData) else raw


@contextmanager
def _memory_errors_explained(config: AnyData) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
            raise
        reason = (str(error) or "not enough memory").splitlines()[0]
        hint = "reduce data.n_samples or data.in_features"
        if config.name == "image_folder":
            hint = "reduce data.size"
        elif isinstance(config, TableData):
            hint = "use fewer examples or features"
        raise DeviceError(f"out of memory for the data of {config.name}: {reason}", hint=hint) from error


def digest_files(config: AnyData) -> dict[str, str]:
    """Return the SHA-256 of each file of a table, as in `DataInfo.checksums`; {} if a file cannot be read."""
    digests = {}
    if isinstance(config, TableData):
        try:
            for label, path in config.files_by_label().items():
                with open_regular(path) as file:
                    digests[label] = hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest()
        except OSError:
            return {}
    return digests


def _note_duplicates(splits: Splits) -> Splits:
    duplicates = describe_duplicates(splits)
    return replace(splits, notes=(*splits.notes, *duplicates), duplicates=duplicates)


def _read_table(config: Config) -> RawData | ReadTable:
    """Read a table, or arrays, which may be pictures."""
    if isinstance(config.data, NpzData):
        from dlcli.data.npz_source import read_arrays

        return read_arrays(config)
    from dlcli.data.table_source import read_table

    return read_table(config)


def _load_raw(config: AnyData, notify: Callable[[str], None] | None) -> RawData:
    try:
        return SOURCES[config.name](config)
    except MissingDataError:
        if notify is None or config.name not in FETCHERS:
            raise
        FETCHERS[config.name](config, notify)
        return SOURCES[config.name](config)
