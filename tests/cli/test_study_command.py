"""The command `dlcli study`."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished

from dlcli.errors import DataError
from dlcli.lecture.studies.catalogue import STUDIES

QUICK = ("--seeds", "2", "training.epochs=2", "model.hidden_sizes=[8]")


def strict_json(text: str) -> dict[str, object]:
    value = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    assert isinstance(value, dict)
    return value


def test_studies_are_listed_with_their_questions_without_torch(dlcli: Callable[..., Finished]) -> None:
    for words in (["study"], ["study", "--list"]):
        listed = dlcli(*words)
        assert listed.code == 0
        assert len(listed.out.splitlines()) == len(STUDIES) == 8
        assert all(name in listed.out and study.question in listed.out for name, study in STUDIES.items())
        assert all(len(line) <= 80 for line in listed.out.splitlines())
    assert set(strict_json(dlcli("study", "--json").out)["studies"]) == set(STUDIES)  # type: ignore[call-overload]
    code = "import sys; from dlcli.cli import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "study", "--list"], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


@pytest.mark.parametrize("name", [name for name in STUDIES if name not in ("depth", "closed-form-vs-sgd")])
def test_every_image_study_runs(dlcli: Callable[..., Finished], clean_place: Path, name: str) -> None:
    extra = () if name == "learning-rate" else ("optimizer.lr=0.5",)
    done = dlcli("study", name, *QUICK, *extra)
    assert done.code == 0, done.err
    assert all(len(line) <= 80 for line in done.out.splitlines()), done.out
    assert "seed 2: test accuracy" in done.err
    assert (clean_place / "studies" / name / "results.json").exists()


def test_depth_and_closed_form_studies_run(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    done = dlcli("study", "depth", "--seeds", "2", "training.epochs=1", "optimizer.lr=1", "-o", "deep", "--json")
    record = strict_json(done.out)
    eight = record["variants"][3]  # type: ignore[index]
    norms = eight["trainings"][0]["gradient_norms"]
    assert len(norms) == 9
    assert norms[0] < 1e-3 * norms[-1], "the gradient vanishes"
    done = dlcli("study", "closed-form-vs-sgd", "--data", "synthetic_regression", "--seeds", "2", "training.epochs=10")
    assert done.code == 0, done.err
    assert "test RMSE" in done.out
    saved = json.loads((clean_place / "studies" / "closed-form-vs-sgd" / "results.json").read_text())
    solved, descent = saved["variants"][0], saved["variants"][1]
    assert solved["lr"] is None
    assert descent["trainings"][0]["curve"][-1] < 0.1, "gradient descent approaches least squares"


def test_a_study_writes_a_figure_and_all_results(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    done = dlcli("study", "mse-vs-cross-entropy", *QUICK, "seed=7", "-o", "here/it", "--json")
    assert done.code == 0
    printed = strict_json(done.out)
    folder = clean_place / "here" / "it"
    assert {file.name for file in folder.iterdir()} == {"figure.png", "figure.svg", "results.json"}
    saved = strict_json((folder / "results.json").read_text())
    assert {key: printed[key] for key in saved} == saved
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert ET.parse(folder / "figure.svg").getroot().tag.endswith("svg")
    assert (saved["tuning_seed"], saved["seeds"]) == (7, [8, 9])
    first, second = saved["variants"]  # type: ignore[misc]
    assert first["config"]["loss.name"] == "cross_entropy"
    assert second["config"]["loss.name"] == "mse"
    tests = [[training["test"] for training in variant["trainings"]] for variant in (first, second)]
    mean = sum(b - a for a, b in zip(*tests, strict=True)) / 2
    assert second["difference"]["mean"] == pytest.approx(mean)
    assert saved["versions"]["torch"]  # type: ignore[index]
    before = (folder / "results.json").read_bytes()
    again = strict_json(dlcli("study", "mse-vs-cross-entropy", *QUICK, "seed=7", "-o", "here/it", "--json").out)
    strip = lambda variants: [[training["curve"] for training in variant["trainings"]] for variant in variants]  # noqa: E731
    assert strip(again["variants"]) == strip(json.loads(before)["variants"]), "the same seeds give the same numbers"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mse-vs-crossentropy"], "did you mean `dlcli study mse-vs-cross-entropy`?"),
        (["depth", "--seeds", "1"], "--seeds"),
        (["depth", "--data", "diabetes"], "depth runs on digits or fashion_mnist, not on diabetes"),
        (["depth", "model.hidden_sizes=[3]"], "which the study varies"),
        (["mse-vs-cross-entropy", "loss={name: mse}"], "which the study varies"),
        (["closed-form-vs-sgd", "model.hidden_sizes=[3]"], "which the study keeps fixed"),
        (["depth", "data.name=moons"], "--data fashion_mnist"),
        (["depth", "optimizer.lrr=3"], "did you mean `optimizer.lr`?"),
        (["depth", "seed=4294967295"], "seed"),
        (["depth", "-o", "full"], "holds files that are not results of depth"),
        (["depth", "-o", "other"], "holds files that are not results of depth"),
        (["depth", "-o", "full/mine.txt"], "cannot write into full/mine.txt"),
    ],
)
def test_invalid_requests_are_reported_before_any_training(
    dlcli: Callable[..., Finished], clean_place: Path, arguments: list[str], message: str
) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    Path("other").mkdir()
    Path("other/results.json").write_text('{"study": "batch-size"}')
    done = dlcli("study", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "seed 1:" not in done.err
    assert Path("full/mine.txt").read_text() == "mine"
    assert not Path("studies").exists()


def test_a_study_without_data_creates_no_folder(clean_place: Path) -> None:
    from dlcli.lecture.studies.run import study

    with pytest.raises(DataError):  # without a listener for notes, no download is attempted
        study("depth", ["data.root=nowhere"], data="fashion_mnist", folder=Path("out"))
    assert not Path("out").exists()
