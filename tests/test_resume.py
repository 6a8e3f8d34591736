"""Tests of resuming: results are bit-identical to an uninterrupted run, and changed settings are reported."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from faults.outcome import outcome

from dlcli.api import resume, train
from dlcli.config.load import load_config
from dlcli.errors import Interrupted
from dlcli.runs import recorder
from dlcli.training import batches, fit
from dlcli.training.batches import count_batches
from dlcli.training.events import EpochEnded, Event, StepEnded
from dlcli.training.listeners import Listeners

# Settings with different training state, added to digits or diabetes with three epochs and a batch size of 50.
SETTINGS = {
    "sgd": ["optimizer.momentum=0"],
    "momentum": ["optimizer.momentum=0.9"],
    "nesterov and clipping": ["optimizer={momentum: 0.9, nesterov: true}", "training.gradient_clip_norm=0.1"],
    "adam": ["optimizer={name: adam, lr: 0.01}"],
    "adamw": ["optimizer={name: adamw, lr: 0.01, weight_decay: 0.1}"],
    "rmsprop": ["optimizer={name: rmsprop}"],
    "rmsprop with momentum": ["optimizer={name: rmsprop, momentum: 0.9}"],
    "batch norm": ["model.batch_norm=true", "model.dropout=0.3", "optimizer={name: adam}"],
    "dropout": ["model.dropout=0.3"],
    "eager with dropout": ["model.dropout=0.3", "training.step=eager"],
    "warm-up": ["scheduler.warmup_epochs=1.5"],
    "cosine": ["scheduler.name=cosine"],
    "no validation split": [
        "data.val_fraction=0",
        "scheduler={name: plateau, patience: 0}",
        "early_stopping={patience: 1, min_delta: 0.5}",
        "optimizer.lr=0.5",
    ],
    "step": ["scheduler={name: step, step_size: 1, gamma: 0.3}"],
    "exponential": ["scheduler={name: exponential, gamma: 0.5}"],
    "one cycle": ["scheduler.name=one_cycle"],
    "plateau": ["scheduler={name: plateau, patience: 0}", "optimizer.lr=3"],
    "early stopping": ["early_stopping={patience: 1, min_delta: 0.5}", "training.epochs=6"],
    "full batch": ["training.batch_size=full"],
    "float64": ["training.precision=float64", "model.activation=gelu"],
}


class Stop:
    """Listeners that simulate a signal when training reaches a step."""

    def __init__(self, step: int, *, after_epoch: bool = False) -> None:
        self._step, self._kind = step, EpochEnded if after_epoch else StepEnded
        self._received: int | None = None
        self.listeners = Listeners(listen=self._listen, should_stop=lambda: self._received)

    def _listen(self, event: Event) -> None:
        if isinstance(event, self._kind) and event.step == self._step:
            self._received = signal.SIGTERM


@pytest.fixture(autouse=True)
def _report_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(batches, "MOST_BATCHES", 1)
    monkeypatch.setattr(sys, "argv", ["dlcli", "train"])


@pytest.mark.parametrize("preset", ["digits", "diabetes"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_results_are_identical_after_a_stop_at_the_first_middle_and_last_step(
    clean_place: Path, preset: str, settings: list[str]
) -> None:
    shared = ["training={epochs: 3, batch_size: 50}", "scheduler=null", "early_stopping=null"]
    loaded = load_config(preset, [*shared, *settings])
    train(loaded, run_dir=Path("whole"))
    expected = outcome(Path("whole"))
    has_val = "data.val_fraction=0" not in settings
    examples = {"digits": (1438, 1295), "diabetes": (354, 283)}[preset][has_val]
    steps = count_batches(examples, loaded.config.training.batch_size)
    stops = {steps + 1, steps + max(1, steps // 2), 2 * steps}
    for step in stops:
        run = Path(f"stopped at {step}")
        with pytest.raises(Interrupted, match=r"interrupted (in|after) epoch 2") as caught:
            train(loaded, run_dir=run, listeners=Stop(step).listeners)
        assert caught.value.exit_code == 143
        assert f"`dlcli train --resume '{run}'`" in str(caught.value.hint)
        resume(str(run))
        assert outcome(run) == expected, f"stopped at step {step}, with {steps} steps per epoch"
    assert len(stops) == (1 if steps == 1 else 3)


def stop_and_resume(steps: list[int], settings: list[str]) -> dict[str, Any]:
    run = Path("stopped")
    with pytest.raises(Interrupted):
        train(load_config("digits", settings), run_dir=run, listeners=Stop(steps[0]).listeners)
    for step in steps[1:]:
        with pytest.raises(Interrupted):
            resume(str(run), listeners=Stop(step).listeners)
    resume(str(run))
    return outcome(run)


def test_resume_works_before_a_short_last_group_of_batches(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_BATCHES", 25)
    settings = ["training={epochs: 3, batch_size: 50}"]  # 26 batches per epoch
    train(load_config("digits", settings), run_dir=Path("whole"))
    assert stop_and_resume([26 + 25], settings) == outcome(Path("whole"))


def test_results_are_identical_after_many_stops(clean_place: Path) -> None:
    settings = ["training.epochs=2", "model.dropout=0.1"]
    train(load_config("digits", settings), run_dir=Path("whole"))
    assert stop_and_resume(list(range(1, 43, 3)), settings) == outcome(Path("whole"))


@pytest.mark.parametrize("damage", ["flipped", "cut short", "missing"])
def test_resume_continues_from_the_previous_checkpoint_if_last_is_damaged(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(recorder, "SAVE_SECONDS", 0.0)
    loaded = load_config("digits", ["training.epochs=4", "model.dropout=0.1"])
    train(loaded, run_dir=Path("whole"))
    run = Path("stopped")
    with pytest.raises(Interrupted):
        train(loaded, run_dir=run, listeners=Stop(3 * 21 + 5).listeners)
    last = run / "checkpoints" / "last.safetensors"
    content = last.read_bytes()
    if damage == "missing":  # possible after a crash between two renames
        last.unlink()
    else:
        last.write_bytes(content[:-100] if damage == "cut short" else content[:-1] + bytes([content[-1] ^ 4]))
    done = dlcli("train", "--resume", "stopped")
    assert done.code == 0
    assert "from step 63, in epoch 4" in done.err
    if damage != "missing":
        assert "note: cannot use stopped/checkpoints/last.safetensors: it is damaged" in done.err
        assert "note: continuing from stopped/checkpoints/previous.safetensors, epoch 3, step 63" in done.err
    assert outcome(run) == outcome(Path("whole"))


@pytest.mark.parametrize("output", ["text", "json"])
def test_quiet_output_reports_a_damaged_last_checkpoint(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setattr(recorder, "SAVE_SECONDS", 0.0)
    with pytest.raises(Interrupted):
        train(load_config("digits", ["training.epochs=3"]), run_dir=Path("run"), listeners=Stop(2 * 21 + 5).listeners)
    last = Path("run/checkpoints/last.safetensors")
    last.write_bytes(last.read_bytes()[:-100])
    done = dlcli("train", "--resume", "run", "-q", *(["--json"] if output == "json" else []))
    assert (done.code, done.err) == (0, "")
    notes = json.loads(done.out)["recovered"] if output == "json" else done.out.splitlines()
    assert any("cannot use run/checkpoints/last.safetensors: it is damaged" in note for note in notes)
    assert any("continuing from run/checkpoints/previous.safetensors" in note for note in notes)


def test_raising_epochs_gives_the_same_result_as_starting_with_more(
    dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    settings = ["scheduler={name: step, step_size: 2}", "model.dropout=0.1"]
    train(load_config("digits", [*settings, "training.epochs=5"]), run_dir=Path("whole"))
    train(load_config("digits", [*settings, "training.epochs=2"]), run_dir=Path("raised"))
    assert dlcli("train", "--resume", "raised", "training.epochs=5", "--quiet").code == 0
    assert outcome(Path("raised")) == outcome(Path("whole"))
    resolved = Path("raised/resolved.yaml").read_text()
    assert re.search("epochs: 5 +# raised when the run was resumed", resolved)
    assert re.search("model:\n.*\n.*\n.*\n +dropout: 0.1 +# command line", resolved), "other origins must be kept"
    assert dlcli("verify", "raised").code == 0


PATIENCE = ["early_stopping={patience: 1, min_delta: 0.2}", "training.epochs=9", "scheduler=null", "model.dropout=0.1"]


@pytest.mark.parametrize("patience", ["2", "null"])
def test_raising_patience_gives_the_same_result_as_starting_with_more(
    dlcli: Callable[..., Finished], clean_place: Path, patience: str
) -> None:
    higher = f"early_stopping.patience={patience}"
    train(load_config("digits", [*PATIENCE, higher]), run_dir=Path("whole"))
    first = train(load_config("digits", PATIENCE), run_dir=Path("raised"))
    assert (first.status, first.epochs < 7) == ("stopped early", True)
    done = dlcli("train", "--resume", "raised", higher, "--quiet", "--json")
    assert done.code == 0
    assert json.loads(done.out)["steps_trained"] > 0
    assert outcome(Path("raised")) == outcome(Path("whole"))
    assert re.search(
        f"patience: {patience} +# raised when the run was resumed", Path("raised/resolved.yaml").read_text()
    )
    for command in ("verify", "eval", "predict", "report"):
        assert dlcli(command, "raised").code == 0
    lowered = dlcli("train", "--resume", "raised", "early_stopping.patience=1")
    assert lowered.code == 2
    assert f"early_stopping.patience: {patience} in the run, 1 now" in lowered.err
    assert "only training.epochs and early_stopping.patience may be changed, and only raised" in lowered.err


def test_raising_only_epochs_does_not_continue_after_early_stopping(
    dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    train(load_config("digits", PATIENCE), run_dir=Path("run"))
    before = outcome(Path("run"))
    done = dlcli("train", "--resume", "run", "training.epochs=100", "-q")
    assert done.code == 0
    assert "status    early stopping ended training after epoch " in done.out
    assert "nothing is left to train; raise early_stopping.patience to continue" in done.out
    result = json.loads(dlcli("train", "--resume", "run", "training.epochs=100", "-q", "--json").out)
    assert result["steps_trained"] == 0
    assert "raise early_stopping.patience" in result["nothing_left"]
    assert outcome(Path("run")) == before
    both = dlcli("train", "--resume", "run", "training.epochs=10", "early_stopping.patience=null", "-q", "--json")
    assert json.loads(both.out)["epochs"] == 10
    assert dlcli("verify", "run", "-q").code == 0


@pytest.mark.parametrize("command", ["eval", "predict", "report", "verify", "export --format safetensors"])
def test_a_best_checkpoint_from_before_raising_epochs_stays_valid(
    dlcli: Callable[..., Finished], clean_place: Path, command: str
) -> None:
    settings = ["optimizer.lr=2", "scheduler=null"]
    first = train(load_config("digits", [*settings, "training.epochs=5"]), run_dir=Path("run"))
    assert dlcli("train", "--resume", "run", "training.epochs=6", "-q").code == 0
    train(load_config("digits", [*settings, "training.epochs=6"]), run_dir=Path("whole"))
    assert outcome(Path("run")) == outcome(Path("whole"))
    assert json.loads(Path("run/summary.json").read_text())["best_epoch"] == first.best_epoch == 5
    assert dlcli(*command.split(), "run").code == 0


def test_resuming_a_finished_run_reports_that_nothing_is_left(
    dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    dlcli("train", "-c", "digits", "training.epochs=2", "--run-dir", "run")
    before = outcome(Path("run"))
    done = dlcli("train", "--resume", "run", "--eval")
    assert done.code == 0
    assert "note: run: all 2 epochs are done: nothing is left to train" in done.err
    assert "status    all 2 epochs are done: nothing is left to train" in done.out
    assert "test      loss" in done.out
    assert {**outcome(Path("run")), "summary": None} == {**before, "summary": None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimizer.lr=9"], "optimizer.lr: 0.2 in the run, 9.0 now"),
        (["model.hidden_sizes=[5]", "seed=3"], "seed: 0 in the run, 3 now"),
        (["--seed", "1"], "seed: 0 in the run, 1 now"),
        (["training.epochs=1"], "training.epochs: 2 in the run, 1 now"),
        (["training.epochs=9"], "every learning rate of scheduler cosine depends on training.epochs"),
        (["-c", "moons"], "data.name: digits in the run, synthetic_classification now"),
        (["--run-dir", "other"], "--resume cannot be combined with --run-dir"),
        (["--dry-run"], "--resume cannot be combined with --dry-run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_settings_are_rejected_with_the_differences(
    dlcli: Callable[..., Finished], clean_place: Path, arguments: list[str], message: str
) -> None:
    dlcli("train", "-c", "digits", "training.epochs=2", "--run-dir", "run")
    before = outcome(Path("run"))
    refused = dlcli("train", "--resume", "run", *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert "hint: " in refused.err
    assert outcome(Path("run")) == before


def test_manually_edited_settings_are_rejected(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    dlcli("train", "-c", "digits", "training.epochs=2", "--run-dir", "run")
    text = Path("run/resolved.yaml").read_text()
    Path("run/resolved.yaml").write_text(text.replace("momentum: 0.9", "momentum: 0.8"))
    refused = dlcli("train", "--resume", "run")
    assert refused.code == 3
    assert "optimizer.momentum is 0.9 in last.safetensors and 0.8 in resolved.yaml" in refused.err


def test_a_moved_run_can_be_resumed(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    loaded = load_config("digits", ["training.epochs=2"])
    train(loaded, run_dir=Path("whole"))
    with pytest.raises(Interrupted):
        train(loaded, run_dir=Path("stopped"), listeners=Stop(30).listeners)
    (clean_place / "far" / "away").mkdir(parents=True)
    Path("stopped").rename("far/away/moved")
    assert dlcli("train", "-c", "digits", "training.epochs=2", "--resume", "far/away/moved").code == 0
    assert outcome(Path("far/away/moved")) == outcome(Path("whole"))


def test_resume_does_not_write_through_links_in_an_untrusted_run(
    dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    with pytest.raises(Interrupted):
        train(load_config("digits", ["training.epochs=2"]), run_dir=Path("run"), listeners=Stop(30).listeners)
    Path("precious").write_text("mine")
    (Path("run") / "metrics.jsonl").rename("rows")
    (Path("run") / "metrics.csv").unlink()
    for name in ("metrics.jsonl", "metrics.csv", "summary.json.tmp", ".manifest.json.tmp"):
        (Path("run") / name).symlink_to("../precious")
    assert dlcli("train", "--resume", "run").code == 0
    assert Path("precious").read_text() == "mine"
    Path("run/checkpoints").rename("outside")
    Path("run/checkpoints").symlink_to("../outside")
    Path("run/summary.json").unlink()
    before = {path: path.read_bytes() for path in Path("outside").iterdir()}
    refused = dlcli("train", "--resume", "run")
    assert refused.code == 3
    assert "run/checkpoints is a link; a run only writes into its own folder" in refused.err
    assert {path: path.read_bytes() for path in Path("outside").iterdir()} == before


def test_usage_errors_are_reported_before_torch_is_imported(clean_place: Path) -> None:
    train(load_config("digits", ["training.epochs=1"]), run_dir=Path("run"))
    for arguments in (["run", "optimizer.lr=-1"], ["nothing"], ["run", "--dry-run"]):
        call = f"import sys; sys.argv = ['dlcli', 'train', '--resume', *{arguments}]; from dlcli.cli import main"
        check = "\ntry: main()\nexcept SystemExit as end: assert end.code == 2\nassert 'torch' not in sys.modules"
        done = subprocess.run([sys.executable, "-c", call + check], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_diverged_run_is_not_resumed(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    settings = ["optimizer.lr=1e18", "model.activation=relu"]
    first = dlcli("train", "-c", "digits", *settings, "--run-dir", "run")
    assert first.code == 5
    assert "training diverged: train/loss is nan in epoch 1, step 3" in first.err, "the message must include the step"
    again = dlcli("train", "--resume", "run")
    assert again.code == 5
    assert "run would diverge again: training diverged" in again.err


def test_a_checkpoint_of_a_newer_dlcli_is_not_changed(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlcli.runs import checkpoint

    newer = checkpoint.SCHEMA + 1
    monkeypatch.setattr(checkpoint, "SCHEMA", newer)
    dlcli("train", "-c", "digits", "training.epochs=2", "--run-dir", "run")
    before = outcome(Path("run"))
    monkeypatch.undo()
    refused = dlcli("train", "--resume", str(clean_place / "run"))
    assert refused.code == 3
    assert f"it was written by a newer dlcli (schema {newer}; this version reads {newer - 1})" in refused.err
    assert outcome(clean_place / "run") == before


def test_verify_trains_again_with_identical_results(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    loaded = load_config("digits", ["training.epochs=3", "model.dropout=0.2"])
    with pytest.raises(Interrupted):
        train(loaded, run_dir=Path("run"), listeners=Stop(50).listeners)
    within = dlcli("verify", "run")
    assert within.code == 0, within
    assert "2 epochs, 50 steps retrained: metrics and parameters are bit-identical" in within.out
    resume("run")
    assert dlcli("verify", "run", "--json").code == 0


def test_verify_reports_differences_and_environment_changes(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    train(load_config("digits", ["training.epochs=2"]), run_dir=Path("run"))
    path = Path("run/metrics.jsonl")
    path.write_text(path.read_text().replace('"val/loss": 0.', '"val/loss": 1.', 1))
    manifest = Path("run/manifest.json")
    manifest.write_text(manifest.read_text().replace('"torch": "', '"torch": "1.'))
    failed = dlcli("verify", "run")
    assert failed.code == 6
    assert "epoch 1: val/loss was 1." in failed.out
    assert "changed   version of torch was 1." in failed.out
    assert "error: retraining run gave different results" in failed.err
    assert "these differ: version of torch" in failed.err
