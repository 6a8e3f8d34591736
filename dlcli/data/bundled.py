"""Data sets bundled with scikit-learn, available offline."""

from __future__ import annotations

import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlcli.config.schema import DiabetesData, DigitsData
from dlcli.data.splits import DataInfo, RawData, Split


def load_digits(config: DigitsData) -> RawData:
    """Load 1,797 handwritten digits, 8×8, grey values 0..16 (UCI optdigits, test part)."""
    inputs, labels = _read_digits()
    info = DataInfo(
        name=config.name,
        task="classification",
        in_features=64,
        out_features=10,
        class_names=tuple(str(digit) for digit in range(10)),
        image_shape=(1, 8, 8),
    )
    return RawData(info, Split(inputs, labels.long()))


def load_diabetes(config: DiabetesData) -> RawData:
    """Load 442 patients: ten baseline features in their original units, and disease progression one year later.

    Source: Efron, Hastie, Johnstone and Tibshirani (2004), "Least Angle Regression".
    """
    inputs, targets = _read_diabetes()
    info = DataInfo(
        name=config.name,
        task="regression",
        in_features=10,
        out_features=1,
        feature_names=("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
        target_name="disease progression",
        target_unit="points",
    )
    return RawData(info, Split(inputs, targets.unsqueeze(1)))


# Importing scikit-learn takes a second; reading its files takes some hundredths of a second. scikit-learn is imported
# only if its files differ from the versions hashed below.


def _read_digits() -> tuple[Tensor, Tensor]:
    content = _read_file("digits.csv.gz", "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22")
    if content is None:
        from sklearn.datasets import load_digits as load

        bunch = load()
        return _as_tensors(bunch.data, bunch.target)
    table = np.loadtxt(content, delimiter=",")
    return _as_tensors(table[:, :-1], table[:, -1])


def _read_diabetes() -> tuple[Tensor, Tensor]:
    data = _read_file("diabetes_data_raw.csv.gz", "7fc0ded571454b1982210d3bb43f0aca44eae01a0b8654a3b24022bdb6b38009")
    target = _read_file("diabetes_target.csv.gz", "8e53f65eb811df43c206f3534bb3af0e5fed213bc37ed6ba36310157d6023803")
    if data is None or target is None:
        from sklearn.datasets import load_diabetes as load

        bunch = load(scaled=False)
        return _as_tensors(bunch.data, bunch.target)
    return _as_tensors(np.loadtxt(data), np.loadtxt(target))


def _read_file(name: str, sha256: str) -> list[str] | None:
    """Return the lines of a data file of scikit-learn; None if the file is missing or has another hash."""
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        return None
    try:
        content = Path(package.submodule_search_locations[0], "datasets", "data", name).read_bytes()
    except OSError:
        return None
    return gzip.decompress(content).decode().splitlines() if hashlib.sha256(content).hexdigest() == sha256 else None


def _as_tensors(data: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.tensor(data, dtype=torch.float32), torch.tensor(target, dtype=torch.float32)
