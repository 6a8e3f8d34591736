"""Training on arrays in Python: the same results as on a file, and a run folder that needs nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from conftest import Finished
from faults.outcome import outcome
from sklearn.datasets import load_digits, load_iris

import dlcli as package
from dlcli.errors import DataError, DlcliError, UsageError

SHORT = {"training": {"epochs": 2}, "plots": "never"}
FEATURES, LABELS = load_iris(return_X_y=True)
PICTURES = load_digits().images[:200].astype(np.uint8)
DIGITS = load_digits().target[:200]


def info(**options: Any) -> Any:
    return package.open_run(package.train(run_dir="run", **options)).predictor.info


def test_results_are_those_of_the_same_arrays_in_a_file(clean_place: Path) -> None:
    names = np.array(["setosa", "versicolor", "virginica"])
    np.savez("data.npz", inputs=FEATURES, targets=names[LABELS])
    by_file = package.train({"data": {"name": "npz", "path": "data.npz"}, **SHORT}, run_dir="by-file")
    by_arrays = package.train(SHORT, data=(torch.from_numpy(FEATURES), list(names[LABELS])), run_dir="by-arrays")
    assert outcome(Path(by_arrays.run)) == outcome(Path(by_file.run))
    objects = FEATURES.astype(object)  # as pandas gives columns of several types
    by_objects = package.train(SHORT, data=(objects, names[LABELS].astype(object)), run_dir="by-objects")
    assert outcome(Path(by_objects.run)) == outcome(Path(by_file.run))


def test_tensors_of_two_bytes_keep_their_values(clean_place: Path) -> None:
    features = torch.from_numpy(FEATURES).bfloat16()
    package.train(SHORT, data=(features, LABELS), run_dir="run")
    with np.load("run/data.npz") as stored:
        assert np.array_equal(stored["inputs"], features.double().numpy())


@pytest.mark.parametrize("kind", ["features", "pictures", "values"])
def test_a_moved_run_is_evaluated_resumed_and_verified(dlcli: Callable[..., Finished], kind: str) -> None:
    data = {"features": (FEATURES, LABELS), "pictures": (PICTURES, DIGITS), "values": (FEATURES[:, :3], FEATURES[:, 3])}
    task = "regression" if kind == "values" else "classification"
    package.train({"task": task, **SHORT}, data=data[kind], run_dir="run", evaluate_test=True)
    shutil.move("run", "moved")
    for command in ("train --resume moved training.epochs=3", "eval moved"):
        done = dlcli(*command.split())
        assert done.code == 0, (command, done.err)
    shutil.move("moved", "again")
    verified = package.verify("again")
    assert (verified.identical, "data.npz" in verified.compared) == (True, True)
    assert "  path: data.npz            # given as data" in Path("again/resolved.yaml").read_text()
    Path("again/data.npz").write_bytes(Path("again/data.npz").read_bytes()[:-1])
    assert dlcli("eval", "again").code == 3


@pytest.mark.parametrize(
    ("pictures", "shape"),
    [
        (PICTURES, (1, 8, 8)),
        (PICTURES.astype(np.float32) / 255, (1, 8, 8)),
        (PICTURES[..., np.newaxis], (1, 8, 8)),
        (np.stack([PICTURES] * 3, axis=-1), (3, 8, 8)),
        (np.stack([PICTURES] * 3, axis=1), (3, 8, 8)),
    ],
    ids=["bytes", "floats", "one channel", "channels last", "channels first"],
)
def test_pictures_become_bytes_with_the_channels_first(
    clean_place: Path, pictures: np.ndarray, shape: tuple[int, ...]
) -> None:
    assert info(source=SHORT, data=(pictures, DIGITS)).image_shape == shape
    with np.load("run/data.npz") as stored:
        inputs = stored["inputs"].reshape(200, *shape)
    assert np.array_equal(inputs, np.broadcast_to(PICTURES[:, np.newaxis], inputs.shape))


def test_names_come_from_a_data_frame_or_a_mapping(clean_place: Path) -> None:
    frame = pl.DataFrame({"length": FEATURES[:, 0], "width": FEATURES[:, 1]})
    assert info(source=SHORT, data=(frame, pl.Series(LABELS))).feature_names == ("length", "width")
    shutil.rmtree("run")
    data = {"inputs": frame, "targets": LABELS, "feature_names": ["a", "b"], "class_names": ["x", "y", "z"]}
    named = info(source="digits", overrides={"training.epochs": 1}, data=data)
    assert (named.feature_names, named.class_names) == (("a", "b"), ("x", "y", "z"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((FEATURES, LABELS[:5]), r"data: array 'targets' has shape \(5,\), which does not fit 150 inputs"),
        ((np.where(FEATURES > 7, np.nan, FEATURES), LABELS), r"data:\d+: column 'x1' has no value"),
        ((FEATURES + np.inf, LABELS), "data: array 'inputs' has 600 infinite values"),
        ((np.where(FEATURES > 7, None, FEATURES), LABELS), "data: inputs holds Python objects instead of numbers"),
        ((FEATURES, [object()] * 150), "data: targets holds Python objects instead of numbers or texts"),
        ((FEATURES[:, 0], LABELS), "instead of "),
        ((PICTURES / 7, DIGITS), "are pictures, and have values other than bytes"),
        (([[1, 2], [3]], [0, 1]), "data: inputs is no array"),
        (FEATURES, "data must be inputs and targets. Got ndarray instead"),
        ({"inputs": FEATURES, "labels": LABELS}, "data has 'labels', which is none of inputs, targets"),
        ({"inputs": FEATURES}, "data has no targets"),
        ({"inputs": FEATURES, "targets": LABELS, "class_names": ["a"]}, "data: array 'targets' has"),
    ],
)
def test_arrays_that_cannot_be_used_are_an_error_that_names_them(clean_place: Path, data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        package.train(SHORT, data=data, run_dir="run")
    assert caught.value.hint
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("source", "error"),
    [(package.load_config("digits"), UsageError), ({"training": {"epochs": 0}}, UsageError)],
)
def test_the_config_is_checked_too(clean_place: Path, source: Any, error: type[DlcliError]) -> None:
    with pytest.raises(error):
        package.train(source, data=(FEATURES, LABELS))
