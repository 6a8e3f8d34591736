"""Refusal of paths and files that are not tables, by their kind."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from pathlib import Path

from dlcli.errors import DataError, one_line

_URL = re.compile(r"(?i)([a-z][a-z0-9+.-]{1,20}):/+[^/]")  # Path() turns // into /
_CLOUD = {"s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss", "adl", "hf", "hdfs", "r2", "oci", "dbfs"}
_AS_CSV = "save the table as CSV (UTF-8), and give that file"
_UNPACK = "unpack it, and give the table inside as data.path"
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook", _AS_CSV),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"\x1f\x8b", "compressed twice with gzip", "decompress it once with `gunzip`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"PAR1", "a Parquet file", "type data.name=parquet"),
    (b"ARROW1", "an Arrow file", "save it as Parquet, and type data.name=parquet"),
    (b"FEA1", "a Feather file", "save it as Parquet, and type data.name=parquet"),
    (b"\x89HDF", "an HDF5 file", _AS_CSV),
    (b"CDF\x01", "a NetCDF file", _AS_CSV),
    (b"SQLite format 3", "an SQLite database", _AS_CSV),
    (b"\x93NUMPY", "a NumPy array", "save inputs and targets with numpy.savez, and type data.name=npz"),
    (b"%PDF", "a PDF document", _AS_CSV),
    (b"{\\rtf", "an RTF document", _AS_CSV),
    (b"\x89PNG", "a picture", "for pictures, type data.name=image_folder"),
    (b"\xff\xd8\xff", "a picture", "for pictures, type data.name=image_folder"),
    (b"GIF8", "a picture", "for pictures, type data.name=image_folder"),
    (b"$FL2", "an SPSS file", _AS_CSV),
    (b"<stata_dta>", "a Stata file", _AS_CSV),
    (b"\x80\x04\x95", "a Python pickle", "pickles can run programs; " + _AS_CSV),
    (b"\x80\x05\x95", "a Python pickle", "pickles can run programs; " + _AS_CSV),
    (b"\x7fELF", "a program", "give the table as data.path"),
)


def is_url(path: str) -> bool:
    """Return whether a path is a web address or a path in a cloud."""
    return _URL.match(path) is not None


def check_path(path: Path, *, is_setting: bool = True) -> None:
    """Raise DataError if `path` is a URL, does not exist, or is not a regular file.

    Args:
        path: Path of a file.
        is_setting: Whether the user gave it as `data.path`, and not as an argument.
    """
    name = one_line(str(path))
    if url := _URL.match(str(path)):
        scheme = url[1].lower()
        as_setting = " as data.path" if is_setting else ""
        kind = "a cloud path" if scheme in _CLOUD else "a web address"
        raise DataError(f"{name} is {kind}, not a file", hint=f"download the file, and give its path{as_setting}")
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
        hint = "check the path, which is relative to the folder that you are in"
        if is_setting:
            hint = (
                "check data.path, which is relative to the config; for a run whose data has moved, use --data-root DIR"
            )
        raise DataError(f"{name} {reason}", hint=hint) from error
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        hint = "give one file of it; for folders of pictures, type data.name=image_folder"
        raise DataError(f"{name} is a folder, not a file", hint=hint)
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    kind = kinds.get(stat.S_IFMT(mode), "no regular file")
    raise DataError(
        f"{name} is {kind}, not a file", hint="save the table to a file first: tables are read more than once"
    )


def check_content(name: str, path: Path, start: bytes) -> None:
    """Raise DataError if `start`, the first bytes of a file, shows another format than CSV."""
    if not start.strip():
        raise DataError(f"{name} is empty", hint="give a file with a line of column names and the data below")
    for magic, kind, hint in _MAGIC:
        if start.startswith(magic):
            raise DataError(f"{name} is {kind}, not a CSV file", hint=hint)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        kind, hint = _zip_kind(path)
        raise DataError(f"{name} is {kind}, not a CSV file", hint=hint)
    if start[257:262] == b"ustar":
        raise DataError(f"{name} is a tar archive, not a CSV file", hint=_UNPACK)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if re.match(rb"<(!doctype html|html|head|body|\?xml[^>]*>\s*<!doctype html)", text):
        hint = "download the table itself: links to web pages often end in the same name"
        raise DataError(f"{name} is a web page (HTML), not a CSV file", hint=hint)
    if text.startswith(b"<?xml"):
        raise DataError(f"{name} is an XML file, not a CSV file", hint=_AS_CSV)
    if re.match(rb"""[\[{]\s*("|[\[{]|$)""", text):
        raise DataError(f"{name} is a JSON file, not a CSV file", hint=_AS_CSV)
    if text.startswith(b"version https://git-lfs"):
        raise DataError(f"{name} is a Git LFS pointer, not the table", hint="run `git lfs pull`")


def _zip_kind(path: Path) -> tuple[str, str]:
    try:
        names = zipfile.ZipFile(path).namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return "a damaged zip archive", _UNPACK
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook", _AS_CSV
    if any(name.startswith("word/") for name in names):
        return "a Word document", _AS_CSV
    if "content.xml" in names:
        return "an OpenDocument file", _AS_CSV
    if names and all(name.endswith(".npy") for name in names):
        return "an NPZ file", "type data.name=npz"
    return "a zip archive", _UNPACK
