"""Check of the data of a config, of a table or of a folder of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dlcli.config.files import Source
from dlcli.config.load import load_config
from dlcli.config.schema import Config, ImageFolderData, NpzData, TableData
from dlcli.data.check.finding import DataCheck
from dlcli.data.propose import propose_config
from dlcli.data.tables.table import Column


def check_data(config: Config) -> DataCheck:
    """Check the data of a config; see `DataCheck`. Data that are not the user's own are only loaded.

    Raises:
        DataError: If the data cannot be used.
    """
    from dlcli.data.check.pictures import check_pictures  # both load torch, which refusing a file does not need
    from dlcli.data.sources import load_splits

    if isinstance(config.data, ImageFolderData):
        return check_pictures(config)
    if checked := _check_table(config, {}):
        return checked
    splits = load_splits(config)
    parts = {part: len(getattr(splits, part)) for part in ("train", "val", "test")}
    return DataCheck(config.data.name, config.task, splits.info.target_name, {}, parts, notes=splits.notes)


def check_file(path: str, target: str | None, settings: Sequence[str] = ()) -> DataCheck:
    """Check a table or a folder of pictures with the config that `dlcli config init` would write for it.

    Args:
        path: CSV or Parquet file, or folder.
        target: Column to predict; None takes the column named target, label, class or y.
        settings: Settings of a table, such as `data.encoding=windows-1252`.

    Raises:
        UsageError: If the target must be named, or a setting is wrong.
        DataError: If the data cannot be used.
    """
    proposal = propose_config(path, target, None, Path(), settings=settings)
    config = load_config(Source("the proposed config", proposal.text, "")).config
    return _check_table(config, proposal.left_out) or check_data(config)


def _check_table(config: Config, left_out: Mapping[str, tuple[Column, str]]) -> DataCheck | None:
    """Return the check of a table; None for other data."""
    if not isinstance(config.data, TableData):
        return None
    from dlcli.data.check.table import check_table
    from dlcli.data.npz_source import prepare_npz
    from dlcli.data.table_source import prepare_table

    table = prepare_npz(config) if isinstance(config.data, NpzData) else prepare_table(config)
    if table is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # squares of numbers above 1e154 overflow
        return check_table(config, table, left_out)
