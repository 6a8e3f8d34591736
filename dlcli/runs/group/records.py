"""Records of a group: the result of each seed, collected during training and read from the folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dlcli.config.load import load_config
from dlcli.config.render import read_origins
from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.errors import DataError
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.log import read_log, split_by_seed
from dlcli.runs.group.run import GroupRun, SeedRecord
from dlcli.runs.log import JSONL, Row, parse_rows, row_metrics


@dataclass
class MemberProgress:
    """Summary of the log of one seed, from which its result is built.

    Attributes:
        seed: Seed of the member.
        epochs: Number of completed epochs.
        best: Row of the best epoch; None before the first epoch has ended.
        last: Row of the last epoch.
        status: How training ended, or `unfinished`.
        error: Error message if the training diverged; None otherwise.
    """

    seed: int
    epochs: int = 0
    best: Row | None = None
    last: Row | None = None
    status: str = "unfinished"
    error: str | None = None

    def add(self, row: Row, *, is_best: bool) -> None:
        """Add the row of an epoch."""
        self.epochs, self.last = self.epochs + 1, row
        if is_best:
            self.best = row

    def record(self, test: Mapping[str, Any] | None = None) -> SeedRecord:
        """Return the result of the seed, with metrics of its best model on the test split if given."""
        best = self.best
        return SeedRecord(
            seed=self.seed,
            status=self.status,
            epochs=self.epochs,
            best_epoch=int(best["epoch"]) if best else None,
            train={"loss": best["train/loss"]} if best else None,
            val=row_metrics(best) if best else {},
            test=test,
            error=self.error,
        )


def replay(seed: int, rows: Sequence[Row], monitor: str) -> MemberProgress:
    """Return the progress after the rows of a log; the best row is the first one with the best monitored value."""
    progress, direction = MemberProgress(seed), 1 if monitor.rpartition("/")[2] in HIGHER_IS_BETTER else -1
    for row in rows:
        gain = direction * (row.get(monitor, 0) - progress.best.get(monitor, 0)) if progress.best else 1
        progress.add(row, is_best=gain > 0)
    return progress


def table_text(records: Sequence[SeedRecord]) -> str:
    """Return the results as CSV, with one row per seed."""
    metrics = {name: None for record in records for name in _flat(record)}
    text = io.StringIO()
    writer = csv.DictWriter(text, ["seed", "status", "epochs", "best_epoch", *metrics])
    writer.writeheader()
    for record in records:
        fields = {name: getattr(record, name) for name in ("seed", "status", "epochs", "best_epoch")}
        writer.writerow(fields | _flat(record))
    return text.getvalue()


def _flat(record: SeedRecord) -> dict[str, float]:
    splits = {"train": record.train, "val": record.val, "test": record.test}
    return {
        f"{split}/{name}": value
        for split, metrics in splits.items()
        for name, value in (metrics or {}).items()
        if isinstance(value, float)
    }


def read_group(folder: GroupFolder) -> GroupRun:
    """Load the records of a group; during training, only what has been saved so far.

    Raises:
        DataError: If a file of the group cannot be read.
        ConfigError: If resolved.yaml cannot be read.
    """
    loaded, summary = load_config(folder.resolved), folder.read_summary()
    config = loaded.config
    if "seeds" in summary:
        seconds, seeds = summary.get("seconds"), [_parse(folder, record) for record in summary["seeds"]]
        if [record.seed for record in seeds] != folder.read_seeds():
            raise DataError(f"{folder.summary} and {folder.manifest.name} have other seeds", hint="restore the files")
    else:
        members = [replay(seed, rows, config.checkpoint.monitor) for seed, rows in read_logs(folder).items()]
        seconds, seeds = None, [member.record() for member in members]
    return GroupRun(
        path=str(folder.path),
        config=config,
        status=str(summary["status"]),
        seconds=seconds,
        seeds=seeds,
        manifest=folder.read_manifest(),
        origins=read_origins(config, loaded.text),
    )


def read_logs(folder: GroupFolder) -> dict[int, list[Row]]:
    """Load the log rows of each seed that have been saved so far.

    Raises:
        DataError: If the manifest cannot be read.
    """
    lines = split_by_seed(read_log(folder.path / JSONL), folder.read_seeds())
    return {seed: parse_rows(rows) for seed, rows in lines.items()}


def _parse(folder: GroupFolder, record: Any) -> SeedRecord:
    """Return a record from JSON.

    Raises:
        DataError: If the record is not valid.
    """
    try:
        parsed = SeedRecord(**record)
    except TypeError:
        parsed = None
    if parsed is None or not _is_valid(parsed):
        raise DataError(f"cannot use {folder.summary}: a record of a seed is not valid", hint="restore the file")
    return parsed


def _is_valid(record: SeedRecord) -> bool:
    kinds: dict[str, Any] = {
        "seed": int,
        "status": str,
        "epochs": int,
        "best_epoch": int | None,
        "train": dict | None,
        "val": dict,
        "test": dict | None,
        "error": str | None,
    }
    return all(isinstance(value, kinds[name]) for name, value in asdict(record).items())
