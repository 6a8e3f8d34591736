"""The one way to the checkpoints of a run: each is checked against its run's record before it is used.

The checkpoint `last` records the SHA-256 of the checkpoint `best` that belongs to it. A new `best` is written before
the `last` that records it, and the one before it is kept as `best-previous`; renaming `last` is what makes the new one
count. At every moment the recorded file is therefore there, under one of the two names.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.errors import DataError
from dlcli.runs.checkpoint import NO_EPOCH, Checkpoint, DamagedError, load_checkpoint
from dlcli.runs.folder import RunFolder
from dlcli.runs.identity import check_identity

Which: TypeAlias = Literal["best", "last", "previous"]
BESTS = ("best", "best-previous")
NONE = "none"  # instead of a SHA-256, where no epoch had ended


def has_checkpoint(folder: RunFolder, which: Which) -> bool:
    """Return whether a run has come to a checkpoint, be it a sound one.

    Raises:
        DataError: If the files of the run are not of one run.
    """
    names = BESTS if which == "best" else (which,)
    is_there = any(folder.checkpoint(name).exists() for name in names)
    return is_there and not (which == "best" and _recorded_best(folder) == NONE)


def load_run_checkpoint(folder: RunFolder, which: Which, config: Config | None = None) -> Checkpoint:
    """Return a checkpoint of a run, found to be of that run.

    Args:
        folder: The run's.
        which: `best` is the one that the summary or, in a run that has none yet, the last checkpoint records.
        config: The run's, where it has been read from resolved.yaml already.

    Raises:
        DamagedError: If it is damaged.
        DataError: If it is missing, cannot be read, or is of another run than resolved.yaml and manifest.json.
        ConfigError: If resolved.yaml cannot be read.
    """
    path = folder.checkpoint(which)
    if which == "best":
        sha256 = _recorded_best(folder)
        if sha256 == NONE:
            raise DataError(f"there is no {path}", hint=NO_EPOCH)
        path, checkpoint = _find_recorded(folder, sha256) or (path, load_checkpoint(path))
        if sha256 not in (None, checkpoint.sha256):
            raise DataError(
                f"{path} is not the best checkpoint of this run: the run records another SHA-256",
                hint=f"restore it, or train it again: `dlcli train --resume {folder.path}`",
            )
        if checkpoint.training is not None:
            raise DataError(f"{path} is no best checkpoint: it holds the state of training", hint="restore it")
    else:
        checkpoint = load_checkpoint(path)
        if checkpoint.training is None:
            raise DataError(f"{path} holds a model alone, not the state of training", hint="restore it")
    check_identity(folder, path.name, checkpoint, config or load_config(folder.resolved).config)
    return checkpoint


def find_best(folder: RunFolder, sha256: str | None) -> tuple[Path, Checkpoint] | None:
    """Return the file and the best checkpoint of that SHA-256; None where there is none that is sound."""
    for name in BESTS if sha256 is not None else ():
        path = folder.checkpoint(name)
        with suppress(DataError):
            if (checkpoint := load_checkpoint(path)).sha256 == sha256:
                return path, checkpoint
    return None


def _find_recorded(folder: RunFolder, sha256: str | None) -> tuple[Path, Checkpoint] | None:
    """Return what `find_best` does; with a summary, which is written last, it is the file `best` or none."""
    found = find_best(folder, sha256)
    has_ended = "best_sha256" in folder.read_summary()
    return None if found and has_ended and found[0] != folder.checkpoint("best") else found


def _recorded_best(folder: RunFolder) -> str | None:
    """Return the SHA-256 of the best checkpoint, or `NONE`, by the newest record; None where there is no record.

    The summary comes first: it is written last, and a run that diverged has a newer best model than `last`.
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
