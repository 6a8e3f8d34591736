"""Files written whole or not at all, and JSON that every parser reads."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from dlcli.errors import DataError

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # a run folder may come from elsewhere: its links lead nowhere we write
_BINARY = getattr(os, "O_BINARY", 0)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return strict JSON: a number that is not finite becomes null, tuples become lists."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value


def write_whole(path: Path, content: bytes, *, previous: Path | None = None) -> None:
    """Replace `path` by a file with `content`; a crash or a power cut leaves either the old file or the new one.

    For one writer at a time: whoever holds the run.

    Args:
        path: Where to.
        content: What to write.
        previous: Where the old file is kept. A crash may then leave it there with nothing at `path`.

    Raises:
        DataError: If it cannot be written; the old file is still there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _write(temporary, content, os.O_TRUNC, sync=True)
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise _cannot_write(path, error) from error


def append_text(path: Path, text: str) -> None:
    """Add text to the end of a file; `sync_file` makes it last.

    Raises:
        DataError: If it cannot be written; a part of the text may have been.
    """
    try:
        _write(path, text.encode(), os.O_APPEND, sync=False)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _write(path: Path, content: bytes, mode: int, *, sync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | mode | _NO_FOLLOW | _BINARY, 0o666)  # less the umask
    try:
        rest = memoryview(content)
        while rest:  # a write may take less than it is given
            rest = rest[os.write(descriptor, rest) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> DataError:
    hint = "make room, or see to its rights; `dlcli train --resume RUN` then goes on from the last checkpoint"
    return DataError(f"cannot write {path}: {error.strerror or error}", hint=hint)


def sync_file(path: Path) -> None:
    """Make what was appended to a file last through a power cut.

    Raises:
        DataError: If that fails.
    """
    try:
        _sync(path, os.O_RDWR | _NO_FOLLOW)
    except OSError as error:
        raise _cannot_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make names in a folder last through a power cut; Windows has no such call and needs none."""
    if os.name == "posix":
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode | _BINARY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, *, missing_hint: str | None = None) -> bytes:
    """Return the content of a regular file.

    Raises:
        DataError: If it is missing, cannot be read, or is a device, a pipe or a folder.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"cannot read {path}: not a regular file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}", hint=missing_hint) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented strict JSON, whole or not at all."""
    write_whole(path, (to_json(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        DataError: If it cannot be read or is no JSON object.
    """
    try:
        value = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"cannot read {path}: not a JSON object")
    return value
