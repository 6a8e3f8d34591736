"""Files of predictions: their content, and that they appear whole or not at all."""

from __future__ import annotations

import json
import math
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import Finished
from faults.forge import Forge
from faults.test_hostile_text import STRINGS

import dlcli as package
from dlcli.prediction.input_columns import Census
from prediction.runs_to_predict import SETTINGS, frame, train_table

Command = Callable[..., Finished]


def write_new(rows: int = 40) -> pl.DataFrame:
    new = frame(rows, seed=1)
    new.write_csv("new.csv")
    return new


def test_files_have_the_index_the_columns_to_keep_and_the_predictions(dlcli: Command, clean_place: Path) -> None:
    run, new = train_table(), write_new()
    expected = package.load(run).predict(new).values
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        done = dlcli("predict", run, "new.csv", "-o", name, "--keep", "id,kind")
        assert (done.code, done.out) == (0, f"{name}\n"), done.err
    table = pl.read_csv("out.csv", infer_schema=False)
    names = ["index", "id", "kind", "label", "pred", "prob_down", "prob_up, or so"]
    assert table.columns == names
    assert table["id"].to_list() == new["id"].to_list()  # with leading zeros
    assert table["label"].to_list() == new["y"].to_list()
    assert np.array_equal(table.select(names[-2:]).cast(pl.Float64).to_numpy(), expected)
    parquet = pl.read_parquet("out.parquet")
    assert parquet.columns == names
    assert np.array_equal(parquet.select(names[-2:]).to_numpy(), expected)
    records = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [record["index"] for record in records] == list(range(40))
    assert records[3]["kept"]["id"] == "00003"
    assert [list(record["probs"].values()) for record in records] == expected.tolist()
    assert records[3] | {"kept": None} == json.loads(dlcli("predict", run, "new.csv", "--json").out)["predictions"][
        3
    ] | {"kept": None}
    assert sorted(path.name for path in Path().iterdir() if path.name.startswith(".")) == []


def test_values_have_columns_for_each_target(dlcli: Command, clean_place: Path) -> None:
    run = train_table(["u", "v", "w"], task="regression")
    write_new().drop("v").write_csv("other.csv")
    assert dlcli("predict", run, "new.csv", "-o", "out.csv").code == 0
    table = pl.read_csv("out.csv")
    assert table.columns == ["index", *(f"{kind}_{name}" for kind in ("target", "output") for name in "uvw")]
    assert table["target_u"].to_list() == pl.read_csv("new.csv")["u"].to_list()
    assert dlcli("predict", run, "other.csv", "-o", "out.csv").code == 0
    assert pl.read_csv("out.csv").columns == ["index", "output_u", "output_v", "output_w"]


def test_blank_predictions_are_empty_in_every_format(dlcli: Command, clean_place: Path) -> None:
    run = train_table()
    write_new(3).with_columns(pl.Series("a", ["1", "12 kg", "2"])).write_csv("new.csv")
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        done = dlcli("predict", run, "new.csv", "-o", name, "--bad-rows", "blank")
        assert "1 row has no prediction: 'a' has a value that is not a finite number (1)" in done.err
    assert Path("out.csv").read_text().splitlines()[2].endswith(",,,")
    record = json.loads(Path("out.jsonl").read_text().splitlines()[1])
    assert (record["probs"], record["pred"]) == (None, None)
    assert pl.read_parquet("out.parquet")["prob_down"].to_list()[1] is None


