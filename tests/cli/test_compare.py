"""`dlcli runs compare`: labels, formats and figure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished
from PIL import Image

from dlcli import api
from dlcli.config.load import load_config
from dlcli.runs.comparison import format_time

KINDS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("compare")
    for activation in ("relu", "tanh"):
        overrides = ["training.epochs=2", f"model.activation={activation}"]
        api.train(load_config("digits", overrides), run_dir=folder / activation)
    return [str(folder / activation) for activation in ("relu", "tanh")]


def test_columns_are_labelled_by_the_settings_that_differ(dlcli: Callable[..., Finished], runs: list[str]) -> None:
    lines = dlcli("runs", "compare", *runs).out.splitlines()
    assert lines[:2] == [f"relu  {runs[0]}", f"tanh  {runs[1]}"]
    assert lines[3].split() == ["model.activation", "relu", "tanh"]
    assert lines[4].split()[0] == "train/loss", "no row repeats the headings"
    (time,) = (line for line in lines if line.startswith("time"))
    assert all(unit in ("ms", "s") for unit in time.split()[2::2])
    assert " 0 ms" not in time
    assert json.loads(dlcli("runs", "compare", *runs, "--json").out)["labels"] == ["relu", "tanh"]


def test_the_table_is_printed_in_each_format(dlcli: Callable[..., Finished], runs: list[str]) -> None:
    compared = json.loads(dlcli("runs", "compare", *runs, "--json").out)
    table = list(csv.reader(io.StringIO(dlcli("runs", "compare", *runs, "--format", "csv").out)))
    assert table[0] == ["model.activation", "relu", "tanh"]
    assert {key: [float(value) for value in values] for key, *values in table[1:]} == compared["metrics"]
    markdown = dlcli("runs", "compare", *runs, "--format", "md").out
    assert markdown.startswith("| model.activation | relu | tanh |\n| --- | ---: | ---: |\n| train/loss |")
    tex = dlcli("runs", "compare", *runs, "--format", "tex").out
    assert tex.startswith("\\begin{tabular}{lrr}\n  \\toprule\n  model.activation & relu & tanh \\\\\n")
    assert "val/accuracy" in tex


def test_an_evaluation_reaches_the_comparison_until_the_run_changes(
    dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    for activation in ("relu", "tanh"):
        settings = ("training.epochs=2", f"model.activation={activation}", "--run-dir", activation)
        assert dlcli("train", "digits", *settings, "-q").code == 0
    assert "test/" not in dlcli("runs", "compare", "relu", "tanh").out
    evaluated = json.loads(dlcli("eval", "relu", "--no-baselines", "--json").out)["metrics"]
    done = dlcli("runs", "compare", "relu", "tanh")
    assert "no test metrics of tanh: run `dlcli eval tanh`" in done.out
    assert "no test metrics" not in dlcli("runs", "compare", "relu", "tanh", "-q").out
    compared = json.loads(dlcli("runs", "compare", "relu", "tanh", "--json").out)["metrics"]
    assert compared["test/accuracy"] == [evaluated["accuracy"], None]
    assert f"accuracy {evaluated['accuracy']:.4f}" in dlcli("runs", "show", "relu").out.splitlines()[-1]
    assert dlcli("verify", "relu", "-q").code == 0
    record = json.loads(Path("relu/evaluation.json").read_text())
    for changed in ({**record, "best_sha256": "0" * 64}, {"test": [1]}, {}):
        Path("relu/evaluation.json").write_text(json.dumps(changed))
        assert "test/" not in dlcli("runs", "compare", "relu", "tanh").out
    for split in (["--split", "val"], ["--checkpoint", "last"]):
        assert dlcli("eval", "tanh", "--no-baselines", *split, "-q").code == 0
    assert not Path("tanh/evaluation.json").exists()


def test_runs_on_different_data_have_a_note_and_no_marks(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    for name, settings in (("one", ()), ("two", ("data.noise=0.3",)), ("three", ("data.normalize=none",))):
        assert dlcli("train", "moons", "training.epochs=1", *settings, "--run-dir", name, "-q").code == 0
    note = "the runs have different data: their metrics cannot be compared"
    different, same = dlcli("runs", "compare", "one", "two").out, dlcli("runs", "compare", "one", "three").out
    assert note in different
    assert "best on validation" not in different
    assert note not in same
    assert "on validation" in same


@pytest.mark.parametrize("kind", KINDS)
def test_the_figure_has_the_format_of_its_suffix(
    dlcli: Callable[..., Finished], runs: list[str], clean_place: Path, kind: str
) -> None:
    done = dlcli("runs", "compare", *runs, "-o", f"figure.{kind}", "--json")
    assert json.loads(done.out)["figure"] == f"figure.{kind}"
    content = Path(f"figure.{kind}").read_bytes()
    assert content.startswith(KINDS[kind])
    dlcli("runs", "compare", *runs, "-o", f"figure.{kind}")
    assert Path(f"figure.{kind}").read_bytes() == content


def test_the_resolution_of_the_figure_can_be_chosen(
    dlcli: Callable[..., Finished], runs: list[str], clean_place: Path
) -> None:
    widths = []
    for dpi in ("100", "300"):
        assert dlcli("runs", "compare", *runs, "-o", "figure.PNG", "--dpi", dpi).code == 0
        with Image.open("figure.PNG") as image:
            widths.append(image.width)
    assert widths == [640, 1920]


def test_options_that_cannot_be_used_are_reported(
    dlcli: Callable[..., Finished], runs: list[str], clean_place: Path
) -> None:
    for options, message in (
        (["-o", "figure.gif"], "must end in .png, .svg or .pdf. Got 'figure.gif' instead"),
        (["-o", "figure"], "must end in .png, .svg or .pdf"),
        (["--json", "--format", "md"], "--json and --format exclude each other"),
        (["--format", "xlsx"], "--format must be md, csv or tex. Got 'xlsx' instead"),
    ):
        done = dlcli("runs", "compare", *runs, *options)
        assert done.code == 2
        assert message in done.err
    done = dlcli("runs", "compare", *runs, "-o", "missing/figure.png")
    assert done.code == 3
    assert "choose another file with -o FILE" in done.err
    assert not list(clean_place.rglob("figure*"))


def test_runs_without_validation_metrics_have_no_figure(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    assert dlcli("train", "-c", "diabetes", "optimizer.lr=1e18", "--run-dir", "run", "-q").code == 5
    assert dlcli("runs", "compare", "run", "run").code == 0
    done = dlcli("runs", "compare", "run", "run", "-o", "figure.png")
    assert done.code == 3
    assert "none of the runs has completed an epoch" in done.err
    settings = ("data.val_fraction=0", "training.epochs=1")
    assert dlcli("train", "-c", "diabetes", *settings, "--run-dir", "all", "-q").code == 0
    done = dlcli("runs", "compare", "all", "all", "-o", "figure.png")
    assert done.code == 3
    assert "none of the runs has validation metrics" in done.err


def test_macro_f1_is_compared_only_where_classes_are_unbalanced(
    dlcli: Callable[..., Finished], runs: list[str], clean_place: Path
) -> None:
    table = "\n".join(f"{i % 7},{i % 5},{'b' if i % 3 else 'a'}" for i in range(120))
    Path("t.csv").write_text(f"x,y,kind\n{table}\n")
    Path("t.yaml").write_text("task: classification\ndata: {name: csv, path: t.csv, target: kind}\n")
    trained = dlcli("train", "t.yaml", "training.epochs=1", "--run-dir", "unbalanced", "--eval", "-q").out
    assert trained.count("macro_f1 ") == 2
    assert json.loads(Path("unbalanced/manifest.json").read_text())["class_counts"] == [29, 58]
    balanced = dlcli("train", "digits", "training.epochs=1", "--eval", "-q").out
    assert "macro" not in balanced + dlcli("eval").out
    assert "macro_f1" not in dlcli("runs", "compare", *runs).out
    assert "val/macro_f1" in dlcli("runs", "compare", runs[0], "unbalanced").out


def test_short_times_are_in_milliseconds() -> None:
    assert format_time(0.0151) == "15 ms"
    assert format_time(None) == "–"
