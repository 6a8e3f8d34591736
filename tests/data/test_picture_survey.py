"""Sizes and colours that a config for a folder of pictures proposes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from picture_files import GRAY, RGB, write
from PIL import ExifTags, Image

from dlcli.data.class_folders import list_folder
from dlcli.data.picture_survey import survey_pictures


@pytest.mark.parametrize(
    ("shapes", "size", "why"),
    [
        ([(28, 20), (28, 20)], (28, 20), "the size of the pictures"),
        ([(64, 96), (64, 96)], (21, 32), "smaller than the pictures of 64×96"),
        ([(30, 20), (10, 50)], (32, 32), "the pictures have 2 sizes, 10×20 to 30×50"),
    ],
)
def test_sizes_are_those_of_the_pictures_or_small(
    shapes: list[tuple[int, int]], size: tuple[int, int], why: str, clean_place: Path
) -> None:
    for i, shape in enumerate(shapes):
        write(f"pictures/a/{i}.png", np.full(shape, 9, dtype=np.uint8))
    Path("pictures/a/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    chosen, reason = survey_pictures(list_folder("pictures").files).choose_size()
    assert (chosen, reason.startswith(why)) == (size, True)


@pytest.mark.parametrize(
    ("values", "mode"), [(GRAY, "grayscale"), (np.stack([GRAY] * 3, axis=-1), "grayscale"), (RGB, "rgb")]
)
def test_colours_are_used_if_there_are_any(values: np.ndarray, mode: str, clean_place: Path) -> None:
    write("pictures/a/1.png", values)
    assert survey_pictures(list_folder("pictures").files).choose_color_mode()[0] == mode


def test_sizes_are_those_of_upright_pictures(clean_place: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Path("pictures/a").mkdir(parents=True)
    Image.new("L", (60, 30)).save("pictures/a/1.jpg", exif=exif)
    assert survey_pictures(list_folder("pictures").files).sizes == {(60, 30): 1}


def test_pipes_and_unsupported_pictures_are_left_out(clean_place: Path) -> None:
    write("pictures/a/1.png", GRAY)
    os.mkfifo("pictures/a/2.png")
    Image.fromarray(GRAY).save("pictures/a/3.eps")
    assert survey_pictures(list_folder("pictures").files).sizes == {GRAY.shape: 1}
