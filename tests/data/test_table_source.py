"""Tables as data: encoding as in scikit-learn, splits, and nothing learned from validation and test examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import dlcli
from dlcli import api
from dlcli.config.load import load_config
from dlcli.data.propose import propose_config
from dlcli.data.sources import load_splits
from dlcli.data.splits import Splits
from dlcli.errors import ConfigError, DataError
from dlcli.runs.run import open_run
from dlcli.runs.trained_run import load_trained_run

ISLANDS = ("Biscoe", "Dream", "Torgersen")


def make_rows(n: int, seed: int = 0) -> list[dict[str, str]]:
    """Return examples of three kinds of penguins, with gaps, a rare island and a new one in the last rows."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        kind = int(draw.integers(3))
        row = {
            "species": ("Adelie", "Chinstrap", "Gentoo")[kind],
            "island": ISLANDS[int(draw.integers(3))] if i % 17 else "Rare",
            "bill": f"{38 + 5 * kind + draw.normal():.2f}" if i % 11 else "",
            "mass": f"{3700 + 700 * kind + 200 * draw.normal():.0f}",
            "male": ("true", "false")[int(draw.integers(2))],
            "year": str(2007 + i % 3),
            "site": f"s{i % 13}",
        }
        rows.append(row)
    return rows


def write_csv(path: Path, rows: Sequence[Mapping[str, str]], separator: str = ",") -> Path:
    lines = [separator.join(rows[0]), *(separator.join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def load(path: Path, seed: int = 0, **settings: Any) -> Splits:
    data = {"name": "csv", "path": str(path), "target": "species", "missing": "mean", **settings}
    task = "regression" if data["target"] == "mass" else "classification"
    return load_splits(load_config({"task": task, "seed": seed, "data": data}).config)


@pytest.mark.parametrize("min_frequency", [1, 20])
@pytest.mark.parametrize("missing", ["mean", "median"])
def test_inputs_equal_those_of_scikit_learn(tmp_path: Path, missing: str, min_frequency: int) -> None:
    rows = [{**row, "part": ("train", "val", "test")[i % 3]} for i, row in enumerate(make_rows(600))]
    rows[1]["island"] = "New"  # in val only
    splits = load(
        write_csv(tmp_path / "t.csv", rows),
        split="part",
        ignore=["site"],
        missing=missing,
        min_frequency=min_frequency,
        features=["bill", "mass", "year", "island"],
    )
    numbers = np.array([[float(row[name] or "nan") for name in ("bill", "mass", "year")] for row in rows])
    islands = np.array([[row["island"]] for row in rows], dtype=object)
    table = np.concatenate([numbers.astype(object), islands], axis=1)
    options: dict[str, Any] = {"handle_unknown": "ignore"}
    if min_frequency > 1:
        options = {"handle_unknown": "infrequent_if_exist", "min_frequency": min_frequency}
    transformer = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy=missing), StandardScaler()), [0, 1, 2]),
            ("islands", OneHotEncoder(sparse_output=False, **options), [3]),
        ]
    )
    part = np.array([row["part"] for row in rows])
    transformer.fit(table[part == "train"])
    for name in ("train", "val", "test"):
        expected = transformer.transform(table[part == name]).astype(float)
        assert np.abs(getattr(splits, name).inputs.numpy() - expected).max() <= 1e-12
    assert splits.info.feature_names[:4] == ("bill", "mass", "year", "island=Biscoe")


def test_nothing_is_learned_from_val_and_test(tmp_path: Path) -> None:
    rows = [{**row, "part": ("train", "val", "test")[i % 3]} for i, row in enumerate(make_rows(300))]
    changed = [
        row
        if row["part"] == "train"
        else {**row, "mass": f"{1000 * float(row['mass'])}", "island": "Elsewhere", "species": "Gentoo"}
        for row in rows
    ]
    first, second = (
        load(write_csv(tmp_path / f"{i}.csv", table), split="part", ignore=["site"])
        for i, table in enumerate((rows, changed))
    )
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert torch.equal(first.train.targets, second.train.targets)
    assert first.info.columns == second.info.columns
    assert any("Elsewhere" in note for note in second.notes)
    assert any("val has no example of Adelie, Chinstrap" in note for note in second.notes)


