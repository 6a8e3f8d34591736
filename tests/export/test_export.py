"""The export of runs: files, refusals, and what remains after a failed check."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from conftest import Finished
from faults.test_hostile_text import INVISIBLE, STRINGS

import dlcli
from dlcli.api import export as dlcli_export
from dlcli.api import train as dlcli_train
from dlcli.errors import CheckFailed, DataError
from dlcli.export import export as export_module
from dlcli.export.check import predict_raw
from dlcli.export.module import RawModel
from dlcli.export.replace_folder import replace_folder
from dlcli.export.rows import generated_rows, real_rows
from dlcli.prediction.predictor import build_predictor
from dlcli.runs.trained_run import load_trained_run

FORMATS = ("onnx", "torch", "safetensors")
QUICK = ["training.epochs=1", "model.hidden_sizes=[4]", "plots=never"]


@pytest.fixture
def needs_onnx() -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra `export`")


def write_table(names: list[str], classes: list[str], n: int = 60) -> None:
    """Write t.csv with a number column for each name, a category of all names and a class, and t.yaml."""
    with open("t.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*names, "kind", "y"])
        for i in range(max(n, 2 * len(names))):
            values = [i * (number + 1) % 7 if i != 5 else "" for number in range(len(names))]
            rows.writerow([*values, names[i % len(names)], classes[i % len(classes)]])
    settings = "data: {name: csv, path: t.csv, target: y, missing: mean, max_categories: 300}\n"
    Path("t.yaml").write_text(f"{settings}training: {{epochs: 1}}\nmodel: {{hidden_sizes: [4]}}\nplots: never\n")


def contents(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


@pytest.mark.parametrize("preset", ["digits", "diabetes", "t.yaml"])
def test_raw_values_of_the_data_give_the_predictions_of_the_run(clean_place: Path, preset: str) -> None:
    write_table(["a", "b"], ["no", "yes"])
    files = dict.fromkeys(("train", "val", "test"), "t.csv")
    overrides = {"data": {"name": "csv", "target": "y", "missing": "mean", **files}} if preset == "t.yaml" else {}
    run = dlcli.open_run(dlcli.train(preset, {**overrides, "training.epochs": 1, "plots": "never"}).run)
    predictor = build_predictor(run.load_checkpoint("best"))
    raw = real_rows(run, predictor)
    assert raw is not None
    n = len(trained := load_trained_run(run, "train").predictions)
    assert np.allclose(predict_raw(predictor, raw[:n]), trained, rtol=1e-5)  # diabetes is unscaled from rounded inputs
    module = RawModel(predictor)
    for rows in (raw, generated_rows(predictor)):
        np.testing.assert_allclose(module(torch.from_numpy(rows)), predict_raw(predictor, rows), rtol=1e-5, atol=1e-6)


def test_generated_rows_have_every_category_gaps_and_unknown_texts(clean_place: Path) -> None:
    write_table(["a", "b", "c"], ["no", "yes"])
    run = dlcli.open_run(dlcli.train("t.yaml").run)
    numbers, codes = np.split(generated_rows(build_predictor(run.load_checkpoint("best"))), [3], axis=1)
    assert np.isnan(numbers).any(0).all()
    assert {str(code) for code in codes.ravel().tolist()} == {"0.0", "1.0", "2.0", "nan", "-1.0"}


@pytest.mark.parametrize("format_", FORMATS)
def test_the_same_bytes_without_the_data_and_from_another_place(
    dlcli: Callable[..., Finished], needs_onnx: None, clean_place: Path, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(["a", "b"], ["no", "yes"])
    assert dlcli("train", "-c", "t.yaml", "--run-dir", "runs/t/run", "-q").code == 0
    first = dlcli("export", "runs/t/run", "--format", format_, "--json", "-q")
    result = json.loads(first.out)
    assert (first.code, first.err, result["rows"]) == (0, "", {"data": 60, "generated": 65})
    assert result["folder"] == f"runs/t/run/export/{format_}"
    before = contents(result["folder"])
    assert {name: len(content) for name, content in before.items()} == result["files"]
    shutil.rmtree("runs/t/run/export")
    Path("t.csv").unlink()
    shutil.move("runs/t/run", "elsewhere")
    Path("work").mkdir()
    monkeypatch.chdir("work")
    second = dlcli("export", "../elsewhere", "--format", format_, "-o", "new/model")
    assert (second.code, "0 rows of the data, which is missing or has changed," in second.out) == (0, True)
    assert contents("new/model") == before
    assert dlcli("verify", "../elsewhere").code == 3, "an export does not need the data; verify does"


def test_names_of_columns_and_classes_are_kept_in_every_format(
    dlcli: Callable[..., Finished], needs_onnx: None, clean_place: Path
) -> None:
    names = list(dict.fromkeys(text.strip() for text in STRINGS if text.isprintable() or "a" in text))
    names = [name for name in names if name and not set(name) & {*map(chr, range(0xD800, 0xE000))}]
    names += ["label", "probabilities", "raw", "dlcli/raw", "```", "`x`", "it's", '"', "{{ x }}", "{% raw %}", "a\nb"]
    names = list(dict.fromkeys(names))
    assert len(names) > 100
    write_table(names, names[::20])
    assert dlcli("train", "-c", "t.yaml", "--run-dir", "run", "-q").code == 0
    for format_ in FORMATS:
        done = dlcli("export", "run", "--format", format_, "-o", format_)
        assert done.code == 0, done.err
        readme = Path(format_, "README.md").read_text(encoding="utf-8")
        assert not INVISIBLE.search(done.out + done.err + readme)
        columns = json.loads(Path(format_, "signature.json").read_text(encoding="utf-8"))["columns"]
        assert [column["name"] for column in columns] == [*names, "kind"]
    import onnxruntime

    session = onnxruntime.InferenceSession("onnx/model.onnx")
    assert [value.name for value in session.get_inputs()] == [*names, "kind"]
    assert [value.name for value in session.get_outputs()] == ["probabilities_", "label_"]
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == sorted(names[::20])


def test_a_wrong_number_in_the_exported_model_is_found_and_nothing_is_written(
    dlcli: Callable[..., Finished], needs_onnx: None, clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(["a", "b"], ["no", "yes"])
    assert dlcli("train", "-c", "t.yaml", "--run-dir", "run", "-q").code == 0
    assert dlcli("export", "run", "--format", "safetensors", "-o", "kept").code == 0
    before = contents("kept")

    def spoil(predictor: Any) -> RawModel:
        model = RawModel(predictor)
        model.scale[1] *= 1.001
        return model

    monkeypatch.setattr(export_module, "RawModel", spoil)
    for format_, folder in zip(FORMATS, ("new", "kept", "kept"), strict=True):
        done = dlcli("export", "run", "--format", format_, "-o", folder, "-q")
        assert (done.code, done.out) == (6, ""), done
        assert "error: the exported model differs from dlcli by " in done.err
    assert contents("kept") == before
    assert sorted(path.name for path in Path().iterdir() if path.name not in ("cache",)) == [
        *("kept", "run", "t.csv", "t.yaml"),
    ]


def test_only_exports_and_empty_folders_are_replaced(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dlcli("train", "-c", "digits", *QUICK, "--run-dir", "run", "-q").code == 0
    command = ("export", "run", "--format", "safetensors", "-q", "-o")
    Path("empty").mkdir()
    assert dlcli(*command, "empty").code == 0
    Path("file").write_text("x")
    Path("link").symlink_to("empty")
    for folder, problem in (("file", "is not a folder"), ("link", "is not a folder"), ("run", "no part of an export")):
        done = dlcli(*command, folder)
        assert (done.code, problem in done.err) == (2, True), done
    Path(".other.tmp").mkdir()
    Path(".other.tmp/mine").touch()
    assert ".other.tmp contains 'mine', which is no part of an export" in dlcli(*command, "other").err
    Path("empty/notes.txt").write_text("mine")
    assert "empty contains 'notes.txt'" in dlcli(*command, "empty").err
    assert Path("empty/notes.txt").read_text() == "mine"
    done = dlcli(*command, "file/x")
    assert (done.code, "Traceback" in done.err) == (3, False), done
    with pytest.raises(DataError, match=r"cannot write 'a\\x00'"):
        dlcli_export("run", "safetensors", "a\0")
    Path("work").mkdir()
    monkeypatch.chdir("work")
    for folder, kind in ((".", "the working folder"), ("/", "a mount point")):
        done = dlcli("export", "../run", "--format", "safetensors", "-q", "-o", folder)
        assert (done.code, f"error: cannot write {folder}: it is {kind}" in done.err) == (2, True), done


def test_of_two_writers_of_a_folder_one_waits_for_the_other(clean_place: Path) -> None:
    first_checks, first_may_end = threading.Event(), threading.Event()
    seen: list[set[str]] = []

    def check_first(new: Path) -> None:
        first_checks.set()
        first_may_end.wait(30)
        seen.append({path.name for path in new.iterdir()})

    def write(name: str, check: Callable[[Path], None]) -> threading.Thread:
        thread = threading.Thread(target=replace_folder, args=(Path("model"), {name: b"x"}, check))
        thread.start()
        return thread

    first = write("a", check_first)
    assert first_checks.wait(30)
    second = write("b", lambda new: seen.append({path.name for path in new.iterdir()}))
    second.join(0.2)
    first_may_end.set()
    first.join()
    second.join()
    assert (seen, contents("model")) == ([{"a"}, {"b"}], {"b": b"x"})
    assert sorted(path.name for path in Path().iterdir() if path.name != "cache") == ["model"], "no file remains"


def test_onnx_needs_names_of_columns(dlcli: Callable[..., Finished], needs_onnx: None, clean_place: Path) -> None:
    pl.DataFrame({"": [0.5, 1.5] * 30, "y": ["no", "yes"] * 30}).write_parquet("t.parquet")
    dlcli_train({"data": {"name": "parquet", "path": "t.parquet", "target": "y"}}, QUICK, run_dir="run")
    done = dlcli("export", "run")
    assert (done.code, "error: a column of the model has no name" in done.err) == (2, True), done


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(
    dlcli: Callable[..., Finished], clean_place: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find_spec(name))
    done = dlcli("export", "run")
    assert done.code == 2
    assert done.err.startswith(f"error: --format onnx needs packages that are not installed: {package}\n")
    assert "pip install onnx onnxscript onnxruntime" in done.err


def test_the_numpy_program_is_short_and_the_method_of_a_run_gives_it(clean_place: Path) -> None:
    write_table(["a", "b"], ["no", "yes"])
    settings = {"model": {"hidden_sizes": [4, 3], "batch_norm": True, "activation": "gelu"}}
    run = dlcli.open_run(dlcli.train("t.yaml", settings).run)
    result = run.export("safetensors", "model")
    program = Path("model/predict.py").read_text()
    assert len(program.splitlines()) <= 30
    assert result.largest_difference < 1e-6
    code = "from predict import predict; print(predict({'a': [1, 2.5], 'b': [0, float('nan')], 'kind': ['a', 'new']}))"
    done = subprocess.run([sys.executable, "-c", code], cwd="model", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert run.export("safetensors", "model").files == result.files, "__pycache__ is no file of the user"


def test_a_model_that_cannot_be_read_is_refused(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = dlcli.open_run(dlcli.train("diabetes", QUICK).run)
    monkeypatch.setattr(
        "dlcli.export.check.subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", "x\ny")
    )
    with pytest.raises(CheckFailed, match="the exported model cannot be used: y"):
        run.export("safetensors")
    assert not Path(run.path, "export", "safetensors").exists()
