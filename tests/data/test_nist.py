"""Reference data of NIST: least squares on a table reaches the certified residual sums of squares."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import dlcli

FOLDER = Path(__file__).parent / "nist"


def write_with_powers(name: str, degree: int) -> int:
    """Write the table NAME.csv with the powers of its column x up to `degree`, and return its number of rows."""
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    if degree > 1:
        header += [f"x{power}" for power in range(2, degree + 1)]
        rows = [[*row, *(repr(float(row[1]) ** power) for power in range(2, degree + 1))] for row in rows]
    with open(f"{name}.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return len(rows)


@pytest.mark.parametrize(
    ("name", "target", "degree", "certified", "tolerance"),
    [
        ("norris", "y", 1, 26.6173985294224, 1e-9),
        ("longley", "employed", 1, 836424.055505915, 1e-9),
        ("wampler4", "y", 5, 835542680000.000, 1e-9),
        ("filip", "y", 10, 7.95851382172941e-4, 1e-6),
    ],
)
def test_least_squares_reaches_the_certified_residual_sum_of_squares(
    clean_place: Path, name: str, target: str, degree: int, certified: float, tolerance: float
) -> None:
    rows = write_with_powers(name, degree)
    files = dict.fromkeys(("train", "val", "test"), f"{name}.csv")
    config = {
        "task": "regression",
        "data": {"name": "csv", "target": target, **files},
        "model": {"hidden_sizes": []},
        "training": {"epochs": 1, "precision": "float64"},
    }
    result = dlcli.open_run(dlcli.train(config)).evaluate()
    fit = result.baselines["least_squares"]
    for mse in (fit["sgd"]["least_squares_train_mse"], fit["metrics"]["rmse"] ** 2):
        assert mse * rows == pytest.approx(certified, rel=tolerance)
