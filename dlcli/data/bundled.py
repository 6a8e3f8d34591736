"""Real data that comes with scikit-learn and needs no network."""

from __future__ import annotations

import torch

from dlcli.config.schema import DiabetesData, DigitsData
from dlcli.data.splits import DataInfo, RawData, Split


def load_digits(config: DigitsData) -> RawData:
    """Return 1,797 handwritten digits, 8×8, grey values 0..16 (UCI optdigits, test part)."""
    from sklearn.datasets import load_digits as load

    bunch = load()
    info = DataInfo(
        name=config.name,
        task="classification",
        in_features=64,
        out_features=10,
        class_names=tuple(str(digit) for digit in range(10)),
        image_shape=(8, 8),
    )
    return RawData(info, Split(torch.tensor(bunch.data, dtype=torch.float32), torch.tensor(bunch.target).long()))


def load_diabetes(config: DiabetesData) -> RawData:
    """Return 442 patients: ten baseline features, and disease progression one year later.

    Efron, Hastie, Johnstone and Tibshirani (2004), "Least Angle Regression". Features in their own units.
    """
    from sklearn.datasets import load_diabetes as load

    bunch = load(scaled=False)
    info = DataInfo(
        name=config.name,
        task="regression",
        in_features=10,
        out_features=1,
        feature_names=tuple(bunch.feature_names),
        target_name="disease progression",
        target_unit="points",
    )
    targets = torch.tensor(bunch.target, dtype=torch.float32).unsqueeze(1)
    return RawData(info, Split(torch.tensor(bunch.data, dtype=torch.float32), targets))
