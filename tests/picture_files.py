"""Folders of small pictures for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dlcli.config.load import load_config
from dlcli.config.schema import ImageFolderData
from dlcli.data.image_folder import load_image_folder
from dlcli.data.sources import load_splits
from dlcli.data.splits import RawData, Splits

# A picture without symmetry, so that every wrong orientation differs from it.
GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=-1)


def settings(**values: Any) -> ImageFolderData:
    return ImageFolderData.model_validate({"name": "image_folder", "size": (3, 4), **values})


def write(path: str | Path, values: np.ndarray = GRAY) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def write_classes(root: str = "pictures", labels: tuple[str, ...] = ("a", "b"), n: int = 10) -> None:
    for shade, label in enumerate(labels):
        for i in range(n):
            write(f"{root}/{label}/{i}.png", GRAY + i + shade)


def write_parts(*parts: str, root: str = "pictures") -> None:
    for part in parts:
        write_classes(f"{root}/{part}", n={"train": 20, "val": 4, "test": 6}[part])


def load(root: str = "pictures", **values: Any) -> RawData:
    return load_image_folder(settings(path=root, **values))


def split(root: str = "pictures", *overrides: str) -> Splits:
    config = {"data": {"name": "image_folder", "path": root, "size": [3, 4]}}
    return load_splits(load_config(config, overrides).config)
