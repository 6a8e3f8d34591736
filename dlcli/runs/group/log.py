"""Logs of a group: each file contains the log lines of all members, with the seed as the first key of each line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dlcli.errors import DataError
from dlcli.runs.files import append_bytes, encode_text, read_file, sync_file


@dataclass(frozen=True)
class LogEnd:
    """End of the part of a log that a checkpoint covers.

    Attributes:
        size: Number of bytes before the end.
        sha256: SHA-256 of these bytes.
    """

    size: int
    sha256: str


def seed_line(seed: int, line: str) -> str:
    """Return a line of a member's log, a JSON object, as a line of the group's log."""
    return f"{_start(seed)}{line[1:]}"


def split_by_seed(content: bytes, seeds: Iterable[int]) -> dict[int, list[bytes]]:
    """Return the log lines of each member, as a run with its seed would write them; other lines are left out."""
    starts = {_start(seed).encode(): seed for seed in seeds}
    lines: dict[int, list[bytes]] = {seed: [] for seed in starts.values()}
    for line in content.split(b"\n"):
        start = line[: line.find(b",") + 2]
        if (seed := starts.get(start)) is not None:
            lines[seed].append(b"{" + line[len(start) :])
    return lines


def _start(seed: int) -> str:
    return f'{{"seed": {seed}, '


def read_log(path: Path, end: LogEnd | None = None) -> bytes:
    """Return the content of a log; empty if the file cannot be read.

    Args:
        path: File of the log.
        end: End of the part to return; None returns everything.

    Raises:
        DataError: If the file does not contain the part that `end` describes.
    """
    try:
        content = read_file(path)
    except DataError:
        content = b""
    if end is None:
        return content
    content = content[: end.size]
    if len(content) < end.size or hashlib.sha256(content).hexdigest() != end.sha256:
        raise DataError(f"{path} does not match the checkpoint", hint="restore the file from a copy of the group")
    return content


class LogFile:
    """Append-only log that collects lines and writes them together.

    Args:
        path: File of the log.
        content: Current content of the file.
    """

    def __init__(self, path: Path, content: bytes = b"") -> None:
        self._path = path
        self._lines: list[str] = []
        self._size, self._digest = len(content), hashlib.sha256(content)

    def add(self, line: str) -> None:
        """Add a line, which `flush` writes."""
        self._lines.append(line)

    def flush(self) -> LogEnd:
        """Write the lines, flush the file to disk and return its end.

        Raises:
            DataError: If the file cannot be written.
        """
        if self._lines:
            content, self._lines = encode_text("".join(f"{line}\n" for line in self._lines)), []
            append_bytes(self._path, content)
            sync_file(self._path)
            self._digest.update(content)
            self._size += len(content)
        return LogEnd(self._size, self._digest.hexdigest())
