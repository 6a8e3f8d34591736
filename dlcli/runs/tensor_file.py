"""Files of tensors with a JSON header and a checksum, without pickle.

The format is safetensors with our JSON as metadata. Safetensors itself does not detect a flipped bit, so this JSON
contains a SHA-256 that covers every byte of the file, with its own digits replaced by zeros.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from dlcli.errors import DataError
from dlcli.runs.files import open_regular, read_file, to_json, write_atomic

H = TypeVar("H")
T = TypeVar("T")

_NO_DIGEST = "0" * 64
_START = 4096  # number of bytes at the start of a file that include its SHA-256
_MOST_SCHEMAS = 1000  # a larger number is damage, not a newer schema
_DIGEST_FOLLOWS = rb"{\"sha256\": \""  # escaped: our JSON is a string inside the JSON of safetensors


class DamagedError(DataError):
    """A checkpoint file that is damaged or is not a dlcli checkpoint."""


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], *, previous: Path | None = None
) -> str:
    """Write tensors and a header atomically. The same content gives the same bytes.

    Args:
        path: File to write.
        tensors: Contiguous tensors on the CPU by name.
        header: JSON values, among them `schema`.
        previous: Path that the old file is moved to after the new file is on disk; None discards the old file.

    Returns:
        The SHA-256 of the file.

    Raises:
        DataError: If the file cannot be written; the old file is kept.
    """
    # One entry only: safetensors writes its metadata in arbitrary order.
    text = to_json({"sha256": _NO_DIGEST, **header})
    content = safetensors.torch.save(dict(tensors), metadata={"dlcli": text})
    digest = hashlib.sha256(content).hexdigest()
    start = content.index(_DIGEST_FOLLOWS) + len(_DIGEST_FOLLOWS)
    write_atomic(path, content[:start] + digest.encode() + content[start + len(digest) :], previous=previous)
    return digest


def load_tensors(
    path: Path,
    schema: int,
    read_header: Callable[[str], H],
    build: Callable[[Mapping[str, Tensor], H], T],
    *,
    hint: str,
) -> T:
    """Load a file written by `save_tensors`, with its tensors on the CPU.

    The checksum is verified before anything is parsed.

    Args:
        path: File to read.
        schema: Version of the header that this version of dlcli reads.
        read_header: Function that parses the header; raises ValueError if the header is invalid.
        build: Function that checks tensors and header and returns the result; raises ValueError if they are invalid.
        hint: Hint of errors about a missing or damaged file.

    Raises:
        DamagedError: If the file is damaged or is not a checkpoint.
        DataError: If the file is missing, cannot be read or was written by another version of dlcli.
    """
    content = read_file(path, missing_hint=hint)
    if reason := _find_damage(content):
        raise DamagedError(f"cannot use {path}: {reason}", hint=hint)
    try:
        text = _header_text(content, path, schema)
        header = read_header(text)
        if content.find(_DIGEST_FOLLOWS + json.loads(text)["sha256"].encode()) != content.find(_DIGEST_FOLLOWS):
            raise ValueError("its checksum does not match its header")
        return build(safetensors.torch.load(content), header)
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        reason = "its header is nested too deeply" if isinstance(error, RecursionError) else reason
        raise DamagedError(f"cannot use {path}: it is not a dlcli checkpoint ({reason})", hint=hint) from error


def read_digest(path: Path) -> str | None:
    """Return the SHA-256 that a file records, without verifying it; None if the file is unreadable or has none."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            content = file.read(_START)
    except OSError:
        return None
    start = content.find(_DIGEST_FOLLOWS) + len(_DIGEST_FOLLOWS)
    return content[start : start + len(_NO_DIGEST)].decode(errors="replace") if start >= len(_DIGEST_FOLLOWS) else None


def _find_damage(content: bytes) -> str | None:
    """Return the reason why a file is damaged, or None."""
    start = content.find(_DIGEST_FOLLOWS) + len(_DIGEST_FOLLOWS)
    if not content:
        return "it is empty"
    if start < len(_DIGEST_FOLLOWS):
        return f"it is not a dlcli checkpoint, or damaged: it {_describe_kind(content)}"
    digest = hashlib.sha256(content[:start])
    digest.update(_NO_DIGEST.encode())
    digest.update(memoryview(content)[start + len(_NO_DIGEST) :])
    if digest.hexdigest().encode() == content[start : start + len(_NO_DIGEST)]:
        return None
    return "it is damaged: its content does not match its SHA-256"


def _describe_kind(content: bytes) -> str:
    if content.startswith(b"PK"):
        return "starts like a zip archive written by torch.save; dlcli does not read pickle files"
    if content.startswith(b"\x80"):
        return "starts like a pickle file; dlcli does not read those"
    return "has no dlcli checksum in its header"


def _header_text(content: bytes, path: Path, schema: int) -> str:
    """Return our JSON from the safetensors header, which consists of an 8-byte length and JSON with `__metadata__`.

    Raises:
        DataError: If another version of dlcli wrote the file.
        ValueError: If the header is not JSON.
    """
    (length,) = struct.unpack("<Q", content[:8])
    text = json.loads(content[8 : 8 + length])["__metadata__"]["dlcli"]
    written = json.loads(text)["schema"]
    if type(written) is int and 0 < written < _MOST_SCHEMAS and written != schema:
        newer, hint = ("a newer", "update dlcli") if written > schema else ("an older", "train the model again")
        message = f"cannot use {path}: it was written by {newer} dlcli (schema {written}; this version reads {schema})"
        raise DataError(message, hint=hint)
    return str(text)
