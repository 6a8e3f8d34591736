"""Where an interrupted run continues, and whether it may."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dlcli.config.load import LoadedConfig
from dlcli.config.schema import Config
from dlcli.errors import DataError, UsageError
from dlcli.runs.checkpoint import Checkpoint, DamagedError
from dlcli.runs.files import to_json, write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.identity import (
    EPOCHS,
    PATIENCE,
    different_settings,
    identifying_settings,
    limits,
    lowered_limits,
    render_setting,
)
from dlcli.runs.log import JSONL, Row, log_digest, read_rows, rewrite_log
from dlcli.runs.manifest import describe_environment, describe_start
from dlcli.runs.resolved import record_limits
from dlcli.runs.run_checkpoint import Which, find_best, load_run_checkpoint
from dlcli.runs.summary import summarize


@dataclass(frozen=True)
class ResumePoint:
    """Where a run continues.

    Attributes:
        which: The file of the checkpoint: last or previous.
        checkpoint: The newest that is sound and whose past is whole; None for the start.
        rows: The log up to there.
        damaged: Files that are not what was written.
        notes: What was passed over, and why.
    """

    which: Which
    checkpoint: Checkpoint | None
    rows: Sequence[Row]
    damaged: Sequence[Path]
    notes: Sequence[str]


def find_resume_point(folder: RunFolder, own: Config) -> ResumePoint:
    """Return the newest point that training can continue from, as if it had never stopped.

    Args:
        folder: The run's.
        own: Its config, from resolved.yaml.

    Raises:
        DataError: If a checkpoint cannot be read, is of another run, or another version of dlcli wrote it.
    """
    rows, damaged, notes = read_rows(folder.path), [], []
    which: Which
    for which in ("last", "previous"):
        path = folder.checkpoint(which)
        if not path.exists():
            continue
        try:
            checkpoint = load_run_checkpoint(folder, which, own)
        except DamagedError as error:
            damaged.append(path)
            notes.append(error.message)
            continue
        if reason := _find_gap(folder, checkpoint, rows):
            notes.append(f"cannot continue from {path}: {reason}")
            continue
        assert checkpoint.training is not None
        if notes:
            notes.append(f"continuing from {path}, epoch {checkpoint.epoch}, step {checkpoint.step}")
        return ResumePoint(which, checkpoint, rows[: checkpoint.training.position.epochs], damaged, notes)
    notes.append("restarting from epoch 1; the result will be identical")
    return ResumePoint("last", None, [], damaged, notes)


def _find_gap(folder: RunFolder, checkpoint: Checkpoint, rows: Sequence[Row]) -> str | None:
    """Return what a checkpoint builds upon that is not there any more."""
    assert checkpoint.training is not None
    if len(rows) < checkpoint.training.position.epochs:
        return f"metrics.jsonl has lost epoch {len(rows) + 1}"
    if log_digest(rows[: checkpoint.training.position.epochs]) != checkpoint.log_sha256:
        message = f"{folder.path / JSONL} is not the log that the checkpoints were saved with"
        raise DataError(message, hint="restore it; without it, the run is trained from epoch 1 again")
    if checkpoint.best_sha256 is not None and find_best(folder, checkpoint.best_sha256) is None:
        return f"{folder.checkpoint('best')} is missing, damaged or of another run"
    return None


def check_summary(folder: RunFolder, point: ResumePoint, own: Config) -> None:
    """Refuse the summary of another run, where the run has ended.

    Raises:
        DataError: If it does not agree with the log and the last checkpoint.
    """
    summary, checkpoint = folder.read_summary(), point.checkpoint
    if summary["status"] not in ("finished", "stopped early") or checkpoint is None or point.notes:
        return
    assert checkpoint.training is not None
    best = checkpoint.training.best
    expected = summarize(point.rows, best.best_epoch, own.checkpoint.monitor, checkpoint.best_sha256)
    if unlike := [key for key, value in expected.items() if to_json(summary.get(key)) != to_json(value)]:
        message = f"{folder.summary} does not agree with the checkpoints and the log: {', '.join(unlike)}"
        raise DataError(message, hint="restore it, or delete it: `--resume` writes it again")


def check_changes(folder: RunFolder, own: Config, now: Config) -> None:
    """Refuse to continue with other settings; `training.epochs` and `early_stopping.patience` may be raised.

    Args:
        folder: The run's.
        own: Its config so far.
        now: The config to continue with.

    Raises:
        UsageError: Naming each difference.
    """
    anew = f"train anew: `dlcli train -c {folder.resolved} key=value`"
    changes = different_settings(identifying_settings(own), identifying_settings(now))
    if changes.keys() == {EPOCHS} and now.training.epochs > own.training.epochs:
        message = f"{EPOCHS} decides the learning rates of scheduler {now.scheduler.name} from the first step on"
        raise UsageError(f"{folder.path} cannot continue with other epochs: {message}", hint=anew)
    then, after = limits(own), limits(now)
    changes |= {
        EPOCHS if name == "epochs" else PATIENCE: (then[name], after[name]) for name in lowered_limits(then, after)
    }
    if changes:
        lines = [
            f"  {key}: {render_setting(old)} in the run, {render_setting(new)} now"
            for key, (old, new) in changes.items()
        ]
        message = "\n".join([f"{folder.path} cannot continue with other settings", *lines])
        raise UsageError(message, hint=f"only {EPOCHS} and {PATIENCE} may be changed, and only raised; {anew}")


def reopen_run(
    folder: RunFolder,
    own: LoadedConfig,
    config: Config,
    point: ResumePoint,
    device: torch.device,
    command: Sequence[str],
) -> None:
    """Bring a run's folder to the state of `point`, and note in its manifest that it continues.

    A crash at any moment leaves a run that can be resumed.

    Args:
        folder: The run's, which this process owns.
        own: Its config so far.
        config: What to continue with.
        point: Where.
        device: Where it will train.
        command: How it was called.

    Raises:
        DataError: If the folder cannot be written to, or its manifest not be read.
    """
    manifest = folder.read_manifest()
    try:
        _tidy(folder, point)
    except OSError as error:
        raise DataError(f"cannot write to {folder.path}: {error.strerror or error}") from error
    rewrite_log(folder.path, point.rows)
    record_limits(folder, own, limits(config))
    step = point.checkpoint.step if point.checkpoint else 0
    resumed = {**describe_start(command), "from_step": step, **describe_environment(device)}
    write_json(folder.manifest, {**manifest, "resumed": [*manifest.get("resumed", ()), resumed]})


def _tidy(folder: RunFolder, point: ResumePoint) -> None:
    """Remove what is left of the time after `point`: its checkpoint becomes `last`, the one it records `best`.

    The summary goes first: the best checkpoint that it records may be newer. Then `last`, which records another.
    """
    checkpoints = folder.checkpoint("last").parent
    if checkpoints.is_symlink():
        raise DataError(f"{checkpoints} is a link; a run writes into its own folder", hint="copy what it leads to")
    checkpoints.mkdir(exist_ok=True)
    folder.summary.unlink(missing_ok=True)
    for path in point.damaged:
        os.replace(path, path.with_name(f"{path.name}.damaged"))
    if point.checkpoint is None:  # nothing of an earlier training may be taken for one of the new
        for which in ("last", "previous"):
            folder.checkpoint(which).unlink(missing_ok=True)
    elif point.which == "previous":
        os.replace(folder.checkpoint("previous"), folder.checkpoint("last"))
    if point.checkpoint is not None and (found := find_best(folder, point.checkpoint.best_sha256)):
        os.replace(found[0], folder.checkpoint("best"))
    for temporary in (*folder.path.glob(".*.tmp"), *checkpoints.glob(".*.tmp")):
        os.unlink(temporary)
