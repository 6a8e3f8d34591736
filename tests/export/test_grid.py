"""Exported models of every kind predict what dlcli predicts, in a process that cannot import dlcli."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from dlcli.data.encoding import ColumnInfo
from dlcli.data.scaling import Scaling
from dlcli.errors import CheckFailed
from dlcli.export import isolated_reader
from dlcli.export.check import Reference, compare, predict_raw
from dlcli.export.export import make_reference
from dlcli.export.formats import build_files
from dlcli.export.module import RawModel
from dlcli.export.signature import Format, Signature
from dlcli.prediction.predictor import build_predictor
from dlcli.runs.checkpoint import Checkpoint
from export.models import GRID, make_checkpoint

READ_ALL = f"""
import json, runpy, sys
from pathlib import Path
main = runpy.run_path({isolated_reader.__file__!r})["main"]
folders, import_path = json.loads(sys.argv[1])
for folder in map(Path, folders):
    main(folder, folder.with_suffix(".scratch"), import_path)
    sys.modules.pop("predict", None)
try:
    import dlcli
except ImportError:
    print("dlcli cannot be imported")
"""
TOLERANCES = {"onnx": 1e-5, "torch": 1e-5, "safetensors": 1e-6}
ROWS = 1008  # batches of 1, 7 and 1,000


class Written(NamedTuple):
    folder: Path
    signature: Signature
    reference: Reference


def write(folder: Path, checkpoint: Checkpoint, format_: Format) -> Written:
    """Write the files of a checkpoint and the raw values to predict."""
    origin = {"run": {"name": "a `run`"}, "data": {"name": "csv", "sha256": {}}}
    signature = Signature(format_, build_predictor(checkpoint), origin)
    few = make_reference(signature, checkpoint, None).raw
    reference = make_reference(signature, checkpoint, np.resize(few, (ROWS - len(few), *few.shape[1:])))
    files = build_files(RawModel(signature.predictor), signature, checkpoint, reference.predictions[-1])
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    folder.with_suffix(".scratch").mkdir()
    np.save(folder.with_suffix(".scratch") / "raw.npy", reference.raw)
    return Written(folder, signature, reference)


def check_all(written: Sequence[Written]) -> None:
    """Read all models in one process without dlcli, and compare the predictions."""
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", READ_ALL]
    given = json.dumps([[str(model.folder.absolute()) for model in written], sys.path])
    done = subprocess.run([*command, given], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("dlcli cannot be imported\n")
    differences: dict[Format, float] = {}
    for folder, signature, reference in written:
        with np.load(folder.with_suffix(".scratch") / "predictions.npz") as results:
            difference = compare(results, signature, reference)
            if signature.format == "onnx" and signature.predictor.info.class_names:
                assert set(results["label"]) <= set(signature.predictor.info.class_names)
        assert difference <= TOLERANCES[signature.format], folder
        differences[signature.format] = max(difference, differences.get(signature.format, 0))
    print("largest differences:", differences)


FLOAT64, BATCH_NORM = "training.precision=float64", "model={hidden_sizes: [5, 4], batch_norm: true, dropout: 0.3}"
MANY = tuple(
    ColumnInfo(f"x{i}", "number", fill=1.0) if i % 3 else ColumnInfo(f"x{i}", "category", categories=("a", "b"))
    for i in range(501)
)
EXTRA: list[tuple[Format, Checkpoint]] = [
    *(("onnx", make_checkpoint(name, "softmax", "columns", FLOAT64)) for name in ("leaky_relu", "gelu", "softplus")),
    *((name, make_checkpoint("tanh", "l1", "columns", FLOAT64, BATCH_NORM)) for name in TOLERANCES),
    *((name, make_checkpoint("gelu", "regression 3", "columns", "model.hidden_sizes=[]")) for name in TOLERANCES),
    *((name, make_checkpoint("sigmoid", "softmax", "", in_features=6)) for name in TOLERANCES),
    *((name, make_checkpoint("sigmoid", "softmax", "", columns=MANY)) for name in TOLERANCES),
    ("onnx", make_checkpoint("sigmoid", "regression 1", "", columns=MANY[1:3] * 251)),
]


def test_a_spread_of_models(clean_place: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    cases: list[tuple[Format, Checkpoint]] = []
    for number, case in enumerate(GRID[::23]):
        cases += [("torch" if number % 3 else "onnx", make_checkpoint(*case)), ("safetensors", make_checkpoint(*case))]
    check_all([write(Path(str(i)), checkpoint, format_) for i, (format_, checkpoint) in enumerate([*cases, *EXTRA])])


def test_a_difference_that_is_rounding_of_unscaled_inputs_is_explained() -> None:
    checkpoint = replace(make_checkpoint("relu", "regression 1", "numbers"), input_scaling=Scaling.identity())
    predictor = build_predictor(checkpoint)
    signature = Signature("safetensors", predictor, {})
    raw = np.random.default_rng(0).uniform(1e5, 1e6, (500, 3))
    reference = Reference(raw, predict_raw(predictor, raw), np.ones(1))
    exact = predict_raw(replace(predictor, model=copy.deepcopy(predictor.model).double()), raw)
    with pytest.raises(CheckFailed, match="differs from dlcli") as failed:
        compare({"predictions": exact, "example": exact[-1:]}, signature, reference)
    assert "rounding to float32 alone changes dlcli's predictions by " in str(failed.value.hint)
    with pytest.raises(CheckFailed, match="differs from dlcli") as failed:
        compare({"predictions": exact[::-1], "example": exact[:1]}, signature, reference)
    assert "please report this" in str(failed.value.hint)


@pytest.mark.long
@pytest.mark.parametrize("format_", TOLERANCES)
def test_every_activation_head_and_kind_of_input(clean_place: Path, format_: Format) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    check_all([write(Path(str(i)), make_checkpoint(*case), format_) for i, case in enumerate(GRID)])
