"""Atomic file writes and strict JSON for run folders."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from dlcli.errors import DataError

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # a run folder may be untrusted: never write through its links
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a named pipe or a tape drive may block
_BINARY = getattr(os, "O_BINARY", 0)
_IRREGULAR = (errno.ENXIO, errno.EISDIR, errno.EOPNOTSUPP)  # errors of opening a pipe, a socket or a folder


def open_regular(path: Path, flags: int) -> int:
    """Return a file descriptor of a regular file, without blocking. All files of a run are opened here.

    Symbolic links are followed for reading only.

    Raises:
        OSError: If the file cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    writes = flags & (os.O_WRONLY | os.O_RDWR)
    try:
        descriptor = os.open(path, flags | _NO_WAIT | _BINARY | (_NO_FOLLOW if writes else 0), 0o666)
    except OSError as error:
        if error.errno in _IRREGULAR:
            raise _irregular() from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _irregular()
    return descriptor


def _irregular() -> OSError:
    return OSError(errno.EINVAL, "not a regular file")


def to_json(value: Any, *, indent: int | None = None) -> str:
    r"""Return strict JSON that can be encoded as UTF-8. NaN and infinity become null, tuples become lists.

    Surrogates, as in file names that are not UTF-8, are escaped: `\udce9`.
    """
    encode = _LINE.encode if indent is None else _json_encoder(indent).encode
    try:
        text = encode(value)
    except ValueError:  # a number is not finite; `_finite` is as slow as the rest, so it runs only now
        text = encode(_finite(value))
    return encode_text(text).decode()


def _json_encoder(indent: int | None) -> json.JSONEncoder:
    return json.JSONEncoder(indent=indent, ensure_ascii=False, allow_nan=False)


_LINE = _json_encoder(None)  # shared, because building an encoder takes as long as encoding a row


def encode_text(text: str) -> bytes:
    r"""Return text as UTF-8, with surrogates escaped as `\udce9`, which JSON parsers decode again."""
    return text.encode("utf-8", "backslashreplace")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def write_atomic(path: Path, content: bytes, *, previous: Path | None = None, is_synced: bool = True) -> None:
    """Replace a file atomically: a crash or a power cut leaves either the old file or the new file.

    The caller must hold the lock of the run; concurrent writers are not supported.

    Args:
        path: File to write.
        content: New content of the file.
        previous: Path that the old file is moved to; a crash between the two moves leaves `path` missing. None discards
            the old file.
        is_synced: Whether to flush it to disk; False for a file that has no use after a power cut.

    Raises:
        DataError: If the file cannot be written; the old file is kept.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _write_new(temporary, content, sync=is_synced)
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        if is_synced:
            sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise _cannot_write(path, error) from error


def append_text(path: Path, text: str) -> None:
    """Append text to a file without syncing it to disk; see `sync_file`.

    Raises:
        DataError: If the text cannot be written completely.
    """
    append_bytes(path, encode_text(text))


def append_bytes(path: Path, content: bytes) -> None:
    """Append bytes to a file without syncing it to disk.

    Raises:
        DataError: If the bytes cannot be written completely.
    """
    try:
        _write(path, content, os.O_APPEND, sync=False)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _write_new(path: Path, content: bytes, *, sync: bool) -> None:
    """Write a new file; a leftover of a crash or a link at `path` is removed first."""
    try:
        _write(path, content, os.O_EXCL, sync=sync)
    except FileExistsError:
        os.unlink(path)
        _write(path, content, os.O_EXCL, sync=sync)


def _write(path: Path, content: bytes, mode: int, *, sync: bool) -> None:
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | mode)
    try:
        write_all(descriptor, content)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes to an open file; a single system call may write only some of them.

    Raises:
        OSError: If not all bytes can be written.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _cannot_write(path: Path, error: OSError) -> DataError:
    hint = "free some disk space or fix the permissions, then continue with `dlcli train --resume RUN`"
    if error.errno == errno.EINVAL or error.errno in _IRREGULAR:
        hint = f"remove {path}, then continue with `dlcli train --resume RUN`"
    return DataError(f"cannot write {path}: {error.strerror or error}", hint=hint)


def sync_file(path: Path) -> None:
    """Flush a file to disk so that it survives a power cut.

    Raises:
        DataError: If the file cannot be opened or flushed.
    """
    try:
        _sync(open_regular(path, os.O_RDWR))
    except OSError as error:
        raise _cannot_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Flush the file names of a folder to disk; Windows has no such call and does not need it."""
    if os.name == "posix":
        _sync(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _NO_WAIT))


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, *, missing_hint: str | None = None) -> bytes:
    """Return the content of a regular file.

    Raises:
        DataError: If the file is missing, cannot be read, or is a device, a pipe, a socket or a folder.
    """
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", hint=missing_hint) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def write_json(path: Path, value: Any, *, is_synced: bool = True) -> None:
    """Write `value` as indented strict JSON; see `write_atomic`.

    Raises:
        DataError: If the file cannot be written; the old file is kept.
    """
    write_atomic(path, (to_json(value, indent=2) + "\n").encode(), is_synced=is_synced)


def read_json(path: Path) -> dict[str, Any]:
    """Load the object in a JSON file.

    Raises:
        DataError: If the file cannot be read or is not a JSON object.
    """
    try:
        value = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"cannot read {path}: not a JSON object")
    return value
