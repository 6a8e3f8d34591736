"""Journal of a study: a file with one JSON object per line, to which several processes append.

The format is the same as that of Optuna's `JournalFileBackend`. But here, a killed process leaves no lock to wait for,
and no incomplete line that makes the file unreadable:

- Appends hold a lock that the system releases when the process ends.
- Bytes after the last newline are an incomplete line, left by a killed process or a full disk. They are never read, and
  are removed before the next line is written.
- Complete lines are never changed or removed, so a reader continues at the byte where it stopped.

The file is opened for each access, because network file systems then show the lines that other machines have written.
These file systems must support file locks across machines, as NFS 4 does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from dlcli.errors import DataError
from dlcli.runs.files import open_regular, sync_folder, write_all
from dlcli.runs.lock import file_lock

LOCK_SECONDS = 60.0  # an append takes milliseconds; only a suspended process holds the lock for this long
_BLOCK_BYTES = 65536


class Journal(JournalStorage):
    """Storage of studies in a journal, which raises DataError for a record that cannot be applied.

    Args:
        file: File of the journal.

    Raises:
        DataError: If the file cannot be read, or a complete line is damaged.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        super().__init__(file)

    def _sync_with_backend(self) -> None:
        replay = self._replay_result
        for record in self._file.read_logs(replay.log_number_read):
            try:
                replay.apply_logs([record])
            except Exception as error:
                if record["worker_id"] == replay.worker_id:
                    raise  # an operation of this process is refused, for example on an ended trial
                raise self._file.damaged(replay.log_number_read - 1, "not an operation of Optuna") from error


class JournalFile(BaseJournalBackend):
    """Journal in a file, for use by any number of processes.

    Args:
        path: File of the journal, which the first append creates. The file beside it with the suffix `.lock` is locked
            during appends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_suffix(".lock")
        self._starts = [0]  # byte offset of each line that was read, and of the next line

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return the records of all complete lines from a line number, counted from 0.

        Raises:
            DataError: If the file cannot be read, or a complete line is not a record of Optuna.
        """
        start = self._starts[log_number_from]
        *lines, _ = self._read(start).split(b"\n")
        records = []
        for number, line in enumerate(lines, start=log_number_from):
            records.append(self._parse(line, number))
            start += len(line) + 1
            if number + 1 == len(self._starts):
                self._starts.append(start)
        return records

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records and flush them to disk.

        Raises:
            DataError: If the records cannot be written, for example on a full disk (the incomplete line is removed), or
                if another process holds the lock for `LOCK_SECONDS`.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._locked():
            try:
                self._append(lines.encode())
            except OSError as error:
                hint = "free some disk space or fix the permissions, and run the command again to continue"
                raise DataError(f"cannot write {self._path}: {error.strerror or error}", hint=hint) from error

    def _append(self, lines: bytes) -> None:
        # O_APPEND: tools of Optuna may append at the same time.
        descriptor = open_regular(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            is_new = _cut_incomplete_line(descriptor) == 0
            try:
                write_all(descriptor, lines)
                os.fsync(descriptor)
            except BaseException:
                with suppress(OSError):  # otherwise, the next append removes the line
                    _cut_incomplete_line(descriptor)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(self._path.parent)

    def _read(self, start: int) -> bytes:
        """Return the bytes from `start`, after a check that a line still ends just before."""
        try:
            with os.fdopen(open_regular(self._path, os.O_RDONLY), "rb") as file:
                file.seek(max(start - 1, 0))
                content = file.read()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise DataError(f"cannot read {self._path}: {error.strerror or error}") from error
        if start and not content.startswith(b"\n"):
            message = f"{self._path} was replaced, shortened or deleted during its use"
            raise DataError(message, hint="restore it, and run the command again")
        return content[1:] if start else content

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self.damaged(number, f"not JSON ({error})") from error
        if not isinstance(record, dict) or not {"op_code", "worker_id"} <= record.keys():
            raise self.damaged(number, "not a record of Optuna")
        return record

    def damaged(self, number: int, reason: str) -> DataError:
        """Return the error for a damaged line; its number counts from 0."""
        message = f"cannot use {self._path}: line {number + 1} is damaged: {reason}"
        return DataError(message, hint="restore the file from a backup, or start a new sweep")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock(self._lock, wait_seconds=LOCK_SECONDS))
            except (BlockingIOError, TimeoutError) as error:
                message = f"{self._lock} has been locked by another process for {LOCK_SECONDS:g} s"
                hint = f"continue or stop the suspended process that holds it (`fuser {self._lock}` shows its number)"
                raise DataError(message, hint=hint) from error
            except OSError as error:
                hint = "keep the sweep in a folder that you can write to, on a file system with file locks"
                raise DataError(f"cannot lock {self._lock}: {error.strerror or error}", hint=hint) from error
            yield


def _cut_incomplete_line(descriptor: int) -> int:
    """Remove the bytes after the last newline of a file; return its new size."""
    size = end = os.lseek(descriptor, 0, os.SEEK_END)
    while end:
        start = max(end - _BLOCK_BYTES, 0)
        os.lseek(descriptor, start, os.SEEK_SET)
        newline = os.read(descriptor, end - start).rfind(b"\n")
        end = start + newline + 1
        if newline >= 0:
            break
    if end < size:
        os.ftruncate(descriptor, end)
    return end
