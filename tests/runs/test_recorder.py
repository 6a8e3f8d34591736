from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dlcli.api import set_up
from dlcli.config.load import load_config
from dlcli.runs import recorder as recorder_module
from dlcli.runs.checkpoint import load_checkpoint
from dlcli.runs.folder import RunFolder, create_run
from dlcli.runs.log import CSV, JSONL
from dlcli.runs.recorder import Recorder
from dlcli.training.events import EpochEnded, FitEnded, StepEnded

STEP = StepEnded(epoch=2, step=5, train_loss=1.0, examples_per_second=1.0)


def epoch(number: int, loss: float, *, is_best: bool) -> EpochEnded:
    return EpochEnded(number, number * 3, 0.1, 1.0, {"loss": loss, "accuracy": 0.5}, 0.1, 100.0, is_best)


@pytest.fixture
def recording(clean_place: Path) -> tuple[RunFolder, torch.nn.Sequential, Recorder]:
    config = load_config("digits").config
    setup = set_up(config)
    folder = create_run("a")
    return folder, setup.model, Recorder(folder, setup.model, setup.splits, config.checkpoint)


def fill(model: torch.nn.Sequential, value: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


def bias(folder: RunFolder, which: str) -> float:
    return load_checkpoint(folder.checkpoint(which)).parameters["2.bias"][0].item()


def test_best_holds_the_best_epoch_and_last_the_last(
    recording: tuple[RunFolder, torch.nn.Sequential, Recorder],
) -> None:
    folder, model, recorder = recording
    for number, loss, is_best in ((1, 0.9, True), (2, 0.4, True), (3, 0.6, False)):
        fill(model, number)
        recorder.handle(epoch(number, loss, is_best=is_best))
    recorder.handle(FitEnded(3, "epochs", 2, 0.4))
    assert (bias(folder, "best"), bias(folder, "last")) == (2.0, 3.0)
    best = load_checkpoint(folder.checkpoint("best"))
    assert (best.epoch, best.step, best.val["loss"]) == (2, 6, 0.4)
    summary = folder.read_summary()
    assert (summary["status"], summary["epochs"], summary["best_epoch"]) == ("finished", 3, 2)
    assert summary["best_because"] == "lowest val/loss"
    rows = [json.loads(line) for line in (folder.path / JSONL).read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert set(rows[0]) >= {"epoch", "step", "lr", "train/loss", "val/loss", "epoch_seconds", "examples_per_second"}
    lines = (folder.path / CSV).read_text().splitlines()
    assert lines[0].split(",") == list(rows[0])
    assert len(lines) == 4


def test_within_an_epoch_it_saves_when_the_time_has_come(
    recording: tuple[RunFolder, torch.nn.Sequential, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model, recorder = recording
    now = recorder_module.time.perf_counter()
    monkeypatch.setattr(recorder_module.time, "perf_counter", lambda: now)
    recorder.handle(STEP)
    assert not folder.checkpoint("last").exists()
    now += 61
    fill(model, 7)
    recorder.handle(STEP)
    assert bias(folder, "last") == 7
    assert (load_checkpoint(folder.checkpoint("last")).epoch, load_checkpoint(folder.checkpoint("last")).step) == (2, 5)


def test_a_diverged_model_does_not_replace_a_sound_one(
    recording: tuple[RunFolder, torch.nn.Sequential, Recorder],
) -> None:
    folder, model, recorder = recording
    fill(model, 1)
    recorder.handle(epoch(1, 0.9, is_best=True))
    fill(model, torch.nan)
    recorder.close("diverged", is_sound=False)
    assert bias(folder, "best") == 1
    assert not folder.checkpoint("last").exists()
