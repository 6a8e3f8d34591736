"""Files of a run: regular files only, opened without waiting, written whole or not at all; JSON every parser reads."""

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

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # a run folder may come from elsewhere: its links lead nowhere we write
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a named pipe waits for its other end, opening a tape for the tape
_BINARY = getattr(os, "O_BINARY", 0)
_IRREGULAR = (errno.ENXIO, errno.EISDIR, errno.EOPNOTSUPP)  # what opening a pipe, a socket or a folder answers


def open_regular(path: Path, flags: int) -> int:
    """Return a descriptor of a regular file; every file of a run is opened here. Nothing is waited for.

    A link is followed for reading only.

    Raises:
        OSError: If it cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    writes = flags & (os.O_WRONLY | os.O_RDWR)
    try:
        descriptor = os.open(path, flags | _NO_WAIT | _BINARY | (_NO_FOLLOW if writes else 0), 0o666)  # less the umask
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
    r"""Return strict JSON that UTF-8 can write: a number that is not finite becomes null, tuples become lists.

    What is no character, as bytes of a file name may be, is escaped: `\udce9`.
    """
    return encode_text(json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)).decode()


def encode_text(text: str) -> bytes:
    r"""Return text as UTF-8; what is no character, as bytes of a file name may be, becomes `\udce9`.

    In JSON that is the escape of the same text, so that a parser reads what was written.
    """
    return text.encode("utf-8", "backslashreplace")


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
        _write_new(temporary, content)
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
        _write(path, encode_text(text), os.O_APPEND, sync=False)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there; what a crash left in its place, or a link, is removed first."""
    try:
        _write(path, content, os.O_EXCL, sync=True)
    except FileExistsError:
        os.unlink(path)
        _write(path, content, os.O_EXCL, sync=True)


def _write(path: Path, content: bytes, mode: int, *, sync: bool) -> None:
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | mode)
    try:
        rest = memoryview(content)
        while rest:  # a write may take less than it is given
            rest = rest[os.write(descriptor, rest) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> DataError:
    hint = "free some disk space or fix the permissions, then continue with `dlcli train --resume RUN`"
    if error.errno == errno.EINVAL or error.errno in _IRREGULAR:
        hint = f"remove what lies at {path}, then continue with `dlcli train --resume RUN`"
    return DataError(f"cannot write {path}: {error.strerror or error}", hint=hint)


def sync_file(path: Path) -> None:
    """Make what was appended to a file last through a power cut.

    Raises:
        DataError: If that fails.
    """
    try:
        _sync(open_regular(path, os.O_RDWR))
    except OSError as error:
        raise _cannot_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make names in a folder last through a power cut; Windows has no such call and needs none."""
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
        DataError: If it is missing, cannot be read, or is a device, a pipe, a socket or a folder.
    """
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            return file.read()
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
