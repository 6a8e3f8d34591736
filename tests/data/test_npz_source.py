"""Runs on NPZ files: features, pictures and several targets, all commands, changed and broken files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Finished

from dlcli.config.load import load_config
from dlcli.data.sources import load_splits
from dlcli.data.splits import Splits
from dlcli.errors import DataError


def make_arrays(n: int = 120) -> dict[str, np.ndarray]:
    """Return features and pictures of three classes."""
    draw = np.random.default_rng(0)
    labels = draw.integers(3, size=n)
    pictures = draw.integers(0, 80, (n, 4, 5)).astype(np.uint8)
    pictures[:, 0] += (labels * 80).astype(np.uint8)[:, None]
    return {"labels": labels, "features": draw.normal(size=(n, 3)) + labels[:, None], "pictures": pictures}


def load(task: str = "classification", **data: Any) -> Splits:
    config = {"task": task, "data": {"name": "npz", "path": "a.npz", **data}, "training": {"precision": "float64"}}
    return load_splits(load_config(config).config)


@pytest.mark.parametrize("kind", ["features", "pictures", "values"])
def test_a_run_is_trained_evaluated_resumed_and_verified(dlcli: Callable[..., Finished], kind: str) -> None:
    arrays = make_arrays()
    names = np.array(["zinc", "[red]", "\x1b[31m"])
    content = {"inputs": arrays["pictures" if kind == "pictures" else "features"], "targets": arrays["labels"]}
    content |= {"targets": arrays["features"][:, :2]} if kind == "values" else {"class_names": names}
    np.savez("a.npz", **content)  # type: ignore[arg-type]
    task = "regression" if kind == "values" else "classification"
    Path("a.yaml").write_text(f"task: {task}\ndata: {{name: npz, path: a.npz}}\ntraining: {{epochs: 2}}\n")
    assert dlcli("train", "-c", "a.yaml", "--run-dir", "run", "--eval").code == 0
    assert dlcli("train", "--resume", "run", "training.epochs=3").code == 0
    for command in ("data check a.yaml", "eval run", "verify run", "predict run --index 1", "report run"):
        done = dlcli(*command.split())
        assert done.code == 0, (command, done.err)
        assert "\x1b[31m" not in done.out + done.err, command
    assert "\x1b" not in Path("run/report.html").read_text()
    before = json.loads(Path("run/manifest.json").read_text())["data"]["sha256"]["a.npz"]
    content["inputs"] = content["inputs"][::-1].copy()
    np.savez("a.npz", **content)  # type: ignore[arg-type]
    for command in ("eval run", "verify run", "train --resume run training.epochs=4"):
        done = dlcli(*command.split())
        assert (done.code, f"SHA-256 of a.npz: {before} in the run, " in done.err) == (3, True), command


def test_classes_have_the_order_of_their_names_or_natural_order(clean_place: Path) -> None:
    arrays = make_arrays()
    for key in ("features", "pictures"):
        np.savez("a.npz", inputs=arrays[key], targets=arrays["labels"], class_names=np.array(["z", "10", "9"]))
        named = load()
        np.savez("a.npz", inputs=arrays[key], targets=np.array(["10", "9", "z"])[arrays["labels"]])
        unnamed = load()
        assert (named.info.class_names, unnamed.info.class_names) == (("z", "10", "9"), ("9", "10", "z"))
        counts = torch.from_numpy(np.bincount(arrays["labels"]))
        assert sum(part.targets.bincount() for part in (named.train, named.val, named.test)).tolist() == counts.tolist()


def test_missing_features_are_filled_and_missing_targets_dropped(clean_place: Path) -> None:
    arrays = make_arrays()
    arrays["features"][::7, 0] = np.nan
    values = arrays["features"][:, 1].copy()
    values[:20] = np.nan
    np.savez("a.npz", inputs=arrays["features"], targets=values)
    with pytest.raises(DataError, match=r"a\.npz:1: column 'x1' has no value, as in 17 more rows"):
        load("regression")
    with pytest.raises(DataError, match="column 'targets' has no value, and a missing target is never filled"):
        load("regression", missing="mean")
    np.savez("a.npz", inputs=arrays["features"], targets=arrays["labels"])
    assert load(missing="mean").info.columns[0].fill == pytest.approx(np.nanmean(arrays["features"][:, 0]), abs=0.2)
    for inputs in (arrays["features"][:, 1:], arrays["pictures"]):
        np.savez("a.npz", inputs=inputs, targets=values)
        splits = load("regression", missing="drop")
        assert len(splits.train) + len(splits.val) + len(splits.test) == 100


def test_files_of_the_splits_are_used_as_they_are(clean_place: Path) -> None:
    arrays = make_arrays()
    for key in ("features", "pictures"):
        for name, rows in (("train", slice(0, 80)), ("val", slice(80, 100)), ("test", slice(100, 120))):
            np.savez(name, inputs=arrays[key][rows], targets=arrays["labels"][rows])
        files = {name: f"{name}.npz" for name in ("train", "val", "test")}
        splits = load(path=None, **files)
        assert [split.targets.tolist() for split in (splits.val, splits.test)] == [
            arrays["labels"][80:100].tolist(),
            arrays["labels"][100:].tolist(),
        ]
        assert list(splits.info.checksums) == ["train", "val", "test"]
        np.savez("val", inputs=arrays[key][80:100, :2], targets=arrays["labels"][80:100])
        with pytest.raises(DataError, match=r"val\.npz has other inputs per example than .*train\.npz"):
            load(path=None, **files)


@pytest.mark.parametrize(
    ("task", "targets", "data", "message"),
    [
        ("classification", np.zeros(120, int), {}, "has a single class, '0'"),
        ("classification", np.eye(120, 3), {}, "array 'targets' has 3 columns instead of one class"),
        ("classification", np.arange(120) % 3, {"group": "x1"}, "data.group is for columns, and the inputs"),
        ("regression", np.array(["a", "2"] * 60), {}, "column 'targets' has 'a' in data row 1, which is not a finite"),
        ("regression", np.arange(1, 121) * 1e200, {}, r"column 'targets' has 1.2e\+202, too large for training"),
        ("regression", np.arange(120) * 1e-310, {}, "column 'targets' has 1.19e-308, too small for training"),
        ("classification", np.arange(120) % 3, {"types": {"x9": "category"}}, "column 'x9' is not in the file"),
        ("classification", np.arange(120) % 3, {"inputs": "pixels"}, "array 'pixels' is not in the file"),
    ],
)
def test_arrays_that_do_not_fit_the_config_are_refused(
    task: str, targets: np.ndarray, data: dict[str, Any], message: str, clean_place: Path
) -> None:
    np.savez("a.npz", inputs=make_arrays()["pictures"], targets=targets)
    with pytest.raises(DataError, match=message) as caught:
        load(task, **data)
    assert caught.value.hint
    assert caught.value.exit_code == 3
