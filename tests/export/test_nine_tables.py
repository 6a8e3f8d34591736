"""Export of models of real tables and pictures, from the proposed config to predictions without dlcli."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from conftest import Finished
from nine_tables import NINE, find_table
from picture_files import write_classes

FORMATS = ("onnx", "torch", "safetensors")


def check_exports(dlcli: Callable[..., Finished], config: str) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    trained = dlcli("train", "-c", config, "training.epochs=3", "plots=never", "-q", "--run-dir", "run")
    assert trained.code == 0, trained.err
    for format_ in FORMATS:
        done = dlcli("export", "run", "--format", format_, "--json", "-q")
        assert (done.code, done.err) == (0, "")
        result = json.loads(done.out)
        assert result["rows"]["data"] >= 20
        assert result["largest_difference"] < 1e-5


@pytest.mark.long
@pytest.mark.parametrize("name", NINE)
def test_models_of_real_tables_predict_alike_without_dlcli(
    dlcli: Callable[..., Finished], clean_place: Path, name: str
) -> None:
    path = find_table(name, clean_place)
    done = dlcli("config", "init", "--data", str(path), "--target", NINE[name].target, "-o", "mine.yaml")
    assert done.code == 0, done.err
    check_exports(dlcli, "mine.yaml")
    rows = path.read_text(encoding="utf-8").splitlines()
    Path("new.csv").write_text("\n".join(rows[:51]) + "\n", encoding="utf-8")
    done = dlcli("predict", "run", "new.csv", "-o", "out.csv", "--bad-rows", "blank")
    assert done.code == 0, done.err
    assert pl.read_csv("out.csv").height == 50


def test_models_of_pictures_predict_alike_without_dlcli(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    write_classes("pictures", ("cat", "dog"), 20)
    Path("mine.yaml").write_text("data: {name: image_folder, path: pictures, size: [5, 4], color_mode: rgb}\n")
    check_exports(dlcli, "mine.yaml")