def test_an_error_leaves_the_old_file(dlcli: Command, clean_place: Path) -> None:
    run = train_table()
    write_new()
    with Path("new.csv").open("a") as file:
        file.write("40,12 kg,1,true,x,p,down,1,1,1\n")
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        Path(name).write_text("old")
        done = dlcli("predict", run, "new.csv", "-o", name)
        assert done.code == 3
        assert "new.csv:42: column 'a' has '12 kg'" in done.err
        assert Path(name).read_text() == "old"
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out.xls"], "error: cannot write predictions to out.xls"),
        (["-o", "none/out.csv"], "error: there is no folder none"),
        (["-o", "runs"], "error: cannot write predictions to runs"),
        (["--keep", "idd"], "error: new.csv has no column 'idd' to keep\n\nhint: did you mean 'id'?"),
        (["--index", "0"], "error: --index is for examples of a split"),
        (["--device", "cpu"], "error: --device is for examples of a split"),
        (["--split", "val"], "error: --split is for examples of a split"),
    ],
)
def test_wrong_arguments_are_errors(dlcli: Command, clean_place: Path, arguments: list[str], message: str) -> None:
    run = train_table()
    write_new()
    done = dlcli("predict", run, "new.csv", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message)


def test_a_column_to_keep_cannot_have_the_name_of_a_prediction(dlcli: Command, clean_place: Path) -> None:
    run = train_table()
    write_new().with_columns(pred=1).write_csv("new.csv")
    done = dlcli("predict", run, "new.csv", "--keep", "pred", "-o", "out.csv")
    assert done.code == 2
    assert "'pred' has the name of a column of predictions" in done.err


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_a_crash_at_any_file_operation_leaves_the_old_file_or_the_new_one(
    forge: Forge, clean_place: Path, name: str
) -> None:
    run = train_table()
    write_new(2000)
    name = f"runs/{name}"  # where operations are counted
    command = ["predict", run, "new.csv", "-o", name]
    Path(name).write_text("old")
    ended = forge.run(*command, folder=clean_place, fault={"count": True})
    assert ended.code == 0, ended.err
    new = Path(name).read_bytes()
    operations = int(Path("operations").read_text().split()[0])
    assert operations >= 4
    for number in range(1, operations + 1):
        Path(name).write_text("old")
        ended = forge.run(*command, folder=clean_place, fault={"half": True, "crash_at": number})
        assert ended.code == -signal.SIGKILL, ended.err
        assert Path(name).read_bytes() in (b"old", new), number


def test_hostile_names_are_text_in_every_file(clean_place: Path, dlcli: Command) -> None:
    strings = [text for text in STRINGS if text.isprintable() and text.strip() == text and "\n" not in text][:100]
    names = list(dict.fromkeys(strings))[:60]
    draw = np.random.default_rng(0)
    table = {name: draw.normal(size=120) for name in names} | {"y": draw.choice(names[:5], 120)}
    pl.DataFrame(table).write_csv("t.csv")
    run = package.train({"data": {"name": "csv", "path": "t.csv", "target": "y"}}, SETTINGS).run
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        done = dlcli("predict", run, "t.csv", "-o", name, "--keep", names[0])
        assert done.code == 0, done.err
    classes = sorted(set(table["y"]))
    for written in (pl.read_csv("out.csv"), pl.read_parquet("out.parquet")):
        assert {f"prob_{name}" for name in classes} == {*written.columns[-5:]}
        assert names[0] in written.columns
    assert json.loads(Path("out.jsonl").read_text().splitlines()[0])["probs"].keys() == {*classes}
    assert "\x1b" not in dlcli("predict", run, "t.csv").out


