"""Same data in several formats: the parameters after training are identical to the bit."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from picture_files import write

import dlcli
from dlcli.data.mnist import load_mnist
from dlcli.data.splits import Split
from dlcli.runs.checkpoint import load_checkpoint

SETTINGS = ["training.epochs=2", "model.hidden_sizes=[8]", "plots=never"]


def parameters(data: Mapping[str, Any], task: str = "classification") -> dict[str, torch.Tensor]:
    """Train and return the parameters of the last checkpoint."""
    result = dlcli.train({"task": task, "data": dict(data)}, SETTINGS)
    return dict(load_checkpoint(Path(result.checkpoints["last"])).parameters)


def assert_identical(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor], case: str) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first), case


def write_table() -> Iterator[tuple[str, dict[str, Any]]]:
    """Write a table in several formats, and yield the name and the settings of each."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(300, 3)) * (1, 1e6, 1e-9)
    count = draw.integers(0, 5, 300)
    label = np.where(values[:, 0] + count > 2, "high", "low")
    frame = pl.DataFrame({"a": values[:, 0], "b": values[:, 1], "n": count, "c": values[:, 2], "y": label})
    features = {"features": ["a", "b", "n", "c"]}
    frame.write_csv("t.csv")
    yield "csv", {"name": "csv", "path": "t.csv"}
    text = Path("t.csv").read_text()
    Path("semicolons.csv").write_text(text.replace(",", ";").replace(".", ","))
    yield "semicolons and decimal commas", {"name": "csv", "path": "semicolons.csv"}
    frame.select("c", "y", "n", "b", "a").write_csv("turned.csv")
    yield "columns in another order", {"name": "csv", "path": "turned.csv", **features}
    Path("t.csv.gz").write_bytes(gzip.compress(text.encode()))
    yield "gzip", {"name": "csv", "path": "t.csv.gz"}
    Path("utf16.csv").write_text(text, encoding="utf-16")
    yield "UTF-16", {"name": "csv", "path": "utf16.csv"}
    frame.write_parquet("t.parquet")
    yield "Parquet", {"name": "parquet", "path": "t.parquet"}
    inputs = frame.select(features["features"]).to_numpy()
    np.savez("t.npz", inputs=inputs, targets=label, feature_names=np.array(features["features"]))
    yield "NPZ", {"name": "npz", "path": "t.npz"}


def test_a_table_trains_to_the_same_bits_in_every_format(clean_place: Path) -> None:
    targets = {"csv": "y", "parquet": "y", "npz": "targets"}
    trained = {case: parameters({"target": targets[data["name"]], **data}) for case, data in write_table()}
    for case, found in trained.items():
        assert_identical(trained["csv"], found, case)


def write_pictures(parts: Mapping[str, Split], side: int) -> None:
    """Write the pictures of each part as PNG files named by their numbers, and as an NPZ file."""
    for part, split in parts.items():
        pixels, labels = split.stored.numpy().reshape(-1, side, side), split.targets.numpy()
        np.savez(part, inputs=pixels, targets=labels)
        for label in np.unique(labels):
            Path("pictures", part, str(label)).mkdir(parents=True)
        for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
            write(f"pictures/{part}/{label}/{number}.png", picture)


def parameters_of_pictures(side: int) -> list[dict[str, torch.Tensor]]:
    return [
        parameters({"name": "npz", "train": "train.npz", "test": "test.npz"}),
        parameters({"name": "image_folder", "path": "pictures", "size": [side, side]}),
    ]


def test_pictures_train_to_the_same_bits_as_files_and_arrays(clean_place: Path) -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 11, 400)
    pixels = draw.integers(0, 256, (400, 25)).astype(np.uint8) // (labels + 1).astype(np.uint8)[:, None]
    parts = {
        part: Split(torch.from_numpy(pixels[rows]), torch.from_numpy(labels[rows]))
        for part, rows in (("train", slice(0, 300)), ("test", slice(300, 400)))
    }
    write_pictures(parts, 5)
    arrays, files = parameters_of_pictures(5)
    assert_identical(arrays, files, "PNG")


@pytest.mark.long
def test_fashion_mnist_trains_to_the_same_bits_as_files_and_arrays(clean_place: Path, fashion_root: Path) -> None:
    from dlcli.config.schema import FashionMnistData

    config = FashionMnistData(name="fashion_mnist", root=str(fashion_root))
    raw = load_mnist(config)
    assert raw.test is not None
    write_pictures({"train": raw.train, "test": raw.test}, 28)
    expected = parameters(config.model_dump())
    for case, found in zip(("NPZ", "PNG"), parameters_of_pictures(28), strict=True):
        assert_identical(expected, found, case)
