"""Run folders: runs/<name>/<UTC time>-<4 hex>/, made once, never overwritten, found by name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dlcli.config.paths import expand_path
from dlcli.errors import DataError, DlcliError, UsageError
from dlcli.runs.files import read_json, sync_folder

MANIFEST, SUMMARY = "manifest.json", "summary.json"


def runs_root() -> Path:
    """Return the folder all runs lie in: $DLCLI_RUNS, or `runs` here.

    Raises:
        UsageError: If $DLCLI_RUNS cannot be expanded.
    """
    return Path(expand_path(os.environ.get("DLCLI_RUNS") or "runs", "DLCLI_RUNS"))


@dataclass(frozen=True)
class RunFolder:
    """Where the parts of one run lie.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Exactly what was given."""
        return self.path / "config.yaml"

    @property
    def resolved(self) -> Path:
        """Every value, and where it came from."""
        return self.path / "resolved.yaml"

    @property
    def manifest(self) -> Path:
        """What the run was made with."""
        return self.path / MANIFEST

    @property
    def summary(self) -> Path:
        """What came out; missing while it trains."""
        return self.path / SUMMARY

    @property
    def baselines(self) -> Path:
        """What plain methods came to on the run's data; missing until asked for."""
        return self.path / "baselines.json"

    def checkpoint(self, which: str) -> Path:
        """Return where the checkpoint `best`, `last`, `previous` (the one before `last`) or `best-previous` lies."""
        return self.path / "checkpoints" / f"{which}.safetensors"

    def read_manifest(self) -> dict[str, Any]:
        """Return what the run was made with.

        Raises:
            DataError: If it cannot be read.
        """
        return _checked(self.manifest, _MANIFEST_TYPES)

    def read_summary(self) -> dict[str, Any]:
        """Return what came out; an unfinished run has only a status.

        Raises:
            DataError: If it is there but cannot be read.
        """
        record = _checked(self.summary, _SUMMARY_TYPES) if self.summary.exists() else {}
        return {"status": "unfinished", **record}


# What others rely on in a record, where it is there at all; a run folder may come from anywhere.
_MANIFEST_TYPES = {"versions": dict, "data": dict, "resumed": list, "command": list, "threads": int}
_SUMMARY_TYPES = {
    "status": str,
    "best_sha256": str | None,
    "epochs": int,
    "best_epoch": int | None,
    "best_because": str | None,
    "seconds": int | float,
    **dict.fromkeys(("train", "val", "test"), dict | None),
}


def _checked(path: Path, types: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of a run.

    Raises:
        DataError: If it cannot be read, or holds something else than dlcli writes.
    """
    record = read_json(path)
    for key, kind in types.items():
        if key in record and not isinstance(record[key], kind):
            raise DataError(f"cannot use {path}: {key} is {record[key]!r}", hint="it is not what dlcli wrote there")
    return record


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no name a file could have
        return False


def create_run(name: str, run_dir: Path | None = None) -> RunFolder:
    """Make a new run folder.

    Args:
        name: The run's name, checked by the config.
        run_dir: Where to make it instead of under the runs folder; may be there already.

    Raises:
        UsageError: If it cannot be made, or would lie outside the runs folder.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = run_dir or runs_root() / name / f"{stamp}-{secrets.token_hex(2)}"
    if run_dir is None and not _is_inside(path, runs_root()):
        hint = "remove the link, or say --run-dir"
        raise UsageError(f"{path.parent} is a link that leads out of {runs_root()}", hint=hint)
    try:
        path.mkdir(parents=True, exist_ok=run_dir is not None)
    except OSError as error:
        raise UsageError(
            f"cannot make the run folder {path}: {error.strerror or error}", hint="name another with --run-dir"
        ) from error
    for parent in (path.parent, path.parent.parent, path.parent.parent.parent):
        with suppress(OSError):  # not ours, but for the names in it
            sync_folder(parent)
    return RunFolder(path)


def _is_inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def list_runs() -> list[RunFolder]:
    """Return the runs under the runs folder, oldest first; what is no run, or a link to elsewhere, is passed over."""
    root = runs_root()
    folders = [RunFolder(manifest.parent) for manifest in root.glob(f"*/*/{MANIFEST}")]
    return sorted((folder for folder in folders if _is_inside(folder.path, root)), key=_started)


def _started(folder: RunFolder) -> tuple[str, str]:
    try:
        return str(folder.read_manifest().get("started", "")), folder.path.name
    except DlcliError:
        return "", folder.path.name


def find_run(run: str | None) -> RunFolder:
    """Return a run by its folder, its name under the runs folder, or the newest of all (None) or of a name.

    Raises:
        UsageError: If there is no such run.
        DataError: If there is such a folder, but it holds no run.
    """
    if run is not None:
        for path in (Path(run), runs_root() / run):
            if _is_there(path / MANIFEST):
                return RunFolder(path)
    runs = list_runs()
    if run is None:
        if not runs:
            raise UsageError(f"there is no run in {runs_root()}", hint="`dlcli train -c digits` makes one")
        return runs[-1]
    for one in reversed(runs):
        if run in (one.path.name, one.path.parent.name) or Path(run) == one.path.parent:
            return one
    if _is_there(Path(run)):
        raise DataError(f"{run} is no run folder: it has no {MANIFEST}", hint="`dlcli runs list` shows the runs")
    raise UsageError(f"there is no run {run!r}", hint="`dlcli runs list` shows the runs")
