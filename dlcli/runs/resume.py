"""Where an interrupted run goes on, and whether it may."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dlcli.config.render import deciding_settings, render_value
from dlcli.config.schema import Config
from dlcli.errors import DataError, UsageError
from dlcli.runs.checkpoint import Checkpoint, DamagedError, load_checkpoint
from dlcli.runs.files import read_file, to_json, write_json, write_whole
from dlcli.runs.folder import RunFolder
from dlcli.runs.log import Row, read_rows, rewrite_log
from dlcli.runs.manifest import describe_environment, describe_start

_EPOCHS = "training.epochs"
_SHAPED_BY_EPOCHS = ("cosine", "one_cycle")  # their learning rates of the first steps depend on the last


@dataclass(frozen=True)
class ResumePoint:
    """Where a run goes on.

    Attributes:
        checkpoint: The newest that is sound and whose past is whole; None for the start.
        rows: The log up to there.
        damaged: Files that are not what was written.
        notes: What was passed over, and why.
    """

    checkpoint: Checkpoint | None
    rows: Sequence[Row]
    damaged: Sequence[Path]
    notes: Sequence[str]


def find_resume_point(folder: RunFolder) -> ResumePoint:
    """Return the newest point that training can go on from, as if it had never stopped.

    Raises:
        DataError: If a checkpoint cannot be read, or a newer dlcli wrote it.
    """
    rows, damaged, notes = read_rows(folder.path), [], []
    for path in (folder.checkpoint("last"), folder.checkpoint("previous")):
        if not path.exists():
            continue
        try:
            checkpoint = load_checkpoint(path)
        except DamagedError as error:
            damaged.append(path)
            notes.append(error.message)
            continue
        if reason := _find_gap(folder, checkpoint, rows):
            notes.append(f"cannot go on from {path}: {reason}")
            continue
        assert checkpoint.training is not None
        if notes:
            notes.append(f"going on from {path}, epoch {checkpoint.epoch}, step {checkpoint.step}")
        return ResumePoint(checkpoint, rows[: checkpoint.training.position.epochs], damaged, notes)
    notes.append("training from the start, which comes to the same")
    return ResumePoint(None, [], damaged, notes)


def _find_gap(folder: RunFolder, checkpoint: Checkpoint, rows: Sequence[Row]) -> str | None:
    """Return what a checkpoint builds upon that is not there any more."""
    if checkpoint.training is None:
        return "it holds a model alone"
    if len(rows) < checkpoint.training.position.epochs:
        return f"metrics.jsonl has lost epoch {len(rows) + 1}"
    if checkpoint.training.best.best_epoch:
        best = folder.checkpoint("best")
        if not best.exists():
            return f"{best} has been lost"
        try:
            load_checkpoint(best)
        except DamagedError as error:
            return error.message
    return None


def check_changes(folder: RunFolder, then: Mapping[str, Any], now: Config) -> None:
    """Refuse to go on with other settings; `training.epochs` may be raised.

    Args:
        folder: The run's.
        then: Its deciding settings so far.
        now: The config to go on with.

    Raises:
        UsageError: Naming each difference.
    """
    before = json.loads(to_json(dict(then)))
    after = json.loads(to_json(deciding_settings(now)))
    changes = {
        key: (before.get(key), after.get(key)) for key in {**before, **after} if before.get(key) != after.get(key)
    }
    anew = f"train anew: `dlcli train -c {folder.resolved} key=value`"
    if changes.keys() == {_EPOCHS} and after[_EPOCHS] > before[_EPOCHS]:
        if now.scheduler.name in _SHAPED_BY_EPOCHS:
            message = f"{_EPOCHS} decides the learning rates of scheduler {now.scheduler.name} from the first step on"
            raise UsageError(f"{folder.path} cannot go on with other epochs: {message}", hint=anew)
        return
    if changes:
        lines = [f"  {key}: {_shown(old)} in the run, {_shown(new)} now" for key, (old, new) in changes.items()]
        message = "\n".join([f"{folder.path} cannot go on with other settings", *lines])
        raise UsageError(message, hint=f"only {_EPOCHS} may be raised; {anew}")


def _shown(value: Any) -> str:
    return render_value(tuple(value) if isinstance(value, list) else value)


def reopen_run(
    folder: RunFolder, config: Config, point: ResumePoint, device: torch.device, command: Sequence[str]
) -> None:
    """Bring a run's folder to the state of `point`, and note in its manifest that it goes on.

    A crash at any moment leaves a run that can be resumed.

    Args:
        folder: The run's, which this process owns.
        config: What to go on with.
        point: Where to.
        device: Where it will train.
        command: How it was called.

    Raises:
        DataError: If the folder cannot be written to, or its manifest not be read.
    """
    manifest = folder.read_manifest()
    try:
        for path in point.damaged:
            os.replace(path, path.with_name(f"{path.name}.damaged"))
        checkpoints = folder.checkpoint("last").parent
        if checkpoints.is_symlink():
            raise DataError(f"{checkpoints} is a link; a run writes into its own folder", hint="copy what it leads to")
        checkpoints.mkdir(exist_ok=True)
        for temporary in (*folder.path.glob(".*.tmp"), *checkpoints.glob(".*.tmp")):
            os.unlink(temporary)
        if folder.summary.exists():
            os.unlink(folder.summary)
    except OSError as error:
        raise DataError(f"cannot write to {folder.path}: {error.strerror or error}") from error
    rewrite_log(folder.path, point.rows)
    _record_epochs(folder, config.training.epochs)
    step = point.checkpoint.step if point.checkpoint else 0
    resumed = {**describe_start(command), "from_step": step, **describe_environment(device)}
    write_json(folder.manifest, {**manifest, "resumed": [*manifest.get("resumed", ()), resumed]})


def _record_epochs(folder: RunFolder, epochs: int) -> None:
    """Have resolved.yaml tell how many epochs there are now; the origins of all other values stay."""
    text = read_file(folder.resolved).decode()
    raised = re.sub(
        rf"(?m)^  epochs: (?!{epochs}\b).*$", f"  epochs: {epochs}  # raised when the run was resumed", text
    )
    if raised != text:
        write_whole(folder.resolved, raised.encode())
