"""Tables as data: encoding as in scikit-learn, splits, and nothing learned from validation and test examples."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Finished
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import dlcli
from dlcli import api
from dlcli.config.files import Source
from dlcli.config.load import load_config
from dlcli.data.propose import propose_config
from dlcli.data.sources import load_raw, load_splits
from dlcli.data.splits import Splits
from dlcli.errors import ConfigError, DataError, UsageError
from dlcli.runs.checkpoint import load_checkpoint
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
    config = {"task": task, "seed": seed, "data": data, "training": {"precision": "float64"}}
    return load_splits(load_config(config).config)


def draw_table(seed: int) -> list[dict[str, str]]:
    """Return a table with gaps, times in seconds, a constant, rare categories, and categories that train lacks."""
    draw = np.random.default_rng(seed)
    n, shares = 600, [0.4, 0.3, 0.2, 0.06, 0.03, 0.01]
    columns = {
        "part": np.array(["train", "val", "test"])[draw.integers(0, 3, n)],
        "y": np.array(["no", "yes"])[draw.integers(0, 2, n)],
        "size": draw.normal(size=n) * 10.0 ** draw.integers(-9, 9),
        "time": 1.7e9 + draw.integers(0, 1000, n),
        "count": draw.poisson(3, n),
        "constant": np.full(n, 0.1),
        "kind": np.array(["b", "a", "Z", "é", "NA", "rare"])[draw.choice(6, n, p=shares)],
        "place": np.array(["x", "y", "z"])[draw.integers(0, 3, n)],
    }
    rows = [dict(zip(columns, map(str, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    for row in rows:
        for name in ("size", "count", "place"):
            row[name] = "" if draw.random() < 0.15 else row[name]
        row["kind"] = "new" if row["part"] != "train" and draw.random() < 0.1 else row["kind"]
    return rows


NUMBERS, CATEGORIES = ("size", "time", "count", "constant"), ("kind", "place")


@pytest.mark.parametrize("min_frequency", [1, 20])
@pytest.mark.parametrize("seed", range(6))
def test_inputs_equal_those_of_scikit_learn(tmp_path: Path, seed: int, min_frequency: int) -> None:
    rows, missing = draw_table(seed), ("mean", "median")[seed % 2]
    path = write_csv(tmp_path / "t.csv", rows)
    features = [*NUMBERS, *CATEGORIES]
    splits = load(path, target="y", split="part", features=features, missing=missing, min_frequency=min_frequency)
    numbers = [[float(row[name] or "nan") for name in NUMBERS] for row in rows]
    categories = [[row[name] or np.nan for name in CATEGORIES] for row in rows]
    table = np.concatenate([np.array(numbers, dtype=object), np.array(categories, dtype=object)], axis=1)
    options: dict[str, Any] = {"handle_unknown": "ignore"}
    if min_frequency > 1:
        options = {"handle_unknown": "infrequent_if_exist", "min_frequency": min_frequency}
    transformer = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy=missing), StandardScaler()), [0, 1, 2, 3]),
            ("categories", OneHotEncoder(sparse_output=False, **options), [4, 5]),
        ]
    )
    part = np.array([row["part"] for row in rows])
    transformer.fit(table[part == "train"])
    for name in ("train", "val", "test"):
        expected = transformer.transform(table[part == name]).astype(float)
        assert np.abs(getattr(splits, name).inputs.numpy() - expected).max() <= 1e-12
    assert splits.info.feature_names[:4] == NUMBERS
    assert ("kind=NA" in splits.info.feature_names) == (min_frequency == 1)
    assert ("kind=(other)" in splits.info.feature_names) == (min_frequency > 1)
    assert "place=(missing)" in splits.info.feature_names


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


@pytest.mark.parametrize("target", ["species", "mass"])
def test_parameters_and_preprocessing_do_not_depend_on_val_and_test(clean_place: Path, target: str) -> None:
    rows = [{**row, "part": ("train", "val", "test")[i % 3]} for i, row in enumerate(make_rows(300))]
    swapped = {"Adelie": "Gentoo", "Gentoo": "Chinstrap", "Chinstrap": "Adelie"}
    changed = [
        row if row["part"] == "train" else row
        | {"mass": f"{1000 * float(row['mass'])}", "bill": "1e9", "island": "New", "species": swapped[row["species"]]}
        for row in rows
    ]  # fmt: skip
    saved = []
    for table in (rows, changed):
        data = {"name": "csv", "path": str(write_csv(clean_place / "t.csv", table)), "target": target, "split": "part"}
        task = "regression" if target == "mass" else "classification"
        data |= {"missing": "mean", "ignore": ["site"]}
        result = dlcli.train({"task": task, "data": data}, ["training.epochs=3", "plots=never"])
        saved.append(load_checkpoint(Path(result.checkpoints["last"])))
    first, second = saved
    assert all(torch.equal(first.parameters[name], second.parameters[name]) for name in first.parameters)
    for name in ("input_scaling", "target_scaling"):
        pair = getattr(first, name), getattr(second, name)
        assert torch.equal(pair[0].shift, pair[1].shift)
        assert torch.equal(pair[0].scale, pair[1].scale)
    assert (first.info.columns, first.info.class_names) == (second.info.columns, second.info.class_names)


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


def test_val_is_drawn_from_train_if_a_column_of_splits_has_none(tmp_path: Path) -> None:
    rows = [{**row, "part": "test" if i % 4 == 0 else "train"} for i, row in enumerate(make_rows(200))]
    splits = load(write_csv(tmp_path / "t.csv", rows), split="part", ignore=["site"])
    assert (len(splits.train), len(splits.val), len(splits.test)) == (135, 15, 50)
    rows[1]["part"] = "val"
    with pytest.raises(DataError, match=r"data\.val_fraction is 0, and column 'part' has examples of val"):
        load(write_csv(tmp_path / "t.csv", rows), split="part", ignore=["site"], val_fraction=0.0)


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


def test_a_run_on_a_table_is_evaluated_verified_and_predicts_without_its_data(clean_place: Path) -> None:
    write_csv(clean_place / "penguins.csv", make_rows(300))
    Path("penguins.yaml").write_text(
        "task: classification\ndata: {name: csv, path: penguins.csv, target: species, ignore: [site], missing: mean}\n"
    )
    result = dlcli.train("penguins.yaml", ["training.epochs=30", "model.hidden_sizes=[8]"])
    run = dlcli.open_run(result)
    assert run.evaluate().metrics["accuracy"] > 0.9
    assert run.verify().identical
    trained = load_trained_run(open_run(result.run))
    # The predictions for the file contain those of every test example.
    predicted = torch.from_numpy(run.predictor.predict("penguins.csv").values)
    nearest = torch.cdist(trained.predict(trained.splits.test), predicted).amin(1)
    assert nearest.max() < 1e-6
    assert [column.name for column in run.predictor.info.columns] == ["island", "bill", "mass", "male", "year"]


@pytest.mark.parametrize("change", [("Dream", "Biscoe"), (",", ";"), ("species", "kind"), ("\n", ",1\n")])
def test_changed_data_is_refused_with_both_digests(
    dlcli: Callable[..., Finished], clean_place: Path, change: tuple[str, str]
) -> None:
    path = write_csv(clean_place / "penguins.csv", make_rows(100))
    Path("p.yaml").write_text(
        "data: {name: csv, path: penguins.csv, target: species, ignore: [site], missing: mean}\ntraining: {epochs: 1}\n"
    )
    assert dlcli("train", "-c", "p.yaml", "--run-dir", "run").code == 0
    digests = [hashlib.sha256(path.read_bytes()).hexdigest()]
    path.write_text(path.read_text().replace(*change))
    digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    for command in ("eval run", "verify run", "train --resume run training.epochs=2"):
        done = dlcli(*command.split())
        assert done.code == 3, command
        assert f"SHA-256 of penguins.csv: {digests[0]} in the run, {digests[1]} now" in done.err


def test_the_layout_of_a_file_is_shown_and_kept_with_the_run(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    rows = [{name: value.replace(".", ",") for name, value in row.items()} for row in make_rows(100)]
    for part in ("train", "test"):
        (clean_place / "a" / part).mkdir(parents=True)
        write_csv(clean_place / "a" / part / "t.csv", rows, separator=";")
    Path("p.yaml").write_text(
        "data: {name: csv, train: a/train/t.csv, test: a/test/t.csv, target: species, ignore: [site], missing: mean}\n"
        "training: {epochs: 1}\n"
    )
    done = dlcli("train", "-c", "p.yaml", "--run-dir", "run")
    assert 'note: train, test: found separator ";", decimal ",", encoding utf-8' in done.err
    resolved = Path("run/resolved.yaml").read_text()
    for line in ('  separator: ";" ', '  decimal: "," ', "  encoding: utf-8 "):
        assert re.search(rf"^{re.escape(line)} *# found in the data$", resolved, re.MULTILINE)
    assert dlcli("train", "--resume", "run", "-c", "p.yaml", "training.epochs=2").code == 0
    Path("a").rename("b")
    assert "--data-root DIR" in dlcli("eval", "run").err
    for command in ("eval run", "verify run"):
        done = dlcli(*command.split(), "--data-root", "b")
        assert done.code == 0, done.err
    assert "found separator" not in done.err
    moved = ("data.train=b/train/t.csv", "data.test=b/test/t.csv")
    assert dlcli("train", "--resume", "run", "training.epochs=3", *moved).code == 0


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


def test_a_table_of_ten_thousand_columns_is_loaded(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (60, 10_000))
    lines = [",".join(map(str, row)) + f",{'ab'[i % 2]}" for i, row in enumerate(values.tolist())]
    header = ",".join([*(f"c{i}" for i in range(10_000)), "y"])
    (tmp_path / "t.csv").write_text("\n".join([header, *lines]) + "\n")
    splits = load(tmp_path / "t.csv", target="y")
    train = splits.input_scaling.invert(splits.train.inputs)
    assert train.shape == (44, 10_000)
    assert {tuple(row) for row in train.round().long()[:, :5].tolist()} <= {
        tuple(row) for row in values[:, :5].tolist()
    }


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


@pytest.mark.parametrize("setting", ["features", "ignore"])
def test_a_column_listed_twice_is_a_config_error(setting: str) -> None:
    data = {"name": "csv", "path": "t.csv", "target": "y", setting: ["x", "z", "x"]}
    with pytest.raises(ConfigError, match=f"data.{setting}.*names 'x' twice"):
        load_config({"task": "classification", "data": data})


@pytest.mark.parametrize(("form", "is_unclear"), [("{m:02}/{d:02}/2024", True), ("{d:02}.{m:02}.2024", False)])
def test_times_whose_day_may_be_the_month_are_noted(form: str, is_unclear: bool, tmp_path: Path) -> None:
    lines = [f"{form.format(d=1 + i % 12, m=1 + i // 12)},{i},{'ab'[i % 2]}\n" for i in range(60)]
    (tmp_path / "t.csv").write_text("t,x,y\n" + "".join(lines))
    notes = load(tmp_path / "t.csv", target="y", time="t").notes
    assert any("it is not clear whether day or month comes first" in note for note in notes) == is_unclear


@pytest.mark.parametrize(("number", "precision", "fits"), [(1e200, "float32", False), (1e100, "float64", True)])
def test_a_target_outside_the_range_of_the_precision_is_refused(
    number: float, precision: str, fits: bool, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i * 0.5},{(i % 7) * number!r}\n" for i in range(60)))
    data = {"name": "csv", "path": str(tmp_path / "t.csv"), "target": "y"}
    config = load_config({"task": "regression", "data": data, "training": {"precision": precision}}).config
    if fits:
        assert load_splits(config).train.targets.abs().max() < 3
        return
    with pytest.raises(DataError, match=r"t\.csv: column 'y' has 6e\+200, too large for training with float32"):
        load_splits(config)


def test_gaps_of_test_alone_are_unknown(tmp_path: Path) -> None:
    content = "x,y,part\n" + "a,0,train\nb,1,train\n" * 10 + ",1,test\na,0,test\n"
    (tmp_path / "t.csv").write_text(content)
    settings = {"target": "y", "split": "part", "min_frequency": 2}
    notes = load(tmp_path / "t.csv", **settings).notes
    assert "column 'x': val and test have categories that no training example has: '(missing)' (1); they are 0" in str(
        notes
    )
    with pytest.raises(DataError, match="missing"):
        load(tmp_path / "t.csv", **settings, unknown="error")


def test_categories_are_counted_in_train(tmp_path: Path) -> None:
    rows = [f"c{i % 5},{i % 2},train" for i in range(40)] + [f"new{i},{i % 2},test" for i in range(10)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y,part", *rows]) + "\n")
    settings = {"target": "y", "split": "part"}
    assert load(tmp_path / "t.csv", **settings, max_categories=5).info.in_features == 5
    with pytest.raises(DataError, match="column 'x' has 5 categories, more than 4"):
        load(tmp_path / "t.csv", **settings, max_categories=4)


@pytest.mark.parametrize("name", ["a,b", "x: y", "[1]", "null", "it's", "two\nlines", "$HOME", "plain"])
def test_hints_can_be_typed_in_a_shell(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{i % 7},2024-01-{i + 1:02},{'yn'[i % 2]}" for i in range(31)]
    path.write_text(f'x,"{name}",y\n' + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match="contains dates") as error:
        load(path, target="y")
    hint = error.value.hint or ""
    assert "\n" not in hint
    ignore, time = (word for word in shlex.split(hint.replace(", or", " or")) if word.startswith("data."))
    base = {"data": {"name": "csv", "path": str(path), "target": "y"}}
    assert load_config(base, [ignore]).config.data.ignore == (name,)
    assert load_config(base, [time]).config.data.time == name


def test_hints_keep_what_is_typed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{i},{i % 3},1,{'ab'[i % 2]}" for i in range(30)]
    path.write_text("\n".join(["x,z,w,y", *rows, "oops,1,1,a"]) + "\n")
    typed = ("data.null_values=[-9]", "data.types={z: category}", "data.ignore=[w]")
    base = {"data": {"name": "csv", "path": str(path), "target": "y"}}
    with pytest.raises(DataError, match="'oops'") as error:
        load_splits(load_config(base, typed).config)
    words = shlex.split((error.value.hint or "").replace(";", ""))
    null_values, types, ignore = (word for word in words if word.startswith("data."))
    data = load_config(base, [null_values, types, ignore]).config.data
    assert (data.null_values, data.types) == (("-9", "oops"), {"z": "category", "x": "category"})
    assert data.ignore == ("w", "x")


def test_settings_reach_the_proposed_config(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{i};{i % 7},5;2024-01-{i + 1:02};{('Zürich', 'Köln')[i % 2]}" for i in range(31)]
    path.write_bytes(("\n".join(["n;x;day;y", *rows]) + "\n").encode("cp1252"))
    with pytest.raises(DataError, match="not UTF-8") as error:
        propose_config(str(path), "y", None, tmp_path)
    encoding = (error.value.hint or "").split()[-1]
    settings = [encoding, "data.time=day", "data.ignore=[n]", "data.decimal=,", "data.null_values=[-9]"]
    text = propose_config(str(path), "y", None, tmp_path, settings=settings).text
    config = load_config(Source("t.yaml", text, str(tmp_path))).config
    data = config.data
    assert (data.encoding, data.time, data.ignore, data.decimal) == ("windows-1252", "day", ("n",), ",")
    assert data.null_values == ("-9",)
    assert load_splits(config).info.feature_names == ("x",)
    for wrong in ("data.target=x", "data.path=u.csv", "optimizer.lr=1", "data.codec=x"):
        with pytest.raises(UsageError):
            propose_config(str(path), "y", None, tmp_path, settings=[wrong])


def test_a_missing_class_is_an_error_or_dropped(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "1,0\n2,1\n3,NA\n" * 20)
    with pytest.raises(DataError, match="a missing target is never filled"):
        load(path, target="y")
    splits = load(path, target="y", missing="drop")
    assert splits.info.class_names == ("0", "1")
    assert "column 'y': NA is missing here" in splits.notes
    path.write_text("x,y\n" + "1,a\n2,b\n3,NA\n" * 20)
    splits = load(path, target="y")
    assert splits.info.class_names == ("NA", "a", "b")
    assert "column 'y': NA is text here" in splits.notes


def test_a_run_resumes_with_its_own_file_although_that_sets_no_epochs(
    clean_place: Path, dlcli: Callable[..., Finished]
) -> None:
    write_csv(clean_place / "penguins.csv", make_rows(300))
    data = "data: {name: csv, path: penguins.csv, target: species, ignore: [site], missing: mean}"
    (clean_place / "p.yaml").write_text(f"task: classification\n{data}\nearly_stopping: {{patience: 1}}\n")
    assert dlcli("train", "p.yaml", "--run-dir", "run", "-q").code == 0
    resumed = dlcli("train", "-c", "p.yaml", "--resume", "run")
    assert resumed.code == 0, resumed.err
    refused = dlcli("train", "-c", "p.yaml", "training.epochs=2", "--resume", "run")
    assert re.search(r"training\.epochs: \d{3,} in the run, 2 now", refused.err)


def test_several_seeds_read_a_table_once_and_get_the_splits_that_each_gets_alone(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", make_rows(200))
    data = {"name": "csv", "path": str(path), "target": "species", "missing": "mean"}
    configs = [load_config({"task": "classification", "seed": seed, "data": data}).config for seed in range(3)]
    alone = [load_splits(config) for config in configs]
    raw = load_raw(configs[0])
    path.unlink()
    for config, expected in zip(configs, alone, strict=True):
        splits = load_splits(config, raw=raw)
        assert splits.info == expected.info
        for name in ("train", "val", "test"):
            part, other = getattr(splits, name), getattr(expected, name)
            assert torch.equal(part.inputs, other.inputs)
            assert torch.equal(part.targets, other.targets)
