"""Reading of Parquet files: types are those of the file, categories are taken by value."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.data.tables.options import ReadOptions, check_names
from dlcli.data.tables.refuse import check_path
from dlcli.data.tables.table import Table
from dlcli.data.tables.typed_columns import column_of_series
from dlcli.errors import DataError, one_line

if TYPE_CHECKING:
    import polars as pl


def read_parquet(path: Path, options: ReadOptions | None = None) -> Table:
    """Read a Parquet file.

    Numbers and booleans become float64, texts and categories become categories by value, dates and times become ISO
    texts. An empty text is missing, as in CSV files.

    Args:
        path: Local file.
        options: `null_values`, `types` and `columns`; the other settings are for CSV files.

    Raises:
        DataError: If the file is damaged, or a column has decimals, durations, nested or binary values.
    """
    import polars as pl

    options = options or ReadOptions()
    check_path(path)
    name = one_line(str(path))
    with path.open("rb") as file:
        _check_start(name, file.read(4))
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        with _reading(name):
            header = list(pl.read_parquet_schema(file))
        check_names(name, header, options)
        wanted = [column for column in header if options.wants(column)]
        file.seek(0)
        with _reading(name):
            frame = pl.read_parquet(file, columns=wanted, glob=False, hive_partitioning=False)
    if not frame.height:
        raise DataError(f"{name} has no rows", hint="write a table with at least two rows")
    columns = {series.name: column_of_series(name, series, options) for series in frame}
    return Table(name, columns, frame.height, sha256, {})


def read_parquet_names(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file.

    Raises:
        DataError: If the file is not a Parquet file, or is damaged.
    """
    import polars as pl

    name = one_line(str(path))
    check_path(path)
    with path.open("rb") as file:
        _check_start(name, file.read(4))
        file.seek(0)
        with _reading(name):
            return list(pl.read_parquet_schema(file))


def scan_parquet(path: Path, columns: Sequence[str], rows: int) -> Iterator[pl.DataFrame]:
    """Yield columns of a Parquet file in parts of about `rows` rows.

    Raises:
        DataError: If the file is damaged.
    """
    import polars as pl

    name = one_line(str(path))
    with _reading(name):
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(list(columns))
        parts = scan.collect_batches(chunk_size=rows, maintain_order=True)
    while True:
        with _reading(name):
            part = next(parts, None)
        if part is None:
            return
        yield part


def _check_start(name: str, start: bytes) -> None:
    if start != b"PAR1":
        hint = "type data.name=csv for a CSV file, or write it with DataFrame.to_parquet(FILE)"
        raise DataError(f"{name} is not a Parquet file", hint=hint)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn an error of polars into a DataError."""
    import polars as pl

    try:
        with _without_panics():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = one_line(str(error).splitlines()[0] if str(error) else "damaged")
        raise DataError(f"{name} cannot be read as Parquet: {reason}", hint="write the file again") from error


@contextmanager
def _without_panics() -> Iterator[None]:
    """Discard all output to stderr: polars writes a backtrace there before it raises PanicException."""
    try:
        stderr = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    with open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
