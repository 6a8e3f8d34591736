"""Listing of a folder of pictures: its parts, its classes and the files of each class."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from dlcli.errors import DataError, one_line

PARTS = ("train", "val", "test")
# Names of system files and folders. Hidden files and folders are junk as well.
_JUNK = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r", "$recycle.bin"})
_Key: TypeAlias = tuple[tuple[int, int, str], ...]


class ClassFolder(NamedTuple):
    """Folder with the pictures of a class.

    Attributes:
        part: train, val or test; empty if the data folder has no such parts.
        label: Name of the class.
    """

    part: str
    label: str


class File(NamedTuple):
    """File in a class folder: its name and its full path."""

    folder: ClassFolder
    name: str
    path: str

    @property
    def relative(self) -> str:
        """Path below the data folder, the same on every file system."""
        return "/".join(name for name in (*self.folder, self.name) if name)


@dataclass
class Listing:
    """Files of a folder.

    Attributes:
        classes: Class folders.
        files: Files in class folders, sorted by name in natural order, then by class.
        junk: Paths of hidden and system entries, relative to the folder.
        outside: Paths of files outside of class folders, relative to the folder.
    """

    classes: list[ClassFolder] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    junk: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


def natural_key(name: str) -> tuple[_Key, str]:
    """Return a key that sorts names with numbers in natural order: 0, 5, 10."""
    words = re.split(r"([0-9]+)", name)  # text at even positions, numbers at odd ones
    keys = ((1, 0, word) if i % 2 == 0 else _number_key(word) for i, word in enumerate(words) if word)
    return tuple(keys), name


def _number_key(digits: str) -> tuple[int, int, str]:
    significant = digits.lstrip("0")
    return 0, len(significant), significant  # int() would refuse long numbers


def list_folder(root: str) -> Listing:
    """List the files in the class folders of a folder, or of its folders train, val and test.

    Names are normalized to NFC, so that their order and text do not depend on the file system.

    Raises:
        DataError: If the folder cannot be read, or does not have this structure.
    """
    listing = Listing()
    folders = _list_entries(root, "", listing)
    names = sorted(folders)
    parts = names if names and set(names) <= set(PARTS) else []
    if "train" in names and not parts and _has_folders(folders["train"]):
        foreign = ", ".join(one_line(name) for name in names if name not in PARTS)
        hint = "rename a validation folder to val, or move the other folders elsewhere"
        raise DataError(f"{one_line(root)} has the folder train, and folders that are no part: {foreign}", hint=hint)
    if parts and "train" not in parts:
        raise DataError(
            f"{one_line(root)} has the folder {parts[0]} and no folder train",
            hint="add a folder train of class folders",
        )
    if parts:
        for part in parts:
            _list_classes(folders[part], part, _list_entries(folders[part], part, listing), listing)
    else:
        _list_classes(root, "", folders, listing)
    label_keys = {folder.label: natural_key(folder.label) for folder in listing.classes}
    listing.files.sort(key=lambda file: (natural_key(file.name), label_keys[file.folder.label], file.path))
    return listing


def _list_classes(folder: str, part: str, classes: dict[str, str], listing: Listing) -> None:
    if not classes:
        hint = "put the pictures of each class into a folder with the name of the class"
        raise DataError(f"{one_line(folder)} has no class folders", hint=hint)
    for label, path in classes.items():
        _check_text(label, path)
        listing.classes.append(ClassFolder(part, label))
        _list_files(path, listing.classes[-1], listing)


def _list_files(path: str, folder: ClassFolder, listing: Listing) -> None:
    for entry in _scan(path):
        name = unicodedata.normalize("NFC", entry.name)
        file = File(folder, name, entry.path)
        if is_junk(name):
            listing.junk.append(file.relative)
        elif _is_folder(entry):
            raise DataError(
                f"the class folder {one_line(path)} contains a folder: {one_line(entry.name)}",
                hint="move its pictures into the class folder, or set data.path to the folder that holds the classes",
            )
        else:
            listing.files.append(file)


def _list_entries(folder: str, part: str, listing: Listing) -> dict[str, str]:
    """Return the subfolders of a folder by their names in NFC; add all other entries to the listing."""
    folders: dict[str, str] = {}
    for entry in _scan(folder):
        name = unicodedata.normalize("NFC", entry.name)
        relative = f"{part}/{name}" if part else name
        if is_junk(name):
            listing.junk.append(relative)
        elif not _is_folder(entry):
            listing.outside.append(relative)
        elif name in folders:
            message = f"{one_line(folder)} has two folders {name!r}, which differ in their Unicode form only"
            raise DataError(message, hint="move the pictures into one of them and delete the other")
        else:
            folders[name] = entry.path
    return folders


def _scan(folder: str) -> Sequence[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except NotADirectoryError as error:
        hint = "unpack it if it is an archive, and set data.path to the folder"
        raise DataError(f"{one_line(folder)} is not a folder", hint=hint) from error
    except FileNotFoundError as error:
        hint = "set data.path to the folder that holds the class folders, or --data-root DIR for an existing run"
        raise DataError(f"there is no folder {one_line(folder)}", hint=hint) from error
    except OSError as error:
        raise DataError(f"cannot read {one_line(folder)}: {error.strerror}", hint="check its permissions") from error


def _has_folders(folder: str) -> bool:
    return any(_is_folder(entry) and not is_junk(entry.name) for entry in _scan(folder))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # e.g. a link to itself
        return False


def is_junk(name: str) -> bool:
    """Return whether a name is that of a hidden or system file or folder."""
    return name.startswith(".") or name.lower() in _JUNK


def _check_text(label: str, path: str) -> None:
    try:
        label.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the name of the folder {one_line(path)} is not valid UTF-8", hint="rename it") from error


def list_names(names: Iterable[str], most: int = 5) -> str:
    """Return the first names on one line, with the number of the others."""
    shown = [one_line(name) for name in names]
    more = f" and {len(shown) - most:,} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more