def test_groups_times_and_random_test_parts(tmp_path: Path) -> None:
    for seed in range(20):
        rows = [
            {**row, "date": f"2025-{1 + i // 28 % 12:02}-{1 + i % 28:02}", "id": str(i)}
            for i, row in enumerate(make_rows(150, seed))
        ]
        path = write_csv(tmp_path / f"{seed}.csv", rows)
        by_group = load(path, seed, group="site", ignore=["date"], features=["id", "mass"])
        index = [examples(by_group, name) for name in ("train", "val", "test")]
        sites = [{i % 13 for i in part} for part in index]
        assert sum(map(len, sites)) == len(set.union(*sites)), "a site is in two splits"
        by_time = load(path, seed, time="date", features=["id", "mass"])
        dates = [[rows[i]["date"] for i in examples(by_time, name)] for name in ("train", "val", "test")]
        assert max(dates[0]) < min(dates[1])
        assert max(dates[1]) < min(dates[2])
    tests = [examples(load(path, seed, features=["id", "mass"]), "test") for seed in range(10)]
    assert all(part == tests[0] for part in tests)
    vals = [examples(load(path, seed, features=["id", "mass"]), "val") for seed in range(3)]
    assert vals[0] != vals[1]


def examples(splits: Splits, name: str) -> list[int]:
    """Return the column `id`, which is the first feature, of a split."""
    return splits.input_scaling.invert(getattr(splits, name).inputs)[:, 0].round().long().tolist()


