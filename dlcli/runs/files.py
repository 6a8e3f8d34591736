"""Files written whole or not at all, and JSON that every parser reads."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from dlcli.errors import DataError


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


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by a file with `content`; a crash leaves either the old file or the new one.

    Raises:
        DataError: If it cannot be written; the old file is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise DataError(f"cannot write {path}: {reason}", hint="make room, or name a folder with --run-dir") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut; Windows has no such call and needs none."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented strict JSON, whole or not at all."""
    write_whole(path, (to_json(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        DataError: If it cannot be read or is no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"cannot read {path}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"cannot read {path}: not a JSON object")
    return value
