from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.errors import DataError, DivergedError
from dlcli.runs import recorder as recorder_module
from dlcli.runs.checkpoint import load_checkpoint
from dlcli.runs.create import create_run
from dlcli.runs.folder import RunFolder
from dlcli.runs.log import CSV, JSONL
from dlcli.runs.recorder import Recorder
from dlcli.training.events import EpochEnded, StepEnded
from dlcli.training.fit import Fit


class Recording:
    """A real training with its recorder, driven event by event."""

    def __init__(self, *overrides: str) -> None:
        config = load_config("digits", ["training.epochs=4", *overrides]).config
        experiment = build_experiment(config)
        self.folder: RunFolder = create_run("a")
        self.folder.checkpoint("last").parent.mkdir()
        self.model = experiment.model
        self.fit = Fit(experiment.model, experiment.task, experiment.splits, config, report_seconds=0.0)
        self.recorder = Recorder(self.folder, self.fit, experiment.splits, config)

    def parameters(self, which: str) -> dict[str, torch.Tensor]:
        return dict(load_checkpoint(self.folder.checkpoint(which)).parameters)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock of the recorder by the first entry of a list."""
    seconds = [0.0]
    monkeypatch.setattr(recorder_module, "time", SimpleNamespace(perf_counter=lambda: seconds[0]))
    return seconds


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_best_and_last_contain_the_best_and_the_last_epoch(clean_place: Path) -> None:
    recording = Recording("optimizer.lr=2", "scheduler.name=none", "training.epochs=8")
    after_epoch = {}
    for event in recording.fit:
        recording.recorder.handle(event)
        if isinstance(event, EpochEnded):
            after_epoch[event.epoch] = recording.fit.parameters()
    summary = recording.folder.read_summary()
    assert 1 < summary["best_epoch"] < 8, "the best epoch must not be the last"
    assert same(recording.parameters("best"), after_epoch[summary["best_epoch"]])
    assert same(recording.parameters("last"), after_epoch[8])
    assert (summary["status"], summary["epochs"]) == ("finished", 8)
    assert summary["best_because"] == "lowest val/loss"
    rows = [json.loads(line) for line in (recording.folder.path / JSONL).read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert summary["val"]["loss"] == min(row["val/loss"] for row in rows)
    assert set(rows[0]) >= {"epoch", "step", "lr", "train/loss", "val/loss", "epoch_seconds", "examples_per_second"}
    lines = (recording.folder.path / CSV).read_text().splitlines()
    assert lines[0].split(",") == list(rows[0])
    assert len(lines) == 9


def test_a_checkpoint_is_saved_within_an_epoch_after_every_seconds(clean_place: Path, clock: list[float]) -> None:
    recording = Recording("training.batch_size=8")
    event = next(iter(recording.fit))
    assert isinstance(event, StepEnded)
    recording.recorder.handle(event)
    assert not recording.folder.checkpoint("last").exists()
    clock[0] += 61
    recording.recorder.handle(event)
    saved = load_checkpoint(recording.folder.checkpoint("last"))
    assert (saved.epoch, saved.step) == (1, event.step)
    assert saved.training is not None
    assert saved.training.position == recording.fit.position
    assert saved.training.position.examples == 8 * event.step


def test_the_previous_checkpoint_is_kept(clean_place: Path, clock: list[float]) -> None:
    recording = Recording()
    steps = []
    for event in recording.fit:
        clock[0] += 1.5
        recording.recorder.handle(event)
        if isinstance(event, EpochEnded):
            steps.append(event.step)
    saved = [load_checkpoint(recording.folder.checkpoint(which)).step for which in ("previous", "last")]
    assert saved == steps[-2:]


def test_a_diverged_model_does_not_replace_a_saved_model(clean_place: Path, clock: list[float]) -> None:
    recording = Recording("training.step=eager")  # trains the parameters of `model` in place
    events = iter(recording.fit)
    for event in events:
        clock[0] += 1.5
        recording.recorder.handle(event)
        if isinstance(event, EpochEnded):
            break
    clock[0] += 100
    sound = recording.fit.parameters()
    with torch.no_grad():
        recording.model[0].bias.fill_(torch.inf)
    events = iter(recording.fit)
    with pytest.raises(DivergedError, match=r"the largest 0\.bias is inf"), recording.recorder:
        recording.recorder.handle(next(events))
    assert same(recording.parameters("last"), sound)
    assert same(recording.parameters("best"), sound)
    assert recording.folder.read_summary()["status"] == "diverged"


def test_an_error_while_writing_the_summary_does_not_hide_the_first_error(
    clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording()

    def fail(*_: object) -> None:
        raise DataError("cannot write summary.json: No space left on device")

    monkeypatch.setattr(recorder_module, "write_json", fail)
    with pytest.raises(DataError, match=r"the first"), recording.recorder:
        raise DataError("the first")
