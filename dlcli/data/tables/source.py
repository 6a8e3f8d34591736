"""Bytes and text of a table file: SHA-256, gzip, encodings, blocks of whole records."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from dlcli.data.ahead import one_ahead
from dlcli.data.tables.refuse import check_content
from dlcli.errors import DataError, one_line

BLOCK = 8 << 20  # bytes of text per block: small next to the table, large enough for all threads
_LONGEST_RECORD = 64 << 20
_LARGEST_KEPT = (32 << 20) - (1 << 16)  # glibc's DEFAULT_MMAP_THRESHOLD_MAX, minus room for its overhead
_BOMS = {  # UTF-32 first, because its mark begins with the mark of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_ENCODINGS = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf-7", "mbcs", "oem"}


class Unusual(Exception):
    """Signal for a structure that only the slow reader can read or report."""


class Source:
    """Table file that can be read several times.

    Args:
        path: Path of the file.
        encoding: Encoding, or `auto`.
        fits_memory: Whether gzip data that is larger than the free memory is refused; False for reading in parts.

    Attributes:
        path: Path of the file.
        name: Path as shown in messages.
        encoding: Encoding as given or found.
        sha256: SHA-256 of the bytes of the file, once it has been read to the end.
    """

    def __init__(self, path: Path, encoding: str = "auto", *, fits_memory: bool = True) -> None:
        self.path, self._fits_memory = path, fits_memory
        self.name = one_line(str(path))
        self.sha256 = ""
        self._size = 0
        self.encoding = self._detect(encoding)

    def _detect(self, encoding: str) -> str:
        with self.open() as file:
            start = file.read(4096)
        check_content(self.name, self.path, start)
        mark = next((name for bom, name in _BOMS.items() if start.startswith(bom)), None)
        if encoding != "auto":
            return self._given(encoding, mark)
        if mark is None and len(start) >= 4 and start.count(0) * 4 >= len(start):
            order = "le" if start[1::2].count(0) >= start[::2].count(0) else "be"
            hint = f"type data.encoding=utf-16-{order}, or save the file as UTF-8"
            raise DataError(f"{self.name}:1: looks like UTF-16 without a byte order mark", hint=hint)
        return mark or "utf-8"

    def _given(self, encoding: str, mark: str | None) -> str:
        try:
            codec = codecs.lookup(encoding)
        except (LookupError, ValueError, UnicodeError):
            codec = None
        if codec is None or codec.name in _NO_ENCODINGS or not getattr(codec, "_is_text_encoding", True):
            hint = "type data.encoding=auto, utf-8, utf-16, windows-1252 or latin-1"
            raise DataError(f"data.encoding {one_line(encoding)!r} is not a known encoding", hint=hint)
        if mark is not None and not codec.name.startswith(mark):
            message = (
                f"{self.name}:1: begins with the byte order mark of {mark.upper()}, but data.encoding is {codec.name}"
            )
            raise DataError(message, hint="type data.encoding=auto")
        return mark or codec.name

    @property
    def growth(self) -> int:
        """Number of blocks of the size of the first one in the file, with an eighth to spare."""
        return self._size * 9 // BLOCK + 1

    def open_raw(self) -> io.BufferedReader:
        """Return a reader of the bytes of the file."""
        file = self.path.open("rb")
        self._size = os.fstat(file.fileno()).st_size
        return file

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the file, decompress `.gz`, and set `sha256` at the end of the file.

        Raises:
            DataError: If the file cannot be read, the gzip data is damaged or larger than the free memory, or the
                content has changed since the last reading.
        """
        try:
            with self.open_raw() as raw:
                hashing = _Hashing(raw)
                zipped = raw.peek(2)[:2] == b"\x1f\x8b"
                limit = free_memory() if self._fits_memory else math.inf
                yield _Bounded(self.name, gzip.GzipFile(fileobj=hashing), limit) if zipped else hashing  # type: ignore[misc]
                if not raw.read(1):
                    self._check(hashing.digest.hexdigest())
        except (EOFError, gzip.BadGzipFile, gzip.zlib.error) as error:  # type: ignore[attr-defined]
            hint = "download or compress the file again"
            raise DataError(f"{self.name}: the gzip data is damaged or cut off", hint=hint) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"cannot read {self.name}: {reason}", hint="check the path in data.path") from error

    def _check(self, digest: str) -> None:
        if self.sha256 and digest != self.sha256:
            raise DataError(f"{self.name} has changed while it was read", hint="try again when the file is complete")
        self.sha256 = digest

    @contextmanager
    def lines(self, errors: str = "strict") -> Iterator[Iterator[str]]:
        """Yield the decoded lines with their endings, for the csv module."""
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        with self.open() as file:
            reader = io.BufferedReader(file, 1 << 20)  # type: ignore[type-var]
            yield io.TextIOWrapper(reader, encoding=encoding, errors=errors, newline="")

    def blocks(self) -> Iterator[bytes]:
        """Yield blocks of whole records as UTF-8 without a byte order mark.

        Raises:
            UnicodeDecodeError: If a block is not valid in the encoding.
            Unusual: If a record is longer than 64 MB, probably after an unclosed quote.
        """
        _keep_freed_memory()
        rest = b""
        for text in one_ahead(self._decoded()):  # reading and hashing take as long as half of the parsing
            if b'"' in rest or b'"' in text:  # a line break within quotes does not end a record
                rest, text = b"", rest + text
                end = _end_of_records(text)
            else:
                end = text.rfind(b"\n") + 1
            if end:
                yield b"".join((rest, memoryview(text)[:end]))  # copies each byte once
                rest = text[end:]
            else:
                rest += text
            if len(rest) > _LONGEST_RECORD:
                raise Unusual
        if rest:
            yield rest

    def _decoded(self) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-8-sig" if self.encoding == "utf-8" else self.encoding)()
        plain = self.encoding in ("utf-8", "ascii")
        with self.open() as file:
            first = True
            size = -(-BLOCK // 8)  # the first block is small: all threads wait for its types
            while raw := file.read(size):
                # Decoding takes longer than reading. ASCII after complete characters needs no decoding.
                if plain and not first and raw.isascii() and decoder.getstate()[0] == b"":
                    yield raw
                else:
                    yield decoder.decode(raw).encode()
                first, size = False, BLOCK
            yield decoder.decode(b"", final=True).encode()


@cache
def _keep_freed_memory() -> None:
    """Make malloc reuse the memory of blocks; new memory for each block would nearly double the page faults of reading.

    glibc keeps freed memory up to the size of the largest block that it has freed before, at most 32 MB. The large
    block that is freed here is never filled.
    """
    bytes(_LARGEST_KEPT)


def _end_of_records(block: bytes) -> int:
    """Return the end of the last line that ends outside quotes; 0 if there is none."""
    end = len(block)
    quotes = block.count(b'"')
    while (position := block.rfind(b"\n", 0, end)) >= 0:
        quotes -= block.count(b'"', position, end)
        if quotes % 2 == 0:
            return position + 1
        end = position
    return 0


class _Hashing(io.RawIOBase):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Bounded(io.RawIOBase):
    """Reader that refuses more decompressed bytes than a limit."""

    def __init__(self, name: str, file: IO[bytes] | gzip.GzipFile, limit: float) -> None:
        self._name, self._file, self._left = name, file, limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, BLOCK) if size >= 0 else BLOCK)
        self._left -= len(data)
        if self._left < 0:
            message = f"{self._name}: is larger than the free memory of this machine once decompressed"
            raise DataError(message, hint="use a part of the table, or a machine with more memory")
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def free_memory() -> int:
    """Return the free memory in bytes; half of the physical memory, or 4 GiB, if the system does not report it."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) // 2 if hasattr(os, "sysconf") else 4 << 30
