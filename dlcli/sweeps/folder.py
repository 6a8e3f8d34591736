"""Sweep folders: their creation, the paths of their files, and their lookup."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dlcli.config.paths import expand_path
from dlcli.errors import DataError, UsageError
from dlcli.runs.files import sync_folder

SWEEP = "sweep.yaml"  # a folder with this file is a sweep


_TRIALS, _CONFIRMATION = "trials", "confirm"


def sweeps_root() -> Path:
    """Return the folder that contains all sweeps: $DLCLI_SWEEPS, or `sweeps` in the working folder.

    Raises:
        UsageError: If $DLCLI_SWEEPS cannot be expanded.
    """
    return Path(expand_path(os.environ.get("DLCLI_SWEEPS") or "sweeps", "DLCLI_SWEEPS"))


@dataclass(frozen=True)
class SweepFolder:
    """Paths of the files of a sweep.

    Attributes:
        path: Sweep folder.
    """

    path: Path

    @property
    def sweep(self) -> Path:
        """Config of the sweep with its section `sweep`; written last when a sweep begins."""
        return self.path / SWEEP

    @property
    def manifest(self) -> Path:
        """Record of how the sweep was started: command, versions, storage."""
        return self.path / "sweep.json"

    @property
    def trials(self) -> Path:
        """Folder with the run folder and the lock of each trial."""
        return self.path / _TRIALS

    @property
    def begun(self) -> int:
        """Number of trials up to and including the last one with a folder."""
        names = [path.name for path in self.trials.glob("[0-9]*/")]
        return max((int(name) + 1 for name in names if name.isdecimal()), default=0)

    def trial(self, number: int) -> Path:
        """Return the run folder of a trial."""
        return self.trials / f"{number:04d}"

    @property
    def confirmation(self) -> Path:
        """Folder with the groups that compare the best trial and the unchanged config."""
        return self.path / _CONFIRMATION

    @property
    def best(self) -> Path:
        """Config of the best trial; missing until the sweep ends."""
        return self.path / "best.yaml"

    @property
    def table(self) -> Path:
        """Trials as CSV; missing until the sweep ends or pauses."""
        return self.path / "trials.csv"

    @property
    def summary(self) -> Path:
        """Results of the sweep; missing until it ends or pauses."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """Page about the sweep."""
        return self.path / "report.html"

    def lock(self, name: str) -> Path:
        """Return the path of a lock file that all workers share."""
        return self.path / f"{name}.lock"


def list_sweeps(name: str | None = None) -> list[SweepFolder]:
    """Return the sweeps in the sweeps folder, oldest first.

    Args:
        name: Name of their config; None returns all.
    """
    files = sweeps_root().glob(f"*/*/{SWEEP}")
    folders = [file.parent for file in files if name in (None, file.parent.parent.name)]
    return [SweepFolder(path) for path in sorted(folders, key=lambda path: path.name)]


def create_folder(name: str) -> SweepFolder:
    """Create a new sweep folder, `<sweeps folder>/<name>/<UTC time>-<4 hex digits>`.

    Raises:
        DataError: If the folder cannot be created.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = SweepFolder(sweeps_root() / name / f"{stamp}-{secrets.token_hex(2)}")
    try:
        folder.trials.mkdir(parents=True)
        folder.confirmation.mkdir()
    except OSError as error:
        message = f"cannot create the sweep folder {folder.path}: {error.strerror or error}"
        raise DataError(message, hint="choose another place with `DLCLI_SWEEPS=DIR`") from error
    for parent in (folder.path, folder.path.parent, folder.path.parent.parent):
        with suppress(OSError):  # best effort: the parent folders may not be readable
            sync_folder(parent)
    return folder


def find_sweep_of(run: Path) -> SweepFolder | None:
    """Return the sweep that a run folder belongs to, as a trial or as a group of the confirmation, or None."""
    for parent in run.resolve().parents:
        if parent.name in (_TRIALS, _CONFIRMATION) and (parent.parent / SWEEP).exists():
            return SweepFolder(parent.parent)
    return None


def find_sweep(name: str) -> SweepFolder:
    """Return a sweep by its folder or name; a name selects the newest sweep of that name.

    Raises:
        UsageError: If there is no such sweep.
    """
    for path in (Path(name), sweeps_root() / name):
        with suppress(OSError, ValueError):
            if (path / SWEEP).is_file():
                return SweepFolder(path)
    found = [folder for folder in list_sweeps() if name in (folder.path.name, folder.path.parent.name)]
    if found:
        return found[-1]
    known = ", ".join(dict.fromkeys(folder.path.parent.name for folder in reversed(list_sweeps())))
    hint = f"the sweeps are {known}" if known else "begin one with `dlcli sweep -c FILE`"
    raise UsageError(f"sweep {name!r} not found", hint=hint)
