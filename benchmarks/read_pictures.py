"""Time to read a folder of PNG files, next to a loop of Pillow over the same files.

    python benchmarks/read_pictures.py DATA_ROOT [--rounds N]

DATA_ROOT contains FashionMNIST/raw/ in the layout of torchvision; its 60,000 training images are written as PNG files
into a temporary folder. dlcli lists the folder, decodes and checks every file, and computes SHA-256. The loop only
decodes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dlcli.config.schema import FashionMnistData, ImageFolderData
from dlcli.data.image_folder import load_image_folder
from dlcli.data.mnist import IMAGE_SIZE, load_mnist


def main() -> None:
    """Read all files alternately and print medians, spread and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", metavar="DATA_ROOT")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(Path(folder), arguments.root)
        seconds = {"loop of Pillow": [], "dlcli": []}
        for _ in range(arguments.rounds):
            start = time.perf_counter()
            expected = np.stack([np.asarray(Image.open(path)) for path in paths])
            seconds["loop of Pillow"].append(time.perf_counter() - start)
            start = time.perf_counter()
            pixels = load_image_folder(ImageFolderData(name="image_folder", path=folder)).train.stored
            seconds["dlcli"].append(time.perf_counter() - start)
            assert np.array_equal(pixels.numpy(), expected.reshape(len(paths), -1))
    print_rows(seconds, len(paths))


def write_pictures(folder: Path, root: str) -> list[Path]:
    """Write the training images into class folders, named by their number; return their paths in order."""
    train = load_mnist(FashionMnistData(name="fashion_mnist", root=root)).train
    paths = []
    for number, (pixels, label) in enumerate(zip(train.stored.numpy(), train.targets.tolist(), strict=True)):
        paths.append(folder / str(label) / f"{number}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.reshape(IMAGE_SIZE, IMAGE_SIZE)).save(paths[-1])
    return paths


def print_rows(seconds: dict[str, list[float]], files: int) -> None:
    """Print a row per system."""
    least: Sequence[float] = seconds["loop of Pillow"]
    print(f"| {files:,} PNG files | s | least-most | × loop |\n|---|---|---|---|")
    for name, values in seconds.items():
        median = statistics.median(values)
        ratio = median / statistics.median(least)
        print(f"| {name} | {median:.2f} | {min(values):.2f}-{max(values):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
