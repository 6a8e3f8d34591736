"""Data source of the user's own pictures: a folder per class, read and checked before training."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlcli.config.paths import open_regular
from dlcli.config.schema import ImageFolderData
from dlcli.data.class_folders import PARTS, ClassFolder, File, Listing, list_folder, list_names, natural_key
from dlcli.data.splits import DataInfo, RawData, Split, Splits
from dlcli.errors import DataError, one_line

DIGEST = "pictures"  # name of the checksum over all pictures
_CHUNK = 64  # files per task of a thread; one file per task would take longer to hand over than to read

_LARGE = 20_000  # average bytes per file above which several threads are faster


class _Contents(NamedTuple):
    """Contents of the files in class folders: pictures with a checksum, and files that cannot be used.

    Attributes:
        files: Pictures, in the order of the listing.
        pixels: Pixels of the pictures, uint8 of shape (N, channels · height · width).
        sha256: SHA-256 over the names and contents of all pictures.
        unreadable: Reason for each picture that cannot be read, by its path below the data folder.
        others: Paths of the files that are not pictures.
    """

    files: list[File]
    pixels: Tensor
    sha256: str
    unreadable: dict[str, str]
    others: list[str]


def load_image_folder(config: ImageFolderData) -> RawData:
    """Load pictures from class folders: pixels 0..255, flattened in the order channel, row, column.

    The examples are ordered by file name and class, and the result does not depend on the file system or on threads.

    Raises:
        DataError: If the folder has another structure, a picture cannot be read and `unreadable` is `error`, a class
            is empty, there are fewer than two classes, or train lacks a class.
    """
    if config.path is None:
        raise DataError("data.path is missing", hint="write it like `data.path=DIR`")
    listing = list_folder(config.path)
    contents = _read(listing.files, config)
    root = one_line(config.path)
    if contents.unreadable and config.unreadable == "error":
        raise _unreadable_error(root, contents)
    _check_classes(config.path, listing.classes, contents)
    names = tuple(sorted({folder.label for folder in listing.classes}, key=natural_key))
    parts = _split_by_part(contents, names)
    if "val" in parts and not config.val_fraction:
        raise DataError(f"data.val_fraction is 0, and {root} has a folder val", hint="remove data.val_fraction")
    channels, (height, width) = 3 if config.color_mode == "rgb" else 1, config.size
    info = DataInfo(
        name=config.name,
        task="classification",
        in_features=channels * height * width,
        out_features=len(names),
        class_names=names,
        image_shape=(channels, height, width),
        checksums={DIGEST: contents.sha256},
    )
    notes = _describe_skipped(listing, contents)
    train = parts[""] if "" in parts else parts["train"]
    return RawData(info, train, parts.get("test"), parts.get("val"), notes)


def note_missing_classes(splits: Splits) -> Splits:
    """Return the splits with notes about classes that have no examples in val or in test.

    Raises:
        DataError: If train lacks a class.
    """
    notes = list(splits.notes)
    for name, split in (("train", splits.train), ("val", splits.val), ("test", splits.test)):
        counts = split.targets.bincount(minlength=splits.info.out_features)
        missing = [splits.info.class_names[label] for label in (counts == 0).nonzero().flatten().tolist()]
        if missing and name == "train":
            hint = "add examples of the class, or lower data.val_fraction and data.test_fraction"
            raise DataError(f"train has no examples of {list_names(missing)}", hint=hint)
        if missing and len(split):
            notes.append(f"{name} has no examples of {list_names(missing)}")
    return replace(splits, notes=tuple(notes))


def _read(files: Sequence[File], config: ImageFolderData) -> _Contents:
    """Read and decode all files in threads; each file has its own row, so the order of the threads does not matter."""
    from dlcli.data.pictures import NotAPictureError, decode_picture, decoding

    channels = 3 if config.color_mode == "rgb" else 1
    pixels = np.empty((len(files), channels, *config.size), dtype=np.uint8)
    digests: list[bytes | None] = [None] * len(files)
    unreadable, others = {}, []

    def read(start: int) -> list[tuple[int, ValueError]]:
        failures = []
        for i in range(start, min(start + _CHUNK, len(files))):
            try:
                content = read_picture_file(files[i].path)
                pixels[i] = decode_picture(content, files[i].name, config)
                digests[i] = hashlib.sha256(content).digest()
            except ValueError as error:
                failures.append((i, error))
        return failures

    with decoding(), ThreadPoolExecutor(count_threads([file.path for file in files[:_CHUNK]])) as pool:
        for i, error in itertools.chain.from_iterable(pool.map(read, range(0, len(files), _CHUNK))):
            if isinstance(error, NotAPictureError):
                others.append(one_line(files[i].relative))
            else:
                unreadable[one_line(files[i].relative)] = one_line(str(error))
    kept = [i for i, digest in enumerate(digests) if digest is not None]
    sha256 = _digest_all((files[i].relative, digests[i] or b"") for i in kept)
    return _Contents([files[i] for i in kept], _flat(pixels, kept), sha256, unreadable, others)


def count_threads(paths: Sequence[str]) -> int:
    """Return the number of threads that read pictures; 1 for small files, because threads slow down Python code."""
    sizes = [os.path.getsize(path) for path in paths[:_CHUNK] if os.path.isfile(path)]
    return min(4, os.cpu_count() or 1) if sum(sizes) > _LARGE * len(sizes) else 1


def _flat(pixels: NDArray[np.uint8], kept: Sequence[int]) -> Tensor:
    selected = pixels if len(kept) == len(pixels) else pixels[list(kept)]
    return torch.from_numpy(selected.reshape(len(kept), pixels[0].size if len(pixels) else 0))


def read_picture_file(path: str) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: If the file cannot be read; the message is the reason.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"cannot be opened: {error.strerror or error}") from error


def _digest_all(digests: Iterable[tuple[str, bytes]]) -> str:
    """Return the SHA-256 over names and contents, in the order of the names."""
    total = hashlib.sha256()
    for name, digest in sorted(digests):
        total.update(name.encode("utf-8", "surrogateescape") + b"\0" + digest)
    return total.hexdigest()


def _unreadable_error(root: str, contents: _Contents) -> DataError:
    unreadable, n = contents.unreadable, len(contents.files) + len(contents.unreadable)
    lines = [f"{len(unreadable):,} of {n:,} pictures in {root} cannot be read:"]
    lines += [f"  {name}: {reason}" for name, reason in unreadable.items()]
    if contents.others:
        lines.append(f"not pictures, and skipped: {', '.join(contents.others)}")
    hint = "repair or delete them, or train without them: data.unreadable=skip"
    return DataError("\n".join(lines), hint=hint)


def _check_classes(root: str, classes: Sequence[ClassFolder], contents: _Contents) -> None:
    """Check that every class folder has a picture, that there are two classes, and that train has all of them.

    Raises:
        DataError: If one of these checks fails.
    """
    full = {file.folder for file in contents.files}
    for folder in classes:
        if folder not in full:
            hint = "add pictures of the class, or delete the folder"
            raise DataError(f"the class folder {one_line(os.path.join(root, *folder))} has no pictures", hint=hint)
    labels = {folder.label for folder in classes}
    if len(labels) == 1:
        hint = "set data.path to the folder that holds a folder of pictures per class"
        raise DataError(f"{one_line(root)} has one class, {list_names(labels)}; a task needs two", hint=hint)
    in_train = {folder.label for folder in classes if folder.part in ("", "train")}
    for part in PARTS:
        extra = {folder.label for folder in classes if folder.part == part} - in_train
        if extra:
            names = list_names(sorted(extra, key=natural_key))
            hint = "add examples to train, correct the name of the folder, or delete it"
            raise DataError(f"{part} has classes that train lacks in {one_line(root)}: {names}", hint=hint)


def _describe_skipped(listing: Listing, contents: _Contents) -> tuple[str, ...]:
    notes = []
    if listing.junk:
        notes.append(f"skipped {_count(len(listing.junk), 'hidden or system file')}: {list_names(listing.junk)}")
    if listing.outside:
        count = _count(len(listing.outside), "file")
        notes.append(f"skipped {count} outside of the class folders: {list_names(listing.outside)}")
    if contents.others:
        count = _count(len(contents.others), "file")
        notes.append(f"skipped {count} in class folders, not pictures: {', '.join(contents.others)}")
    if contents.unreadable:
        listed = "; ".join(f"{name}: {reason}" for name, reason in contents.unreadable.items())
        notes.append(f"skipped {_count(len(contents.unreadable), 'unreadable picture')}: {listed}")
    return tuple(notes)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _split_by_part(contents: _Contents, names: Sequence[str]) -> dict[str, Split]:
    index = {name: label for label, name in enumerate(names)}
    targets = torch.tensor([index[file.folder.label] for file in contents.files])
    parts = list(dict.fromkeys(file.folder.part for file in contents.files))
    if len(parts) == 1:
        return {parts[0]: Split(contents.pixels, targets)}
    whole = Split(contents.pixels, targets)
    rows = {part: [i for i, file in enumerate(contents.files) if file.folder.part == part] for part in parts}
    return {part: whole.select(torch.tensor(indices)) for part, indices in rows.items()}
