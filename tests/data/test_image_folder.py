"""Folders of pictures: structure, order, names, unreadable files and splits."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_files import RGB, load, split, write, write_classes, write_parts
from PIL import Image
from sklearn.datasets import load_digits

from dlcli.data.class_folders import natural_key
from dlcli.data.splits import Splits
from dlcli.errors import DataError


def refuse(*words: str, **values: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load(**values)
    assert all(word in caught.value.message for word in words), caught.value.message
    assert caught.value.hint
    return caught.value


def test_digits_as_png_files_give_the_tensors_of_the_arrays() -> None:
    digits = load_digits()
    images, labels = (digits.images[:300] * 15).astype(np.uint8), digits.target[:300]
    order = list(range(300))
    random.Random(0).shuffle(order)
    for i in order:
        write(f"pictures/{labels[i]}/{i}.png", images[i])
    raw = load(size=(8, 8))
    assert torch.equal(raw.train.stored, torch.from_numpy(images.reshape(300, 64)))
    assert torch.equal(raw.train.targets, torch.from_numpy(labels))
    assert raw.train.stored.dtype == torch.uint8
    assert raw.info.image_shape == (1, 8, 8)
    assert raw.info.class_names == tuple("0123456789")
    for i in range(0, 300, 7):
        os.replace(f"pictures/{labels[i]}/{i}.png", f"pictures/{labels[i]}/{i:05}.png")
    padded = load(size=(8, 8))
    assert torch.equal(padded.train.stored, raw.train.stored), "zeros before a number do not change the order"


def test_the_result_does_not_depend_on_threads_or_the_order_of_the_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    write_classes(n=100)
    first = load()
    scandir = os.scandir

    class Reversed:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("dlcli.data.class_folders.os.scandir", Reversed)
    monkeypatch.setattr("dlcli.data.image_folder.count_threads", lambda _: 3)
    again = load()
    assert again.info == first.info
    assert torch.equal(again.train.stored, first.train.stored)
    assert torch.equal(again.train.targets, first.train.targets)


def test_class_names_are_in_natural_order() -> None:
    write_classes(labels=("10", "0", "5", "b", "a10", "a9", "-"), n=1)
    assert load().info.class_names == ("0", "5", "10", "-", "a9", "a10", "b")
    names = ["x1", "x01", "x²", "", "1", "01", "٣", "x1y2", "x1y10"]
    assert sorted(sorted(names, reverse=True), key=natural_key) == sorted(sorted(names), key=natural_key)


def test_rows_are_ordered_by_file_name_and_then_by_class() -> None:
    for i, (label, name) in enumerate([("a", "2"), ("b", "2"), ("a", "10"), ("b", "1")]):
        write(f"pictures/{label}/{name}.png", np.full((3, 4), i, np.uint8))
    assert load().train.stored[:, 0].tolist() == [3, 0, 1, 2]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_class_names_are_nfc_and_the_checksum_does_not_depend_on_the_form(form: str) -> None:
    label, name = "Äpfel 日本", "é"
    write(Path("pictures", unicodedata.normalize(form, label), unicodedata.normalize(form, f"{name}.png")))  # type: ignore[arg-type]
    write("pictures/Birnen/1.png")
    info = load().info
    assert info.class_names == ("Birnen", label)
    write(Path("other", label, f"{name}.png"))
    write("other/Birnen/1.png")
    assert load("other").info == info


def test_two_folders_of_one_class_are_refused() -> None:
    for form in ("NFC", "NFD"):
        write(Path("pictures", unicodedata.normalize(form, "é"), "1.png"))  # type: ignore[arg-type]
    refuse("two folders 'é'")


def test_hidden_and_system_entries_are_skipped_and_counted() -> None:
    write_classes()
    names = (".DS_Store", "Thumbs.db", "a/._1.png", "a/desktop.ini", "b/.hidden/1.png", "__MACOSX/a/1.png")
    for name in (*names, ".ipynb_checkpoints/a/1.png"):
        Path("pictures", name).parent.mkdir(parents=True, exist_ok=True)
        Path("pictures", name).write_bytes(b"junk")
    raw = load()
    assert (len(raw.train), raw.info.class_names) == (20, ("a", "b"))
    assert len(raw.notes) == 1
    assert raw.notes[0].startswith("skipped 7 hidden or system files: ")
    shutil.copytree("pictures", "clean", ignore=shutil.ignore_patterns(".*", "Thumbs.db", "__MACOSX", "desktop.ini"))
    assert load("clean").info == raw.info, "such files come and go without changing the data"
    assert load("clean").notes == ()


def test_files_that_are_no_pictures_are_listed() -> None:
    write_classes()
    for name in ("labels.csv", "a/notes.txt", "b/archive.zip", "b/empty"):
        Path("pictures", name).write_bytes(b"" if name == "b/empty" else b"text")
    raw = load()
    assert len(raw.train) == 20
    assert raw.notes == (
        "skipped 1 file outside of the class folders: labels.csv",
        "skipped 3 files in class folders, not pictures: b/archive.zip, b/empty, a/notes.txt",
    )


def damage_pictures() -> dict[str, str]:
    """Add six pictures that cannot be read, and return a word of the reason for each."""
    whole = Path("pictures/a/0.png").read_bytes()
    contents = {
        "a/broken.png": (b"\x89PNG\r\n\x1a\nnothing", "not a picture, or damaged"),
        "a/cut.png": (whole[:-20], "damaged"),
        "a/empty.jpg": (b"", "empty file"),
        "a/phone.HEIC": (b"\0\0\0\x18ftypheic", "HEIC is not supported; convert it"),
        "b/text.png": (b"<html>", "not a picture, or damaged"),
    }
    for name, (content, _) in contents.items():
        Path("pictures", name).write_bytes(content)
    Path("pictures/b/link.png").symlink_to("nowhere")
    return {name: reason for name, (_, reason) in contents.items()} | {"b/link.png": "cannot be opened"}


def test_all_unreadable_pictures_are_listed_with_their_reasons() -> None:
    write_classes()
    reasons = damage_pictures()
    error = refuse("6 of 26 pictures in pictures cannot be read")
    lines = error.message.splitlines()[1:]
    assert sorted(line.split(": ")[0].strip() for line in lines) == sorted(reasons)
    for name, reason in reasons.items():
        assert f"  {name}: {reason}" in error.message
    assert "data.unreadable=skip" in (error.hint or "")


def test_unreadable_pictures_are_skipped_and_listed_if_the_config_says_so() -> None:
    write_classes()
    before = load()
    reasons = damage_pictures()
    raw = load(unreadable="skip")
    assert torch.equal(raw.train.stored, before.train.stored)
    assert torch.equal(raw.train.targets, before.train.targets)
    assert raw.info == before.info
    (note,) = raw.notes
    assert note.startswith("skipped 6 unreadable pictures: ")
    assert all(f"{name}: {reason}" in note for name, reason in reasons.items())


def test_damaged_pictures_write_nothing_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Pillow logs an error for this TIFF file, whose pixels claim to have 169 samples."""
    write_classes()
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "TIFF")
    entry = struct.pack("<HHI", 277, 3, 1)
    assert entry in buffer.getvalue()
    Path("pictures/a/odd.tif").write_bytes(buffer.getvalue().replace(entry + b"\3", entry + b"\xa9"))
    refuse("a/odd.tif: ")
    assert caplog.records == []


