"""Nine real tables: nothing is found in them that is not so, and what a proposed config reaches."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished
from nine_tables import NINE, find_table

import dlcli
from dlcli.config.load import load_config
from dlcli.data.check.check import check_data, check_file

# Counts, means and deviations agree with a separate computation by csv and statistics on the same train and val rows.
FOUND = {
    "iris": {("copies", "")},  # rows 102 and 143
    "wine": set(),
    "breast_cancer": {  # 542.2 beside a mean of 38, 0.396 beside 0.03, 0.02984 beside 0.0036
        *(("outlier", "area error"), ("outlier", "concavity error"), ("outlier", "fractal dimension error"))
    },
    "diabetes": set(),
    "penguins": {("few-values", "year")},
    "Carseats": {("few-values", "Education")},
    "Default": set(),
    "diamonds": {  # table of 79 is beyond 10 σ only because σ leaves the extremes out; 146 rows of the file repeat
        *(("outlier", "depth"), ("outlier", "table"), ("outlier", "y"), ("outlier", "z")),
        *(("copies", ""), ("contradictions", "price")),
    },
    "seattle-weather": {("date", "date"), ("copies", ""), ("contradictions", "weather")},
}


@pytest.mark.parametrize("name", NINE)
def test_nothing_is_found_that_is_not_so(name: str, tmp_path: Path) -> None:
    check = check_file(str(find_table(name, tmp_path)), NINE[name].target)
    assert {(finding.name, finding.column) for finding in check.findings} == FOUND[name]


@pytest.mark.parametrize(("file", "target", "column"), [("Wage", "wage", "logwage"), ("Smarket", "Direction", "Today")])
def test_real_columns_that_give_the_target_away_are_found(file: str, target: str, column: str, tmp_path: Path) -> None:
    path = find_table(file, tmp_path, f"ISLP/data/{file}.csv")
    data = {"name": "csv", "path": str(path), "target": target}
    task = "regression" if target == "wage" else "classification"
    checks = [check_file(str(path), target), check_data(load_config({"task": task, "data": data}).config)]
    for check in checks:
        assert [finding.column for finding in check.findings if finding.name == "gives-target-away"] == [column]
    assert f"data.ignore=[{column}]" in next(f.advice for f in checks[1].findings if f.name == "gives-target-away")


@pytest.mark.long
@pytest.mark.parametrize("name", NINE)
def test_a_proposed_config_trains_as_it_is(name: str, dlcli: Callable[..., Finished], clean_place: Path) -> None:
    """Print the mean of five seeds, and compare it with what the table allows."""
    target, path = NINE[name].target, str(find_table(name, clean_place))
    assert dlcli("config", "init", "--data", path, "--target", target, "-o", "mine.yaml").code == 0
    assert dlcli("data", "check", "mine.yaml").code == 0
    assert dlcli("train", "-c", "mine.yaml", "--eval", "--run-dir", "run0").code == 0
    scores = [_score(seed) for seed in range(5)]
    print(f"{name:16} {statistics.mean(scores):.4f}, from {min(scores):.4f} to {max(scores):.4f}")
    assert NINE[name].least is None or statistics.mean(scores) >= NINE[name].least


def _score(seed: int) -> float:
    run = dlcli.train(load_config("mine.yaml", [f"seed={seed}", "plots=never"]), run_dir=Path(f"seed{seed}"))
    metrics = dlcli.evaluate(run, baselines=False).metrics
    return float(metrics["accuracy"] if "accuracy" in metrics else metrics["r2"])
