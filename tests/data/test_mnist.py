"""MNIST and Fashion-MNIST download and verification, with a tiny data set on a local server in place of the mirrors."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import itertools
import os
import random
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from conftest import Finished

from dlcli.config.schema import FashionMnistData, MnistData
from dlcli.data.mnist import fetch_mnist, load_mnist
from dlcli.data.published import DATA_SETS, IdxFile
from dlcli.data.splits import MissingDataError
from dlcli.errors import DataError

TRAIN, TEST = 60, 20


def idx_bytes(values: np.ndarray) -> bytes:
    return struct.pack(">i", 0x800 + values.ndim) + struct.pack(f">{values.ndim}i", *values.shape) + values.tobytes()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Loopback server with four archives that torchvision and dlcli accept as the published files."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "mirror"
    folder.mkdir()
    resources, files = [], {}
    for part, count in (("train", TRAIN), ("t10k", TEST)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, values in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx_bytes(values)
            archive = gzip.compress(content, mtime=0)
            (folder / f"{name}.gz").write_bytes(archive)
            resources.append((f"{name}.gz", hashlib.md5(archive).hexdigest()))
            files[name] = IdxFile(count, hashlib.sha256(content).hexdigest())

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Suppress the log."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    for name, data_set in DATA_SETS.items():
        monkeypatch.setattr(data_set.published, "resources", resources)
        monkeypatch.setattr(data_set.published, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setitem(DATA_SETS, name, replace(data_set, files=files))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def config(tmp_path: Path) -> FashionMnistData:
    return FashionMnistData(name="fashion_mnist", root=str(tmp_path / "data"))


def raw_folder(config: FashionMnistData) -> Path:
    return Path(str(config.root), "FashionMNIST", "raw")


def test_download_is_announced_and_verified(mirror: Path, config: FashionMnistData) -> None:
    messages: list[str] = []
    fetch_mnist(config, messages.append)
    assert "MB, from http://127.0.0.1" in messages[-1]
    assert str(raw_folder(config)) in messages[-1]
    raw = load_mnist(config)
    assert raw.test is not None
    assert (raw.train.inputs.shape, raw.test.inputs.shape) == ((TRAIN, 784), (TEST, 784))
    assert raw.train.targets[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert raw.info.class_names[0] == "T-shirt"
    assert not list(raw_folder(config).glob(".fetch-*"))
    messages.clear()
    fetch_mnist(config, messages.append)
    assert messages == [], "intact files are not downloaded again"


def test_one_of_four_at_once_downloads(mirror: Path, config: FashionMnistData) -> None:
    notes: list[str] = []
    with ThreadPoolExecutor(4) as pool:  # each takes the lock of the folder by a file of its own, as a process does
        list(pool.map(lambda _: fetch_mnist(config, notes.append), range(4)))
    assert [note for note in notes if note.startswith("downloading")] == notes[1:]
    assert len(notes) == 2


def test_padding_adds_a_black_frame(mirror: Path, config: FashionMnistData) -> None:
    fetch_mnist(config, lambda _: None)
    plain, padded = (load_mnist(config.model_copy(update={"pad": pad})) for pad in (0, 2))
    images = padded.train.inputs.view(TRAIN, 32, 32)
    assert torch.equal(images[:, 2:30, 2:30].flatten(1), plain.train.inputs)
    assert images.sum() == plain.train.inputs.sum()
    assert padded.info.image_shape == (1, 32, 32)


def flip_pixel(content: bytearray) -> None:
    content[5000] ^= 1


def label_200(content: bytearray) -> None:
    content[8 + 5] = 200


def one_label_less(content: bytearray) -> None:
    content[4:8] = struct.pack(">i", TRAIN - 1)
    del content[-1]


def half(content: bytearray) -> None:
    del content[len(content) // 2 :]


def empty(content: bytearray) -> None:
    content.clear()


def other_shape(content: bytearray) -> None:
    content[8:16] = struct.pack(">ii", 14, 56)


def web_page(content: bytearray) -> None:
    content[:] = b"<html>Please log in</html>" * 9


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("train-images-idx3-ubyte", flip_pixel, "SHA-256 differs"),
        ("train-labels-idx1-ubyte", label_200, "label 200"),
        ("train-labels-idx1-ubyte", one_label_less, "shape 59 instead of 60"),
        ("t10k-images-idx3-ubyte", half, "bytes of content"),
        ("t10k-labels-idx1-ubyte", empty, "not an IDX file"),
        ("t10k-images-idx3-ubyte", other_shape, "shape 20×14×56 instead of 20×28×28"),
        ("train-images-idx3-ubyte", web_page, "not an IDX file"),
    ],
)
def test_damaged_files_are_reported_refused_and_repaired(
    mirror: Path, config: FashionMnistData, name: str, damage: object, words: str
) -> None:
    fetch_mnist(config, lambda _: None)
    file = raw_folder(config) / name
    content = bytearray(file.read_bytes())
    damage(content)  # type: ignore[operator]
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_mnist(config)
    assert f"{name} is damaged" in caught.value.message
    assert words in caught.value.message

    for archive in mirror.iterdir():
        archive.unlink()  # the local archives are intact, so the repair needs no network
    fetch_mnist(config, lambda _: None)
    assert len(load_mnist(config).train) == TRAIN


def test_a_pipe_in_place_of_a_file_does_not_block_and_is_repaired(mirror: Path, config: FashionMnistData) -> None:
    fetch_mnist(config, lambda _: None)
    file = raw_folder(config) / "train-images-idx3-ubyte"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte cannot be read \(it is not a regular file"):
        load_mnist(config)
    fetch_mnist(config, lambda _: None)
    assert len(load_mnist(config).train) == TRAIN


def test_a_mirror_with_wrong_content_changes_no_file(mirror: Path, config: FashionMnistData) -> None:
    (mirror / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DataError, match="cannot download Fashion-MNIST"):
        fetch_mnist(config, lambda _: None)
    assert [file.name for file in raw_folder(config).iterdir()] == [".lock"]


def test_the_hint_without_network_says_where_to_put_the_files(
    mirror: Path, config: FashionMnistData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError) as caught:
        fetch_mnist(config, lambda _: None)
    assert caught.value.exit_code == 3
    assert str(raw_folder(config)) in str(caught.value.hint)
    assert "`dlcli train -c digits` needs no download" in str(caught.value.hint)


def test_train_downloads_missing_data_after_a_message(
    mirror: Path, config: FashionMnistData, dlcli: Callable[..., Finished]
) -> None:
    root = str(config.root)
    assert dlcli("data", "check", "fashion_mnist", "--root", root).code == 3
    trained = dlcli("train", "-c", "fashion_mnist", f"data.root={root}", "training.epochs=1", "--json")
    assert trained.code == 0, trained.err
    lines = trained.err.splitlines()
    assert "downloading Fashion-MNIST, 31 MB, from http://127.0.0.1" in lines[1]
    assert lines[2].startswith("data")
    assert trained.out.count("\n") == 1, "torchvision must not print into the result"
    assert dlcli("data", "check", "fashion_mnist", "--root", root).code == 0
    assert "verified" in dlcli("data", "fetch", "fashion_mnist", "--root", root).out


def test_mnist_is_downloaded_to_its_folder_and_trains(
    mirror: Path, tmp_path: Path, dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    root = tmp_path / "data"
    missing = dlcli("data", "check", "mnist", "--root", str(root))
    assert missing.code == 3
    assert f"error: MNIST in {root}/MNIST/raw cannot be used: train-images-idx3-ubyte is missing" in missing.err
    assert dlcli("config", "init", "--data", "mnist", "-o", "mine.yaml").code == 0
    trained = dlcli("train", "-c", "mine.yaml", f"data.root={root}", "data.pad=2", "training.epochs=1")
    assert trained.code == 0, trained.err
    assert "downloading MNIST, 12 MB, from http://127.0.0.1" in trained.err
    raw = load_mnist(MnistData(name="mnist", root=str(root)))
    assert raw.info.name == "mnist"
    assert raw.info.class_names == tuple("0123456789")
    assert not (root / "FashionMNIST").exists()
    content = bytearray((root / "MNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes())
    flip_pixel(content)
    (root / "MNIST" / "raw" / "t10k-images-idx3-ubyte").write_bytes(content)
    assert "SHA-256 differs" in dlcli("data", "check", "mnist", "--root", str(root)).err


def test_mnist_has_the_files_of_torchvision_and_other_checksums_than_fashion_mnist() -> None:
    for data_set in DATA_SETS.values():
        assert {name.removesuffix(".gz") for name, _ in data_set.published.resources} == set(data_set.files)
        assert {file.examples for file in data_set.files.values()} == {60_000, 10_000}
    digests = [file.sha256 for data_set in DATA_SETS.values() for file in data_set.files.values()]
    assert len(set(digests)) == 8
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)


def test_the_real_data_set_equals_the_published_one(fashion_root: Path) -> None:
    raw = load_mnist(FashionMnistData(name="fashion_mnist", root=str(fashion_root)))
    assert raw.test is not None
    assert raw.train.targets.bincount().tolist() == [6000] * 10
    assert raw.test.targets.bincount().tolist() == [1000] * 10
    published = torchvision.datasets.FashionMNIST(str(fashion_root))
    assert torch.equal(raw.train.inputs, published.data.flatten(1).float())
    assert torch.equal(raw.train.targets, published.targets)
    assert [name.split("/")[0] for name in published.classes] == list(DATA_SETS["fashion_mnist"].labels)
    assert {name.removesuffix(".gz") for name, _ in published.resources} == set(DATA_SETS["fashion_mnist"].files)


def mutations(content: bytes, draw: random.Random) -> Iterator[bytes]:
    """Yield endless mutations of a file, as made by a bad disk, a broken download or another program."""
    while True:
        start = draw.randrange(len(content))
        match draw.randrange(6):
            case 0:
                yield content[:start] + bytes([content[start] ^ 1 << draw.randrange(8)]) + content[start + 1 :]
            case 1:
                yield content[:start]
            case 2:
                yield content + draw.randbytes(draw.randrange(1, 50))
            case 3:
                yield content[:start] + bytes(min(64, len(content) - start)) + content[start + 64 :]
            case 4:
                yield draw.randbytes(16) + content[16:]
            case 5:
                yield content[:start] + content[start + 1 :]


def test_every_mutated_file_is_refused_or_unchanged(mirror: Path, config: FashionMnistData) -> None:
    fetch_mnist(config, lambda _: None)
    raw, draw = raw_folder(config), random.Random(0)
    expected = load_mnist(config)
    refused = same = 0
    for name in DATA_SETS["fashion_mnist"].files:
        path = raw / name
        whole = path.read_bytes()
        for mutated in itertools.islice(mutations(whole, draw), 500):
            path.write_bytes(mutated)
            try:
                loaded = load_mnist(config)
            except MissingDataError as error:
                refused += f"{name} is damaged (" in error.message
            else:
                assert mutated == whole
                assert torch.equal(loaded.train.inputs, expected.train.inputs)
                same += 1
        path.write_bytes(whole)
    assert refused + same == 2000
    assert refused >= 1800


def test_every_mutated_archive_is_refused_or_has_no_effect(
    mirror: Path, config: FashionMnistData, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_mnist(config, lambda _: None)
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    raw, draw = raw_folder(config), random.Random(0)
    contents = {name: (raw / name).read_bytes() for name in DATA_SETS["fashion_mnist"].files}
    refused = same = 0
    for name in DATA_SETS["fashion_mnist"].files:
        archive = raw / f"{name}.gz"
        whole = archive.read_bytes()
        for mutated in itertools.islice(mutations(whole, draw), 60):
            (raw / name).unlink(missing_ok=True)
            archive.write_bytes(mutated)
            try:
                fetch_mnist(config, lambda _: None)
            except DataError:
                refused += not (raw / name).exists()
            else:
                assert (raw / name).read_bytes() == contents[name]
                same += 1
        archive.write_bytes(whole)
        (raw / name).write_bytes(contents[name])
    assert refused + same == 240
    assert refused >= 200
    assert not list(raw.glob(".fetch-*"))


def test_a_forged_archive_with_a_matching_checksum_is_refused(
    mirror: Path, config: FashionMnistData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision verifies only the MD5 of an archive, not its contents."""
    name = "train-labels-idx1-ubyte"
    forged = gzip.compress(idx_bytes(np.full(TRAIN, 200, dtype=np.uint8)), mtime=0)
    (mirror / f"{name}.gz").write_bytes(forged)
    resources = [
        (file, hashlib.md5(forged).hexdigest() if file == f"{name}.gz" else md5)
        for file, md5 in torchvision.datasets.FashionMNIST.resources
    ]
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", resources)
    with pytest.raises(DataError, match=r"the downloaded files are not Fashion-MNIST: .*label 200"):
        fetch_mnist(config, lambda _: None)
    assert not (raw_folder(config) / name).exists()
