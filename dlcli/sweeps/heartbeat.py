"""Claims in a database, for workers on machines that share no folder.

A claim is a system attribute of its trial, with the name of the worker and a count that the worker increases every few
seconds. A claim is free for another worker that has seen no change of the count for `STALE_SECONDS` by its own clock.
Clocks of different machines are never compared. On the same machine, the claim of a killed worker is free at once for
workers that share its lock file.

The database decides between two workers: the first claim inserts a unique row, and a takeover succeeds only if the row
still has the value that was read.

The right to change the study is held for a short time only. It is a lock of the database, which frees the lock when the
connection ends.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from sqlalchemy import ColumnElement, Connection, Engine, column, delete, insert, select, table, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from dlcli.errors import DataError
from dlcli.sweeps.claims import ClaimLostError, Hold, Turn
from dlcli.sweeps.database import free_lock, take_lock
from dlcli.sweeps.folder_claims import FolderClaims

BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
CLAIM = "dlcli:claim"
_attributes = table("trial_system_attributes", column("trial_id"), column("key"), column("value_json"))


class DatabaseClaims:
    """Claims of one worker in the database of its study.

    Args:
        engine: Connections to the database, prepared by `report_errors`.
        study_id: Id of the study in the database.
        folder: Folder for locks as in `FolderClaims`, because some of the workers may share it.
        beat_seconds: Time between two signs of life.
        stale_seconds: Time without a sign of life after which a claim is free.
    """

    def __init__(
        self,
        engine: Engine,
        study_id: int,
        folder: Path,
        *,
        beat_seconds: float = BEAT_SECONDS,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._engine, self._study_id = engine, study_id
        self._folder = FolderClaims(folder)
        self._beat_seconds, self._stale_seconds = beat_seconds, stale_seconds
        self._seen: dict[int, tuple[str, float]] = {}  # by trial: the last record, and when it was first seen

    def hold(self, trial: FrozenTrial) -> Hold | None:
        """Claim a trial; return None if another worker holds it.

        Raises:
            DataError: If the database cannot be used, or the folder cannot be locked.
        """
        lock = self._folder.hold(trial)
        if lock is None:
            return None
        place = _describe_file(lock.path)
        record = Record(self._engine, trial._trial_id, f"{place}:{platform.node()}:{os.getpid()}:{uuid.uuid4().hex}")
        if not self._claim(record, place):
            lock.release()
            return None
        return _DatabaseHold(record, lock, self._beat_seconds)

    def hold_turn(self) -> Turn | None:
        """Claim the right to change the study; see `hold`."""
        return self._lock(self._study_id)

    def hold_wait(self) -> Turn | None:
        """Show other workers that this one waits for a trial; see `hold`."""
        return self._lock(-self._study_id)

    def _lock(self, number: int) -> Turn | None:
        with ExitStack() as stack:
            connection = stack.enter_context(self._engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
            if not take_lock(connection, number):
                return None
            return _DatabaseTurn(connection, number, stack.pop_all())

    def _claim(self, record: Record, place: str) -> bool:
        now = time.monotonic()  # taken before reading, so that a pause cannot make a claim look older
        found = record.read()
        if found is None:
            return record.insert()
        if place and json.loads(found)["owner"].startswith(f"{place}:"):  # a living owner would hold the file lock
            return record.replace(found)
        seen, since = self._seen.get(record.trial_id, (None, now))
        if found != seen:
            self._seen[record.trial_id] = (found, time.monotonic())
            return False
        return now - since >= self._stale_seconds and record.replace(found)


def _describe_file(path: Path) -> str:
    """Return a text that identifies a file on this machine until the next start; empty if it is unknown."""
    try:
        boot, status = Path("/proc/sys/kernel/random/boot_id").read_text().strip(), path.stat()
    except OSError:
        return ""
    return f"{boot}/{status.st_dev}/{status.st_ino}"


class Record:
    """Claim on a trial, as a row of the database.

    Args:
        engine: Connections to the database.
        trial_id: Id of the trial in the database.
        owner: Unique name of the worker.
    """

    def __init__(self, engine: Engine, trial_id: int, owner: str) -> None:
        self.engine = engine
        self.trial_id = trial_id
        self.owner = owner
        self.beats = 0
        self._is_row = (_attributes.c.trial_id == trial_id) & (_attributes.c.key == CLAIM)
        # Compares only the owner: after a lost connection, it is unknown whether the last increase was stored.
        start = json.dumps({"owner": owner}).removesuffix("}")
        self._is_mine = self._is_row & _attributes.c.value_json.startswith(start, autoescape=True)

    @property
    def value(self) -> str:
        """Claim of this owner, as JSON text."""
        return json.dumps({"owner": self.owner, "beats": self.beats})

    def read(self) -> str | None:
        """Return the claim on the trial as JSON text, whoever owns it; None if there is none."""
        with self.engine.begin() as connection:
            return connection.execute(select(_attributes.c.value_json).where(self._is_row)).scalar()

    def insert(self) -> bool:
        """Claim the trial; return False if it is already claimed."""
        row = {"trial_id": self.trial_id, "key": CLAIM, "value_json": self.value}
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(_attributes).values(row))
        except IntegrityError:  # (trial_id, key) is unique
            return False
        return True

    def replace(self, old: str) -> bool:
        """Take over the claim; return False if its value is no longer `old`."""
        with self.engine.begin() as connection:
            return self._update(connection, self._is_row & (_attributes.c.value_json == old))

    def beat(self, connection: Connection) -> bool:
        """Increase the count; return False if another owner has taken the claim over."""
        self.beats += 1
        return self._update(connection, self._is_mine)

    def delete(self) -> None:
        """Free the claim if this owner still holds it."""
        with self.engine.begin() as connection:
            connection.execute(delete(_attributes).where(self._is_mine))

    def _update(self, connection: Connection, condition: ColumnElement[bool]) -> bool:
        result: Any = connection.execute(update(_attributes).where(condition).values(value_json=self.value))
        return bool(result.rowcount)


class _DatabaseTurn:
    """Lock of a database, and the context that closes its connection."""

    def __init__(self, connection: Connection, number: int, stack: ExitStack) -> None:
        self._connection, self._number, self._stack = connection, number, stack

    def check(self) -> None:
        try:
            self._connection.execute(select(1))
        except (DataError, SQLAlchemyError) as error:  # the lock has ended with the connection
            raise ClaimLostError from error

    def release(self) -> None:
        with self._stack:
            try:
                free_lock(self._connection, self._number)
            except (DataError, SQLAlchemyError):
                self._connection.invalidate()


class _DatabaseHold:
    """Claim in a database, with a thread that gives signs of life."""

    def __init__(self, record: Record, lock: Hold, beat_seconds: float) -> None:
        self._record, self._lock = record, lock
        self._beat_seconds = beat_seconds
        self._is_lost = False
        self._is_released = threading.Event()
        self._beating = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name=f"claim of trial {record.trial_id}", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._is_released.wait(self._beat_seconds):
            # Without a connection, the worker tries again; if that takes too long, another worker takes over.
            with suppress(DataError, SQLAlchemyError, ClaimLostError), self.keep():
                pass

    def check(self) -> None:
        if self._is_lost:
            raise ClaimLostError

    @contextmanager
    def keep(self) -> Iterator[None]:
        """Lock the row of the claim, so that nobody can take the claim over until the end of the context."""
        with self._beating, self._record.engine.begin() as connection:
            self._is_lost = self._is_lost or not self._record.beat(connection)
            self.check()
            yield

    def release(self) -> None:
        self._is_released.set()
        self._thread.join()
        try:
            if not self._is_lost:
                self._record.delete()
        finally:
            self._lock.release()
