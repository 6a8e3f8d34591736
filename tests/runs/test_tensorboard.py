"""Log for TensorBoard, read back by TensorBoard's own reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from faults.outcome import outcome

import dlcli as package
from dlcli.config.render import deciding_settings
from dlcli.errors import DataError, UsageError
from dlcli.runs import tensorboard
from dlcli.training.events import EpochEnded, Event
from dlcli.training.listeners import Listeners

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra `tensorboard`"
)
hparams = pytest.importorskip("tensorboard.plugins.hparams.metadata", reason="needs the extra `tensorboard`")

SETTINGS = ["training.epochs=4", "scheduler=null", "model.hidden_sizes=[8]", "plots=never"]


def read(run: str | Path) -> Any:
    assert len(list((Path(run) / "tensorboard").iterdir())) == 1
    reader = accumulator.EventAccumulator(str(Path(run) / "tensorboard"))
    reader.Reload()
    return reader


def scalars(reader: Any, tag: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in reader.Scalars(tag)]


def rows(run: str | Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def test_every_row_is_a_scalar_and_settings_and_final_metrics_are_hparams(clean_place: Path) -> None:
    result = package.train("digits", SETTINGS, run_dir="run", log=["tensorboard"], evaluate_test=True)
    reader = read("run")
    for name in set(rows("run")[0]) - {"step"}:
        assert scalars(reader, name) == [(row["step"], row[name]) for row in rows("run")], name
    contents = reader.PluginTagToContent("hparams")
    start = hparams.parse_session_start_info_plugin_data(contents[hparams.SESSION_START_INFO_TAG])
    settings = deciding_settings(package.open_run("run").config)
    assert start.hparams.keys() == settings.keys()
    assert start.hparams["optimizer.lr"].number_value == settings["optimizer.lr"]
    assert start.hparams["model.hidden_sizes"].string_value == "[8]"
    assert start.hparams["optimizer.nesterov"].bool_value is False
    assert hparams.parse_session_end_info_plugin_data(contents[hparams.SESSION_END_INFO_TAG]).status == 1, "success"
    assert result.test is not None
    for name, value in result.val.items():
        assert scalars(reader, f"best/val/{name}") == [(rows("run")[-1]["step"], value)]
    assert scalars(reader, "test/accuracy")[0][1] == result.test["accuracy"]


def test_an_interrupted_run_continues_without_double_rows(clean_place: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        package.train("digits", SETTINGS, run_dir="run", log="tensorboard", listeners=Listeners(stop))  # type: ignore[arg-type]
    assert len(scalars(read("run"), "val/loss")) == 3
    other = Path("run/tensorboard/events.out.tfevents.1.host")  # of another program
    other.touch()
    package.resume("run")
    assert len([*other.parent.iterdir()]) == 2
    other.unlink()
    reader = read("run")
    assert scalars(reader, "val/loss") == [(row["step"], row["val/loss"]) for row in rows("run")]
    assert sorted(event.wall_time for event in reader.Scalars("lr")) == [e.wall_time for e in reader.Scalars("lr")]
    package.train("digits", SETTINGS, run_dir="whole")
    assert outcome(Path("run")) == outcome(Path("whole"))


@pytest.mark.parametrize("function", ["write_atomic", "append_bytes"])
def test_a_log_that_cannot_be_written_is_noted_once_and_the_run_continues(
    clean_place: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_: object) -> None:
        raise DataError("cannot write: No space left on device")

    monkeypatch.setattr(tensorboard, function, fail)
    notes: list[str] = []
    result = package.train(
        "digits", SETTINGS, run_dir="run", log=["tensorboard"], listeners=Listeners(notify=notes.append)
    )
    assert result.epochs == 4
    assert len([note for note in notes if "the log for TensorBoard ends here, the run continues" in note]) == 1


def test_a_link_instead_of_the_folder_is_not_followed(clean_place: Path) -> None:
    package.train("digits", ["training.epochs=1", *SETTINGS[1:]], run_dir="run")
    Path("elsewhere").mkdir()
    Path("run/tensorboard").symlink_to(Path("elsewhere").absolute())
    package.resume("run", ["training.epochs=2"], log=["tensorboard"])
    assert not any(Path("elsewhere").iterdir())


def test_a_missing_package_is_an_error_with_the_command_to_install_it(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dlcli("train", "digits", *SETTINGS, "--run-dir", "run", "--log", "tensorboard").code == 0
    monkeypatch.setattr(tensorboard, "find_spec", lambda _: None)
    done = dlcli("train", "digits", "--run-dir", "other", "--log", "tensorboard")
    assert (done.code, "pip install tensorboard" in done.err) == (2, True)
    assert not Path("other").exists()
    done = dlcli("train", "--resume", "run", "training.epochs=5")
    assert done.code == 0
    assert "is not continued" in done.err


def test_the_name_of_the_log_is_checked() -> None:
    with pytest.raises(UsageError, match="log must be a list of tensorboard"):
        package.train("digits", log=["wandb"])  # type: ignore[list-item]
