"""Claims as locks of files, for workers that share a folder."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial

from dlcli.errors import DataError
from dlcli.runs.lock import file_lock


class FolderClaims:
    """Claims as locks on files in a folder, which the system frees when a process ends: `NNNN.lock`, `turn`, `waiting`.

    Args:
        folder: Existing folder that all workers share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, trial: FrozenTrial) -> FileHold | None:
        """Claim a trial; return None if another worker holds it.

        Raises:
            DataError: If the file cannot be locked.
        """
        return self._lock(f"{trial.number:04d}")

    def hold_turn(self) -> FileHold | None:
        """Claim the right to change the study; see `hold`."""
        return self._lock("turn")

    def hold_wait(self) -> FileHold | None:
        """Show other workers that this one waits for a trial; see `hold`."""
        return self._lock("waiting")

    def _lock(self, name: str) -> FileHold | None:
        path = self._folder / f"{name}.lock"
        lock = ExitStack()
        try:
            lock.enter_context(file_lock(path))
        except (BlockingIOError, TimeoutError):
            return None
        except OSError as error:
            hint = "keep the sweep in a folder that you can write to, on a file system with file locks"
            raise DataError(f"cannot lock {path}: {error.strerror or error}", hint=hint) from error
        return FileHold(path, lock)


@dataclass(frozen=True)
class FileHold:
    """Claim as a lock on a file.

    Attributes:
        path: Locked file.
        lock: Context that holds the lock.
    """

    path: Path
    lock: ExitStack

    def check(self) -> None:
        """Do nothing, because nobody can take the lock from a process."""

    def keep(self) -> AbstractContextManager[None]:
        """Do nothing; see `check`."""
        return nullcontext()

    def release(self) -> None:
        """Free the lock."""
        self.lock.close()
