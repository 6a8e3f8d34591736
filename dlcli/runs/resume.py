"""Resuming of runs: selection of a checkpoint, and checks of settings and files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcli.config.schema import Config, InitFromRun
from dlcli.errors import DataError, UsageError
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.files import to_json
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
from dlcli.runs.log import JSONL, Row, log_digest, read_rows
from dlcli.runs.run_checkpoint import Which, find_best, load_run_checkpoint
from dlcli.runs.summary import summarize
from dlcli.runs.tensor_file import DamagedError


@dataclass(frozen=True)
class ResumePoint:
    """Point that a run resumes from.

    Attributes:
        which: Name of the checkpoint, last or previous.
        checkpoint: Newest usable checkpoint; None restarts from epoch 1.
        rows: Log rows up to the checkpoint.
        damaged: Damaged checkpoint files.
        notes: Messages about unusable checkpoints, and where training continues instead.
    """

    which: Which
    checkpoint: Checkpoint | None
    rows: Sequence[Row]
    damaged: Sequence[Path]
    notes: Sequence[str]


def find_resume_point(folder: RunFolder, old: Config) -> ResumePoint:
    """Return the newest point that training can resume from with identical results.

    Args:
        folder: Run folder.
        old: Config of the run, from resolved.yaml.

    Raises:
        DataError: If a checkpoint cannot be read, belongs to another run or was written by another version of dlcli.
    """
    rows, damaged, notes = read_rows(folder.path), [], []
    which: Which
    for which in ("last", "previous"):
        path = folder.checkpoint(which)
        if not path.exists():
            continue
        try:
            checkpoint = load_run_checkpoint(folder, which, lambda: old)
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
    """Return a message about the first missing file or log row that a checkpoint depends on, or None.

    Raises:
        DataError: If the log does not match the checkpoint.
    """
    assert checkpoint.training is not None
    if len(rows) < checkpoint.training.position.epochs:
        return f"epoch {len(rows) + 1} is missing from metrics.jsonl"
    if log_digest(rows[: checkpoint.training.position.epochs]) != checkpoint.log_sha256:
        message = f"{folder.path / JSONL} does not match the checkpoints"
        raise DataError(message, hint="restore the file, or delete it to restart from epoch 1")
    if checkpoint.best_sha256 is not None and find_best(folder, checkpoint.best_sha256) is None:
        return f"{folder.checkpoint('best')} is missing, damaged or from another run"
    return None


def check_summary(folder: RunFolder, point: ResumePoint, config: Config) -> None:
    """Check that the summary of a completed run matches its log and last checkpoint.

    Raises:
        DataError: If the summary does not match.
    """
    summary, checkpoint = folder.read_summary(), point.checkpoint
    if summary["status"] not in ("finished", "stopped early") or checkpoint is None or point.notes:
        return
    assert checkpoint.training is not None
    best = checkpoint.training.best
    expected = summarize(point.rows, best.best_epoch, config.checkpoint.monitor, checkpoint.best_sha256)
    if mismatches := [key for key, value in expected.items() if to_json(summary.get(key)) != to_json(value)]:
        message = f"{folder.summary} does not match the checkpoints and the log: {', '.join(mismatches)}"
        raise DataError(
            message, hint="restore the file, or delete it and run `dlcli train --resume RUN` to write it again"
        )


def check_changes(folder: RunFolder, old: Config, new: Config) -> None:
    """Check that no setting of a run changes; `training.epochs` and `early_stopping.patience` may be raised.

    Args:
        folder: Run folder.
        old: Config of the run.
        new: Config to continue with.

    Raises:
        UsageError: If other settings differ; the message lists every difference.
    """
    hint = f"start a new run with `dlcli train -c {folder.resolved} key=value`"
    changes = different_settings(identifying_settings(old), identifying_settings(new))
    if changes.keys() == {EPOCHS} and new.training.epochs > old.training.epochs:
        message = f"every learning rate of scheduler {new.scheduler.name} depends on {EPOCHS}"
        raise UsageError(f"{folder.path} cannot continue with more epochs: {message}", hint=hint)
    old_limits, new_limits = limits(old), limits(new)
    changes |= {
        EPOCHS if name == "epochs" else PATIENCE: (old_limits[name], new_limits[name])
        for name in lowered_limits(old_limits, new_limits)
    }
    if moved := _changed_parent(old, new):
        changes["model.init.run"] = moved
    if changes:
        lines = [
            f"  {key}: {render_setting(before)} in the run, {render_setting(after)} now"
            for key, (before, after) in changes.items()
        ]
        message = "\n".join([f"{folder.path} cannot continue with other settings", *lines])
        raise UsageError(message, hint=f"only {EPOCHS} and {PATIENCE} may be changed, and only raised; {hint}")


def _changed_parent(old: Config, new: Config) -> tuple[str, str] | None:
    """Return the old and the new run to start from if they differ, or None.

    A name in place of a path is no difference, because it stands for the run that it selected at first.
    """
    inits = (old.model.init, new.model.init)
    before, after = (str(init.run) if isinstance(init, InitFromRun) else "" for init in inits)
    return (before, after) if before != after and os.path.isabs(after) else None