def test_predictions_survive_the_data_and_the_place_of_the_run(
    clean_place: Path, dlcli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_table()
    write_new()
    before = dlcli("predict", run, "new.csv").out
    assert before.count("\n") == 41
    Path("elsewhere").mkdir()
    shutil.move(run, "elsewhere/taken")
    shutil.move("new.csv", "elsewhere")
    monkeypatch.chdir("elsewhere")
    assert dlcli("predict", "taken", "new.csv").out == before


def test_a_single_argument_may_be_new_data_for_the_newest_run(clean_place: Path, dlcli: Command) -> None:
    run = train_table()
    write_new()
    assert dlcli("predict", "new.csv").out == dlcli("predict", run, "new.csv").out


def test_evaluation_of_new_data_has_the_metrics_of_its_predictions(clean_place: Path, dlcli: Command) -> None:
    run, new = train_table(), write_new()
    done = dlcli("eval", run, "--data", "new.csv", "--json", "--fail-under", "accuracy=0.1")
    result = json.loads(done.out)
    model = package.load(run)
    predicted = model.predict("new.csv")
    assert result["metrics"]["accuracy"] == np.mean([a == b for a, b in zip(predicted.preds, new["y"], strict=True)])
    chosen = predicted.values[np.arange(40), [predicted.names.index(name) for name in new["y"]]]
    assert result["metrics"]["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-6)
    assert (result["examples"], result["data"], result["split"]) == (40, "new.csv", "data")
    assert not Path(run, "evaluation.json").exists()
    assert "new.csv: 40 examples" in dlcli("eval", run, "--data", "new.csv").out
    assert any(text.startswith("filled missing values: n (") for text in result["statements"])


def test_evaluation_of_new_values_is_in_the_unit_of_the_target(clean_place: Path, dlcli: Command) -> None:
    run, new = train_table("u", task="regression"), write_new()
    metrics = json.loads(dlcli("eval", run, "--data", "new.csv", "--json").out)["metrics"]
    errors = package.load(run).predict("new.csv").values[:, 0] - new["u"].to_numpy()
    assert metrics["rmse"] == pytest.approx(math.sqrt((errors**2).mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("label", "message"),
    [("", "new.csv:3: the example has no class"), ("other", "new.csv:3: the example has the class 'other', which no")],
)
def test_evaluation_needs_a_known_class_for_each_example(
    clean_place: Path, dlcli: Command, label: str, message: str
) -> None:
    run = train_table()
    write_new(3).with_columns(pl.Series("y", ["down", label, "down"])).write_csv("new.csv")
    done = dlcli("eval", run, "--data", "new.csv")
    assert done.code == 3
    assert message in done.err
    write_new().drop("y").write_csv("new.csv")
    assert "new.csv has no column 'y' with the true values" in dlcli("eval", run, "--data", "new.csv").err
    assert "error: --split is for the run's own data" in dlcli("eval", run, "--data", "new.csv", "--split", "val").err


def test_a_single_argument_with_the_ending_of_a_file_is_no_run(clean_place: Path, dlcli: Command) -> None:
    train_table()
    assert "error: tomorow.csv does not exist" in dlcli("predict", "tomorow.csv").err


def test_columns_to_keep_may_have_commas_and_are_shown_on_a_terminal(
    clean_place: Path, dlcli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_table()
    write_new(3).with_columns(pl.lit("two\nlines").alias("a, b")).write_csv("new.csv")
    arguments = ["predict", run, "new.csv", "--keep", 'id, "a, b"']
    assert dlcli(*arguments).out.startswith('index,id,"a, b",label')
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert dlcli(*arguments).out.startswith("new.csv:2, id 00000, a, b two\\nlines: ")


def test_a_file_that_is_replaced_keeps_its_permissions(clean_place: Path, dlcli: Command) -> None:
    run = train_table()
    write_new()
    Path("out.csv").write_text("old")
    Path("out.csv").chmod(0o600)
    assert dlcli("predict", run, "new.csv", "-o", "out.csv").code == 0
    assert Path("out.csv").stat().st_mode & 0o777 == 0o600


def test_notes_count_the_first_new_categories_by_name() -> None:
    census = Census()
    census.add_unknown("c", {"first": 2} | {f"c{i}": 1 for i in range(3000)})
    census.add_unknown("c", {"first": 3, "c5000": 1})
    assert len(census.unknown["c"]) <= 1001
    assert census.notes()[0].startswith("categories that no training example has: column 'c': 'first' (5), 'c0' (1)")
    assert "and at least 995 more" in census.notes()[0]
    assert census.unknown["c"].total() == 3006
