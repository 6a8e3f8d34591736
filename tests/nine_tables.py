"""Nine tables that beginners use, as CSV files: four of scikit-learn, five of packages of the extra `tables`."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sklearn import datasets


class TableFile(NamedTuple):
    """Table and the column to predict.

    Attributes:
        file: Path of the CSV file within its package; "" for a table of scikit-learn.
        least: Least accuracy or R² on test, as the mean of five seeds; None if only training must work.
    """

    target: str
    file: str = ""
    least: float | None = None


NINE = {
    "iris": TableFile("target"),
    "wine": TableFile("target"),
    "breast_cancer": TableFile("target"),
    "diabetes": TableFile("target"),
    "penguins": TableFile("species", "palmerpenguins/data/penguins.csv", 0.97),
    "Carseats": TableFile("Sales", "ISLP/data/Carseats.csv", 0.80),
    "Default": TableFile("default", "ISLP/data/Default.csv", 0.97),
    "diamonds": TableFile("price", "plotnine/data/diamonds.csv", 0.97),
    "seattle-weather": TableFile("weather", "vega_datasets/_data/seattle-weather.csv"),
}


def find_table(name: str, folder: Path, file: str | None = None) -> Path:
    """Return the path of one of the nine tables, or of `file` of a package; skip the test if the package is missing."""
    file = NINE[name].file if file is None else file
    if not file:
        return _write_sklearn(name, folder / f"{name}.csv")
    package, _, rest = file.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs the package {package}: see the extra `tables` in pyproject.toml")
    return Path(spec.origin).parent / rest


def _write_sklearn(name: str, path: Path) -> Path:
    bunch: Any = getattr(datasets, f"load_{name}")()
    classes = getattr(bunch, "target_names", None)
    targets = bunch.target if classes is None else classes[bunch.target]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*bunch.feature_names, "target"])
        writer.writerows([*row, target] for row, target in zip(bunch.data.tolist(), targets.tolist(), strict=True))
    return path