def test_devices_and_pipes_are_not_read() -> None:
    write_classes()
    os.mkfifo("pictures/a/pipe.png")
    refuse("a/pipe.png: cannot be opened: it is not a regular file")


@pytest.mark.parametrize("content", [None, ".DS_Store", "notes.txt", "broken.png"])
def test_empty_class_folders_are_refused(content: str | None) -> None:
    write_classes()
    Path("pictures/c").mkdir()
    if content is not None:
        Path("pictures/c", content).write_bytes(b"nothing")
    refuse(f"the class folder {os.path.join('pictures', 'c')} has no pictures", unreadable="skip")


def test_folders_with_another_structure_are_refused() -> None:
    refuse("there is no folder pictures")
    Path("pictures").write_bytes(b"PK")
    refuse("pictures is not a folder")
    Path("pictures").unlink()
    Path("pictures").mkdir()
    refuse("pictures has no class folders")
    write("pictures/1.png")
    refuse("pictures has no class folders")
    write("pictures/a/1.png")
    refuse("has one class, a")
    write("pictures/b/1.png")
    assert load().info.class_names == ("a", "b")
    write("pictures/b/more/1.png")
    refuse("the class folder pictures/b contains a folder: more")


@pytest.mark.skipif(os.name != "posix", reason="needs file names of bytes")
def test_class_names_that_are_not_utf_8_are_refused() -> None:
    write_classes()
    os.mkdir(b"pictures/\xff")
    refuse("pictures/\\udcff is not valid UTF-8")


