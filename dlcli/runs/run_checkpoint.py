"""Loading of checkpoints of a run, checked against the records of the run.

The checkpoint `last` records the SHA-256 of the matching checkpoint `best`. A new `best` is written first, the old
file is kept as `best-previous`, and the rename of the new `last` then switches to the new `best`. The recorded file
therefore always exists under one of the two names.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from dlcli.config.paths import as_argument
from dlcli.config.schema import Config
from dlcli.errors import DataError
from dlcli.runs.checkpoint import Checkpoint, load_checkpoint
from dlcli.runs.folder import RunFolder
from dlcli.runs.identity import check_identity
from dlcli.runs.tensor_file import DamagedError

Which: TypeAlias = Literal["best", "last", "previous"]
BESTS = ("best", "best-previous")
NONE = "none"  # stands for a missing SHA-256 before the end of the first epoch


def has_checkpoint(folder: RunFolder, which: Which) -> bool:
    """Return whether a run has a checkpoint, intact or damaged.

    Raises:
        DataError: If the summary or a checkpoint cannot be read.
    """
    names = BESTS if which == "best" else (which,)
    exists = any(folder.checkpoint(name).exists() for name in names)
    return exists and not (which == "best" and _recorded_best(folder) == NONE)


def load_run_checkpoint(folder: RunFolder, which: Which, read_config: Callable[[], Config]) -> Checkpoint:
    """Load a checkpoint and check that it belongs to the run; see `find_run_checkpoint`."""
    return find_run_checkpoint(folder, which, read_config)[1]


def find_run_checkpoint(folder: RunFolder, which: Which, read_config: Callable[[], Config]) -> tuple[Path, Checkpoint]:
    """Return path and content of a checkpoint, and check that it belongs to the run.

    Args:
        folder: Run folder.
        which: Checkpoint to load; `best` is the file whose SHA-256 is recorded in the summary or, without a summary, in
            the last checkpoint.
        read_config: Function that returns the config of the run; called last, so that a damaged checkpoint is reported
            first.

    Raises:
        DamagedError: If the checkpoint is damaged.
        DataError: If the checkpoint is missing, cannot be read, or does not match resolved.yaml and manifest.json.
        ConfigError: If resolved.yaml cannot be read.
    """
    path = folder.checkpoint(which)
    if not has_checkpoint(folder, which):
        raise DataError(f"{path} does not exist", hint=_explain_missing(folder))
    if which == "best":
        sha256 = _recorded_best(folder)
        path, checkpoint = _find_recorded(folder, sha256) or (path, load_checkpoint(path))
        if sha256 not in (None, checkpoint.sha256):
            raise DataError(
                f"{path} is not the best checkpoint of this run: its SHA-256 differs from the recorded SHA-256",
                hint=f"restore the file, or train it again with `dlcli train --resume {folder.path}`",
            )
        if checkpoint.training is not None:
            raise DataError(f"{path} is not a best checkpoint: it contains training state", hint="restore the file")
    else:
        checkpoint = load_checkpoint(path)
        if checkpoint.training is None:
            raise DataError(f"{path} contains only a model and no training state", hint="restore the file")
    check_identity(folder, path.name, checkpoint, read_config())
    return path, checkpoint


def _explain_missing(folder: RunFolder) -> str:
    """Return a hint that says why a run has no checkpoint and what to do.

    It does not suggest resuming a diverged run, which would diverge again.
    """
    run = as_argument(str(folder.path))
    if folder.status == "diverged":
        return f"training diverged; `dlcli runs show {run} --diagnose` says why and what to try"
    with suppress(DataError):
        epochs = folder.read_summary().get("epochs")
    if epochs:
        return f"its checkpoints were deleted; train it again with `dlcli train -c {as_argument(str(folder.config))}`"
    return f"no epoch has finished yet; continue with `dlcli train --resume {run}`"


def find_best(folder: RunFolder, sha256: str | None) -> tuple[Path, Checkpoint] | None:
    """Return path and content of the best checkpoint with the given SHA-256; None if it is missing or damaged."""
    for name in BESTS if sha256 is not None else ():
        path = folder.checkpoint(name)
        with suppress(DataError):
            if (checkpoint := load_checkpoint(path)).sha256 == sha256:
                return path, checkpoint
    return None


def _find_recorded(folder: RunFolder, sha256: str | None) -> tuple[Path, Checkpoint] | None:
    """Return the result of `find_best`; if the run has a summary, only the file `best` is accepted."""
    best = find_best(folder, sha256)
    has_ended = "best_sha256" in folder.read_summary()
    return None if best and has_ended and best[0] != folder.checkpoint("best") else best


def _recorded_best(folder: RunFolder) -> str | None:
    """Return the recorded SHA-256 of the best checkpoint; None without a record.

    Before the end of the first epoch, it is `NONE`. The summary has priority over the checkpoints: it is written last,
    and after divergence, it records a newer best model than `last` does.
    """
    summary = folder.read_summary()
    if "best_sha256" in summary:
        return str(summary["best_sha256"] or NONE)
    for which in ("last", "previous"):
        path = folder.checkpoint(which)
        if path.exists():
            with suppress(DamagedError):
                return load_checkpoint(path).best_sha256 or NONE
    return None