def test_missing_values_follow_the_setting(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", make_rows(100))
    with pytest.raises(DataError, match=r"t\.csv:2: column 'bill' has no value, as in 9 more rows") as caught:
        load(path, missing="error", ignore=["site"])
    assert "data.missing=mean" in str(caught.value.hint)
    dropped = load(path, missing="drop", ignore=["site"])
    assert len(dropped.train) + len(dropped.val) + len(dropped.test) == 90


def test_regression_on_several_targets_and_files(tmp_path: Path) -> None:
    train, test = (write_csv(tmp_path / f"{name}.csv", make_rows(n, n)) for name, n in (("train", 200), ("test", 50)))
    data = {
        "name": "csv",
        "train": str(train),
        "test": str(test),
        "target": ["mass", "year"],
        "missing": "mean",
        "ignore": ["site"],
    }
    splits = load_splits(load_config({"task": "regression", "data": data}).config)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (180, 20, 50)
    assert (splits.info.out_features, splits.info.target_name) == (2, "mass, year")
    restored = splits.target_scaling.invert(splits.test.targets)
    assert restored[:3, 0].tolist() == pytest.approx([float(row["mass"]) for row in make_rows(50, 50)[:3]])


def test_a_run_on_a_table_evaluates_predicts_and_refuses_changed_data(clean_place: Path) -> None:
    path = write_csv(clean_place / "penguins.csv", make_rows(300))
    Path("penguins.yaml").write_text(
        "task: classification\ndata: {name: csv, path: penguins.csv, target: species, ignore: [site], missing: mean}\n"
    )
    result = dlcli.train("penguins.yaml", ["training.epochs=30", "model.hidden_sizes=[8]"])
    run = dlcli.open_run(result)
    assert run.evaluate().metrics["accuracy"] > 0.9
    assert run.verify().identical
    trained = load_trained_run(open_run(result.run))
    predicted = run.predictor.predict(trained.inputs(trained.splits.test))
    assert (predicted - trained.predict(trained.splits.test)).abs().max() < 1e-6
    assert [column.name for column in run.predictor.info.columns] == ["island", "bill", "mass", "male", "year"]
    path.write_text(path.read_text().replace("Dream", "Biscoe", 1))
    with pytest.raises(DataError) as caught:
        dlcli.open_run(result).evaluate()
    assert caught.value.exit_code == 3


def test_wrong_values_of_ignored_columns_do_not_matter(tmp_path: Path) -> None:
    rows = [{**row, "note": "?!" if i == 40 else str(i)} for i, row in enumerate(make_rows(100))]
    path = write_csv(tmp_path / "t.csv", rows)
    with pytest.raises(DataError, match=r"t\.csv:42: column 'note'"):
        load(path)
    splits = load(path, ignore=["note", "site"])
    assert len(splits.train) + len(splits.val) + len(splits.test) == 100


def test_files_of_one_name_have_separate_checksums(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        write_csv(tmp_path / part / "data.csv", make_rows(100, len(part)))
    data = {"name": "csv", "target": "species", "missing": "mean", "ignore": ["site"]}
    data |= {part: str(tmp_path / part / "data.csv") for part in ("train", "test")}
    checksums = load_splits(load_config({"task": "classification", "data": data}).config).info.checksums
    assert list(checksums) == ["train", "test"]
    assert len(set(checksums.values())) == 2


def test_class_names_are_in_natural_order(tmp_path: Path) -> None:
    rows = [{"x": str(i), "class": ("10", "9", "x²", "²", "Ünder 5")[i % 5]} for i in range(100)]
    assert load(write_csv(tmp_path / "t.csv", rows), target="class", features=["x"]).info.class_names[:2] == ("9", "10")


def test_a_name_with_a_line_break_adds_no_setting_to_a_proposed_config(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"a\nseed: 7","b\n# x",y\n' + "".join(f"{i % 5},,{i % 2}\n" for i in range(50)))
    text = propose_config(str(tmp_path / "t.csv"), "y", None, tmp_path).text
    (tmp_path / "t.yaml").write_text(text)
    assert load_config(tmp_path / "t.yaml").config.seed == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "specie"}, "did you mean species?"),
        ({"ignore": ["sight"]}, "column 'sight' is not in the file"),
        ({"max_categories": 2}, "more than 2"),
        ({"unknown": "error", "split": "site"}, "must contain train, val or test"),
        ({"target": "mass", "features": ["mass"]}, "is target and feature"),
    ],
)
def test_wrong_columns_are_reported(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    path = write_csv(tmp_path / "t.csv", make_rows(100))
    with pytest.raises(DataError) as caught:
        load(path, **settings)
    assert message in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"target": "a"}, "data.path is missing"),
        ({"path": "a.csv"}, "data.target"),
        ({"path": "a.csv", "train": "b.csv", "target": "a"}, "cannot be combined with data.train"),
        ({"path": "a.csv", "test": "b.csv", "target": "a"}, "needs data.train"),
        ({"path": "a.csv", "target": ["a", "b"]}, "must be a single column for classification"),
        ({"path": "a.csv", "target": "a", "time": "b", "group": "c"}, "cannot be combined with data.time"),
        ({"path": "a.csv", "target": "a", "ignore": ["b", "a"]}, "data.ignore leaves out 'a'"),
    ],
)
def test_contradictory_settings_are_config_errors(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config({"task": "classification", "data": {"name": "csv", **data}})


def test_columns_are_described_by_name_in_explain_and_the_report(clean_place: Path) -> None:
    write_csv(clean_place / "penguins.csv", make_rows(300))
    data = {"name": "csv", "path": "penguins.csv", "target": "species", "ignore": ["site"], "missing": "mean"}
    config = {"task": "classification", "data": data, "training": {"epochs": 2}}
    inputs = {name: (kind, text) for name, kind, text in api.explain(load_config(config)).inputs}
    splits = load_splits(load_config(config).config)
    place = splits.info.feature_names.index("mass")
    shift, scale = (float(values[place]) for values in (splits.input_scaling.shift, splits.input_scaling.scale))
    assert inputs["mass"] == ("number", f"(x − {shift:.4g}) / {scale:.4g}")
    assert inputs["island"] == ("category", "one-hot, 4 features: Biscoe, Dream, Rare, Torgersen")
    run = dlcli.train(config)
    assert f"penguins.csv: {len(splits.train)} train" in dict(dlcli.plan(config).essentials)["data"]
    assert "3 classes of species" in dict(dlcli.plan(config).essentials)["task"]
    page = Path(api.report(run).file).read_text(encoding="utf-8")
    assert "classification of penguins.csv" in page
    assert f"(x − {shift:.4g}) / {scale:.4g}" in page
