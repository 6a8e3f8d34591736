"""Loading of MNIST and Fashion-MNIST: download by torchvision and verification.

torchvision checks the downloaded archives but not the extracted files: a flipped pixel, a label 200 or 99 labels for
100 images go unnoticed. This module verifies the SHA-256 of every file before use, wherever the file came from.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlcli.config.paths import open_regular
from dlcli.config.schema import FashionMnistData
from dlcli.data.published import DATA_SETS, DataSet, IdxFile
from dlcli.data.splits import DataInfo, MissingDataError, RawData, Split
from dlcli.errors import DataError

IMAGE_SIZE = 28
_IMAGES_MAGIC, _LABELS_MAGIC = 0x803, 0x801  # IDX format: unsigned bytes in 3 dimensions and in 1
_TIMEOUT_SECONDS = 30


def data_root(config: FashionMnistData) -> Path:
    """Return the folder that holds the folder of the data set, such as `FashionMNIST/raw/`."""
    if config.root is not None:
        return Path(config.root)
    from platformdirs import user_cache_path

    return user_cache_path("dlcli")


def load_mnist(config: FashionMnistData) -> RawData:
    """Load MNIST or Fashion-MNIST from `data.root`: pixels 0..255, flattened, padded with black.

    Raises:
        MissingDataError: If files are missing, damaged or not the published ones; the message names each file.
    """
    data_set, raw = DATA_SETS[config.name], _raw_folder(config)
    contents, problems = _read_files(raw, data_set)
    if problems:
        raise MissingDataError(f"{data_set.title} in {raw} cannot be used: {'; '.join(problems)}", hint=_hint(raw))
    size = IMAGE_SIZE + 2 * config.pad
    info = DataInfo(
        name=config.name,
        task="classification",
        in_features=size * size,
        out_features=len(data_set.labels),
        class_names=data_set.labels,
        image_shape=(1, size, size),
        checksums={name: file.sha256 for name, file in data_set.files.items()},
    )
    train, test = (
        Split(_flatten(contents[f"{part}-images-idx3-ubyte"], config.pad), contents[f"{part}-labels-idx1-ubyte"].long())
        for part in ("train", "t10k")
    )
    return RawData(info, train, test)


def fetch_mnist(config: FashionMnistData, notify: Callable[[str], None]) -> None:
    """Download or repair missing and damaged files in `data.root`; reuse intact archives in that folder.

    Files are created and verified in a temporary folder and then moved into place under a lock, so that a killed or a
    second process never leaves a partial file.

    Args:
        config: Data section; `root` selects the folder.
        notify: Called with one-line messages about damaged files, and about the size, source and target of a download.

    Raises:
        DataError: If the files cannot be downloaded or written, or the download is not the published one.
    """
    from filelock import FileLock

    data_set, raw = DATA_SETS[config.name], _raw_folder(config)
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with FileLock(raw / ".lock"):
            if problems := _read_files(raw, data_set)[1]:
                notify(f"{data_set.title}: {'; '.join(problems)}")
                _fetch_into(raw, data_set, notify)
    except OSError as error:
        raise DataError(
            f"cannot write {data_set.title} to {raw}: {error.strerror or error}", hint=_hint(raw)
        ) from error


def _fetch_into(raw: Path, data_set: DataSet, notify: Callable[[str], None]) -> None:
    from torchvision.datasets.utils import check_integrity

    published, title = data_set.published, data_set.title
    with tempfile.TemporaryDirectory(dir=raw, prefix=".fetch-") as staging_root:
        staging = Path(staging_root, data_set.class_name, "raw")
        staging.mkdir(parents=True)
        archives = [name for name, md5 in published.resources if check_integrity(raw / name, md5)]
        for name in archives:
            shutil.copyfile(raw / name, staging / name)
        if len(archives) < len(published.resources):
            notify(f"downloading {title}, {data_set.megabytes} MB, from {published.mirrors[0]} into {raw}")
        try:
            with _quiet_and_bounded():
                published(staging_root, download=True)
        except (RuntimeError, ValueError, AssertionError, EOFError, OSError) as error:
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise DataError(f"cannot download {title}: {reason[0]}", hint=_hint(raw)) from error
        if problems := _read_files(staging, data_set)[1]:
            raise DataError(f"the downloaded files are not {title}: {'; '.join(problems)}", hint=_hint(raw))
        for file in sorted(staging.iterdir()):
            os.replace(file, raw / file.name)


@contextlib.contextmanager
def _quiet_and_bounded() -> Iterator[None]:
    """Silence torchvision's progress bars, and time out if the server does not respond."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _read_files(raw: Path, data_set: DataSet) -> tuple[dict[str, Tensor], list[str]]:
    """Return the contents of the intact files, and a description of each problem."""
    contents: dict[str, Tensor] = {}
    problems: list[str] = []
    for name, expected in data_set.files.items():
        try:
            contents[name] = _read_idx(raw / name, expected, len(data_set.labels))
        except FileNotFoundError:
            problems.append(f"{name} is missing")
        except OSError as error:
            problems.append(f"{name} cannot be read ({error.strerror})")
        except ValueError as error:
            problems.append(f"{name} is damaged ({error})")
    return contents, problems


def _read_idx(path: Path, expected: IdxFile, n_classes: int) -> Tensor:
    """Return uint8 images of shape (N, 28, 28) or labels of shape (N,).

    Raises:
        ValueError: If the file differs from the published file; the message describes the difference.
    """
    with open_regular(path) as file:
        content = np.fromfile(file, dtype=np.uint8)
    images = "images" in path.name
    header = np.frombuffer(content[: 16 if images else 8].tobytes(), dtype=">i4")
    shape = (expected.examples, IMAGE_SIZE, IMAGE_SIZE) if images else (expected.examples,)
    if len(header) != 1 + len(shape) or header[0] != (_IMAGES_MAGIC if images else _LABELS_MAGIC):
        raise ValueError("not an IDX file of the expected type")
    if tuple(header[1:]) != shape:
        raise ValueError(f"shape {_format_shape(header[1:])} instead of {_format_shape(shape)}")
    values = content[header.nbytes :]
    if len(values) != np.prod(shape):
        raise ValueError(f"{len(values)} bytes of content instead of {np.prod(shape)}")
    if not images and values.max() >= n_classes:
        raise ValueError(f"label {values.max()}, but the largest valid label is {n_classes - 1}")
    if hashlib.sha256(content.data).hexdigest() != expected.sha256:
        raise ValueError("SHA-256 differs from the published file")
    return torch.from_numpy(values.reshape(shape))


def _flatten(images: Tensor, pad: int) -> Tensor:
    """Return the pixels as bytes of shape (N, pixels), which take a quarter of the memory of float32."""
    padded = torch.nn.functional.pad(images, (pad, pad, pad, pad)) if pad else images  # pad() copies even for 0
    return padded.flatten(1)


def _raw_folder(config: FashionMnistData) -> Path:
    return data_root(config) / DATA_SETS[config.name].class_name / "raw"


def _format_shape(shape: tuple[int, ...] | np.ndarray) -> str:
    return "×".join(str(length) for length in shape)


def _hint(raw: Path) -> str:
    return (
        f"put the four *-ubyte files (or their .gz archives) into {raw}\n"
        "or pass a folder that contains them: data.root=DIR, or --data-root DIR for an existing run\n"
        "`dlcli train -c digits` needs no download"
    )