def test_huge_pictures_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    write_classes(n=3)
    for name, side in (("large", 12), ("huge", 50)):  # Pillow warns of the first and raises for the second
        write(f"pictures/a/{name}.png", np.zeros((side, side), np.uint8))
    refuse("2 of 8 pictures", "a/huge.png: more than 100 pixels", "a/large.png: more than 100 pixels")


def test_given_parts_are_taken_as_they_are() -> None:
    write_parts("train", "val", "test")
    for fraction in ("0.1", "0.5"):
        splits = split("pictures", f"data.val_fraction={fraction}", "data.test_fraction=0.5")
        assert (len(splits.train), len(splits.val), len(splits.test)) == (40, 8, 12)
        assert torch.equal(splits.val.stored[:, 0], torch.tensor([0, 1, 1, 2, 2, 3, 3, 4], dtype=torch.uint8))
    assert splits.notes == splits.duplicates
    assert [note.partition(" (")[0] for note in splits.duplicates[:2]] == [
        "8 of 8 val examples", "12 of 12 test examples"
    ]  # fmt: skip
    mean = splits.train.stored.double().mean()
    assert splits.input_scaling.shift.item() == pytest.approx(mean.item()), "scaled by the figures of train alone"


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [(("train",), (28, 4, 8)), (("train", "val"), (32, 8, 8)), (("train", "test"), (36, 4, 12))],
    ids=["train", "val", "test"],
)
def test_missing_parts_are_split_off_from_train(parts: tuple[str, ...], sizes: tuple[int, int, int]) -> None:
    write_parts(*parts)
    splits = split()
    assert (len(splits.train), len(splits.val), len(splits.test)) == sizes


def test_a_val_folder_contradicts_a_val_fraction_of_0() -> None:
    write_parts("train", "val")
    with pytest.raises(DataError, match=r"data\.val_fraction is 0, and .*pictures has a folder val") as caught:
        split("pictures", "data.val_fraction=0")
    assert caught.value.hint == "remove data.val_fraction"


def missing_classes(splits: Splits) -> list[str]:
    return [note for note in splits.notes if note not in splits.duplicates]


def test_classes_absent_from_val_or_test_are_noted_and_keep_their_index() -> None:
    write_parts("train", "val", "test")
    shutil.rmtree("pictures/val/a")
    splits = split()
    assert splits.val.targets.unique().tolist() == [1], "class b stays class b"
    assert missing_classes(splits) == ["val has no examples of a"]
    shutil.rmtree("pictures/test/b")
    assert missing_classes(split()) == ["val has no examples of a", "test has no examples of b"]


def test_classes_that_a_drawn_split_lacks_are_noted() -> None:
    write_classes(n=40)
    write("pictures/rare/1.png")
    assert missing_classes(split()) == ["val has no examples of rare", "test has no examples of rare"]
    with pytest.raises(DataError, match="train has no examples of rare"):
        split("pictures", "data.test_fraction=0.6")


def test_classes_that_train_lacks_are_refused() -> None:
    write_parts("train", "val", "test")
    os.rename("pictures/test/a", "pictures/test/A")
    refuse("test has classes that train lacks", ": A")
    write("pictures/val/c/1.png")
    refuse("val has classes that train lacks", ": c")


def test_class_folders_may_have_the_names_of_parts_but_not_all_of_them() -> None:
    write_classes(labels=("train", "bus"))
    assert load().info.class_names == ("bus", "train")
    write_classes("flat", labels=("train", "test"))
    with pytest.raises(DataError, match="has no class folders"):
        load("flat")
    write_parts("train", root="mixed")
    write_classes("mixed/valid")
    with pytest.raises(DataError, match="has the folder train, and folders that are no part: valid"):
        load("mixed")
    write_parts("val", "test", root="trainless")
    with pytest.raises(DataError, match="has the folder test and no folder train"):
        load("trainless")
