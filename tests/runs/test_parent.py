"""Training that starts from a trained model: its parameters, its preprocessing, and independence of the parent."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Finished
from faults.forge import Forge
from faults.outcome import RESUME, TRAIN, outcome
from torch import Tensor

import dlcli as package
from dlcli.config.load import LoadedConfig, load_config
from dlcli.errors import ConfigError, DataError, DlcliError, UsageError
from dlcli.experiment import Experiment, build_experiment
from dlcli.model import build_mlp
from dlcli.overview import describe_inputs
from dlcli.runs.checkpoint import load_checkpoint
from dlcli.runs.parent import find_parent

BLOBS = {"name": "synthetic_classification", "pattern": "blobs", "in_features": 64, "n_classes": 3, "n_samples": 300}
SETTINGS = {"model": {"hidden_sizes": [8, 5]}, "training": {"epochs": 2}, "plots": "never"}


def train_parent(run_dir: str = "parent", overrides: Any = ()) -> str:
    return package.train({"data": BLOBS, **SETTINGS}, overrides, run_dir=run_dir).run


def child(*overrides: str, run: str = "parent") -> LoadedConfig:
    return load_config({"data": {"name": "digits"}, **SETTINGS}, [f"model.init.run={run}", *overrides])


def start(loaded: LoadedConfig) -> Experiment:
    loaded, found = find_parent(loaded)
    assert found is not None
    return build_experiment(loaded.config, parent=found.parent)


def parameters(run: str, which: str = "best") -> dict[str, Tensor]:
    return dict(load_checkpoint(Path(run) / "checkpoints" / f"{which}.safetensors").parameters)


@pytest.mark.parametrize("which", ["best", "last"])
def test_layers_of_the_same_shape_have_the_bits_of_the_parent_and_the_head_is_drawn(
    clean_place: Path, which: str
) -> None:
    theirs = parameters(train_parent(), which)
    experiment = start(child(f"model.init.checkpoint={which}", "seed=3"))
    drawn = build_mlp(64, 10, load_config("digits", ["model.hidden_sizes=[8,5]"]).config.model, seed=3).state_dict()
    ours = experiment.model.state_dict()
    assert all(torch.equal(ours[f"{i}.{kind}"], theirs[f"{i}.{kind}"]) for i in (0, 2) for kind in ("weight", "bias"))
    assert all(torch.equal(ours[f"4.{kind}"], drawn[f"4.{kind}"]) for kind in ("weight", "bias"))
    assert not torch.equal(ours["0.weight"], drawn["0.weight"])
    name = f"{clean_place.name}/parent"
    assert f"2 of 3 layers from {name}; the last is new: 10 outputs instead of 3" in experiment.splits.notes


def test_dropout_and_batch_norm_may_differ_from_those_of_the_parent(clean_place: Path) -> None:
    theirs = parameters(train_parent(overrides={"model.batch_norm": True, "model.dropout": 0.1}))
    ours = start(child("model.batch_norm=true")).model.state_dict()  # Linear, BatchNorm1d, Sigmoid
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(ours[f"4.{name}"], theirs[f"5.{name}"]), name
    assert torch.equal(ours["3.weight"], theirs["4.weight"])
    assert torch.equal(start(child()).model.state_dict()["2.weight"], theirs["4.weight"])


def test_a_killed_run_ends_with_the_same_bits_without_its_parent(forge: Forge, clean_place: Path) -> None:
    train_parent("kept")
    train = [*TRAIN, "model={hidden_sizes: [8, 5], init: {run: parent}}"]
    shutil.copytree("kept", "parent")
    ended = forge.run(*train, folder=clean_place, fault={"eager_saves": True, "count": True})
    assert ended.code == 0, ended.err
    shutil.move("runs/run", "whole")
    operations = int(Path("operations").read_text().split()[0])
    for number in range(3, operations, 13):
        shutil.copytree("kept", "parent", dirs_exist_ok=True)
        fault = {"eager_saves": True, "half": True, "crash_at": number}
        assert forge.run(*train, folder=clean_place, fault=fault).code == -signal.SIGKILL
        has_begun = Path("runs/run/manifest.json").exists()
        if has_begun:
            shutil.rmtree("parent")
        ended = forge.run(*(RESUME if has_begun else train), folder=clean_place)
        assert ended.code == 0, ended.err
        assert outcome(Path("runs/run")) == outcome(Path("whole")), f"after a crash at operation {number}"
        shutil.rmtree("runs")


def test_a_moved_run_is_verified_without_its_parent(clean_place: Path) -> None:
    sha256 = load_checkpoint(Path(train_parent()) / "checkpoints/best.safetensors").sha256
    val = package.train(child(), run_dir="run").val
    shutil.rmtree("parent")
    shutil.move("run", "moved")
    verified = package.verify("moved")
    assert verified.identical
    assert "checkpoints/parent.safetensors" in verified.compared
    assert package.evaluate("moved", split="val").metrics["loss"] == val["loss"]
    recorded = json.loads(Path("moved/manifest.json").read_text())["parent"]
    assert recorded == {"run": str(clean_place / "parent"), "checkpoint": "best", "sha256": sha256}


def test_a_damaged_or_exchanged_copy_of_the_parent_is_refused(clean_place: Path) -> None:
    train_parent()
    package.train(child(), run_dir="run")
    train_parent("second", {"seed": 1})
    copy = Path("run/checkpoints/parent.safetensors")
    content = copy.read_bytes()
    copy.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="damaged"):
        package.verify("run")
    shutil.copy("second/checkpoints/best.safetensors", copy)
    with pytest.raises(DataError, match="is not the checkpoint that the run started from"):
        package.resume("run", ["training.epochs=3"])
    copy.unlink()
    with pytest.raises(DataError, match=r"parent\.safetensors does not exist") as caught:
        package.verify("run")
    assert caught.value.hint == "restore the file, or train again"
    copy.write_bytes(content)
    assert package.verify("run").identical
    with pytest.raises(UsageError, match=r"model\.init\.run: "):
        package.resume("run", ["training.epochs=3", "model.init.run=second"])


def test_a_run_is_found_by_its_name_or_beside_the_config_file(dlcli: Callable[..., Finished]) -> None:
    config = "data: {name: digits}\nmodel: {hidden_sizes: [8, 5], init: normal}\ntraining: {epochs: 1}\n"
    Path("there").mkdir()
    Path("there/mine.yaml").write_text(config.replace("normal", "{run: before}"))
    Path("by-name.yaml").write_text(config)
    for folder in ("there/before", "runs/named"):
        train_parent(folder)
    for arguments in (["-c", "there/mine.yaml"], ["-c", "by-name.yaml", "model.init.run=named"]):
        done = dlcli("train", *arguments, "--run-dir", "run")
        assert done.code == 0, done.err
        assert "3 of 3 layers" not in done.err
        assert "2 of 3 layers from" in done.err
        shutil.rmtree("run")


@pytest.mark.parametrize(
    ("run", "settings", "error", "message"),
    [
        ("nope", [], ConfigError, r"command line: run 'nope' not found"),
        ("parent", ["model.hidden_sizes=[3]"], UsageError, "no layer of .* fits: layer 1: 3 outputs instead of 8; the"),
        ("parent", ["model.init.sha256=abc"], DataError, r"is not the checkpoint of model\.init\.sha256"),
        ("parent", ["model.init.preprocessing=keep"], DataError, "no pictures there, pictures of 1×8×8 here"),
        ("parent/metrics.jsonl", [], ConfigError, "is not a run folder"),
    ],
)
def test_a_parent_that_does_not_fit_is_an_error(
    clean_place: Path, run: str, settings: list[str], error: type[DlcliError], message: str
) -> None:
    train_parent()
    with pytest.raises(error, match=message):
        package.train(child(*settings, run=run), run_dir="run")
    assert not Path("run").exists()


def test_only_training_starts_from_a_run(clean_place: Path) -> None:
    train_parent()
    with pytest.raises(UsageError, match="only the training of a run can start from another"):
        package.gradcheck(child())


def write_table(name: str, shift: float, columns: str = "size,kind,y") -> None:
    rows = [{"size": i + shift, "kind": "ab"[i % 2], "y": ["no", "yes"][i % 3 > 0]} for i in range(60)]
    lines = [",".join(str(row[column]) for column in columns.split(",")) for row in rows]
    Path(name).write_text("\n".join([columns, *lines]) + "\n")


def table(path: str, *overrides: str) -> LoadedConfig:
    return load_config({"data": {"name": "csv", "path": path, "target": "y"}, **SETTINGS}, overrides)


def test_kept_preprocessing_encodes_other_data_as_the_parent_does(clean_place: Path) -> None:
    write_table("old.csv", shift=0.0)
    write_table("new.csv", shift=1000.0, columns="kind,y,size")
    Path("new.csv").write_text(Path("new.csv").read_text() + "c,no,1000\n" * 6)
    package.train(table("old.csv"), run_dir="parent")
    kept, fitted = (
        start(table("new.csv", "model.init.run=parent", f"model.init.preprocessing={how}")).splits
        for how in ("keep", "fit")
    )
    theirs = load_checkpoint(Path("parent/checkpoints/best.safetensors"))
    assert kept.info.columns == theirs.info.columns != fitted.info.columns
    assert torch.equal(kept.input_scaling.shift, theirs.input_scaling.shift)
    assert kept.train.inputs[:, 0].min() > 30
    shown = describe_inputs(table("new.csv", "model.init={run: parent, preprocessing: keep}").config, kept)
    assert shown.endswith(" (scaling of parent)")
    assert abs(fitted.train.inputs[:, fitted.info.feature_names.index("size")].mean()) < 1e-5
    assert any("categories, encoded as in" in note and "'c' (6)" in note for note in kept.notes)
    run = package.train(table("new.csv", "model.init={run: parent, preprocessing: keep}"), run_dir="run").run
    shutil.rmtree("parent")
    assert package.verify(run).identical


@pytest.mark.parametrize(
    ("columns", "difference"), [("size,y", "'kind' only there"), ("kind,size,y,y2", "'y2' only here")]
)
def test_kept_preprocessing_needs_the_same_columns(clean_place: Path, columns: str, difference: str) -> None:
    write_table("old.csv", shift=0.0)
    package.train(table("old.csv"), run_dir="parent")
    lines = [line.split(",") for line in Path("old.csv").read_text().splitlines()]
    order = {"size": 0, "kind": 1, "y": 2, "y2": 0}
    chosen = [",".join(cells[order[name]] for name in columns.split(",")) for cells in lines[1:]]
    Path("new.csv").write_text("\n".join([columns, *chosen]) + "\n")
    with pytest.raises(DataError, match=difference):
        start(table("new.csv", "model.init={run: parent, preprocessing: keep}"))


def test_kept_preprocessing_keeps_the_scaling_of_the_same_target(clean_place: Path) -> None:
    config = {"task": "regression", "data": {"name": "synthetic_regression", "n_samples": 100}, **SETTINGS}
    package.train(config, run_dir="parent")
    keep = "model.init={run: parent, preprocessing: keep}"
    splits = start(load_config(config, [keep, "data.seed=5", "data.noise=3.0"])).splits
    theirs = load_checkpoint(Path("parent/checkpoints/best.safetensors"))
    assert torch.equal(splits.target_scaling.scale, theirs.target_scaling.scale)
