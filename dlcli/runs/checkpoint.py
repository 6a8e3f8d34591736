"""Checkpoint files: model and training state in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo
from dlcli.runs.files import to_json
from dlcli.runs.header import SCHEMA, ArithmeticPart, Header, TrainingPart, read_header
from dlcli.runs.soundness import find_problem, part
from dlcli.runs.tensor_file import load_tensors, save_tensors
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.schedule import Plateau
from dlcli.training.state import Monitor, Position, TrainingState

_HINT = "try the other checkpoint (`--checkpoint best` or `last`), or continue with `dlcli train --resume RUN`"


@dataclass(frozen=True)
class Checkpoint:
    """Model parameters, description and scaling of the data, settings, and the training state to resume from.

    Attributes:
        parameters: Model parameters by their names in the state dict.
        input_scaling: Scaling of the inputs.
        target_scaling: Scaling of the targets.
        epoch: Last completed epoch, counted from 1; the current epoch if the checkpoint was written within an epoch.
        step: Number of optimizer steps so far.
        monitor: Metric that selects the best checkpoint.
        val: Validation metrics at the end of the last completed epoch.
        arithmetic: Choices that affect the last bits of the results.
        info: Description of the data.
        settings: Settings that determine the result, as JSON values by dotted name.
        training: Training state to resume from; None in the best checkpoint.
        limits: Limits that end training: `epochs` and `patience`; empty in the best checkpoint.
        best_sha256: SHA-256 of the matching best checkpoint; None in the best checkpoint itself, and before the end of
            the first epoch.
        log_sha256: SHA-256 of the matching log, see `log_digest`; None in the best checkpoint.
        sha256: SHA-256 of the file; empty if the checkpoint was not read from a file.
    """

    parameters: Mapping[str, Tensor]
    input_scaling: Scaling
    target_scaling: Scaling
    epoch: int
    step: int
    monitor: str
    val: Mapping[str, float | None]
    arithmetic: Arithmetic
    info: DataInfo
    settings: Mapping[str, Any]
    training: TrainingState | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)
    best_sha256: str | None = None
    log_sha256: str | None = None
    sha256: str = ""


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, previous: Path | None = None) -> str:
    """Write a checkpoint atomically. The same content gives the same bytes.

    Args:
        path: File to write.
        checkpoint: Content of the file.
        previous: Path that the old file is moved to after the new file is on disk; None discards the old file.

    Returns:
        The SHA-256 of the file, equal to `Checkpoint.sha256` after loading.

    Raises:
        DataError: If the file cannot be written; the old file is kept.
    """
    return save_tensors(path, tensors_of(checkpoint), describe(checkpoint), previous=previous)


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint with its tensors on the CPU.

    The checksum is verified before anything is parsed, and all content is validated before anything is returned.
    `load_run_checkpoint` also checks that the checkpoint belongs to its run.

    Raises:
        DamagedError: If the file is damaged or is not a checkpoint.
        DataError: If the file is missing, cannot be read or was written by another version of dlcli.
    """
    return load_tensors(path, SCHEMA, read_header, _from_parts, hint=_HINT)


def check_content(checkpoint: Checkpoint) -> None:
    """Check a checkpoint that was built in memory; `load_checkpoint` makes the same checks for a file.

    Raises:
        ValueError: If a value is invalid; the message is a sentence for users.
    """
    header = read_header(to_json({"sha256": "0" * 64, **describe(checkpoint)}))
    if reason := find_problem(tensors_of(checkpoint), header):
        raise ValueError(reason)


@cache
def writer_versions() -> dict[str, str]:
    """Return the installed versions of dlcli and torch, which a checkpoint records.

    The result is cached, because a lookup takes milliseconds.
    """
    return {name: version(name) for name in ("dlcli", "torch")}


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the header of a checkpoint, without the checksum."""
    training = checkpoint.training
    states: dict[str, Any] | None = None
    if training is not None:
        states = {name: asdict(getattr(training, name)) for name in ("position", "best", "stopping", "plateau")}
        states |= {"limits": dict(checkpoint.limits), "best_sha256": checkpoint.best_sha256}
        states["log_sha256"] = checkpoint.log_sha256
    return {
        "schema": SCHEMA,
        "versions": writer_versions(),
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "monitor": checkpoint.monitor,
        "val": dict(checkpoint.val),
        "settings": dict(checkpoint.settings),
        "data": asdict(checkpoint.info),
        "arithmetic": asdict(checkpoint.arithmetic),
        "training": states,
    }


def tensors_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by their names in the file."""
    training = checkpoint.training
    tensors = _prefixed("model", checkpoint.parameters)
    for name, scaling in (("input_scaling", checkpoint.input_scaling), ("target_scaling", checkpoint.target_scaling)):
        tensors |= {f"{name}.shift": scaling.shift, f"{name}.scale": scaling.scale}
    if training is not None:
        tensors |= _prefixed("optimizer", training.optimizer)
        tensors |= _prefixed("sums", training.sums) | _prefixed("generators", training.generators)
    return tensors


def _from_parts(tensors: Mapping[str, Tensor], header: Header) -> Checkpoint:
    if reason := find_problem(tensors, header):
        raise ValueError(reason)
    training = header.training
    return Checkpoint(
        parameters=part("model", tensors),
        input_scaling=Scaling(tensors["input_scaling.shift"], tensors["input_scaling.scale"]),
        target_scaling=Scaling(tensors["target_scaling.shift"], tensors["target_scaling.scale"]),
        epoch=header.epoch,
        step=header.step,
        monitor=header.monitor,
        val=header.val,
        arithmetic=Arithmetic(**header.arithmetic.model_dump()),
        settings=header.settings,
        info=header.data,
        training=_state(tensors, header.arithmetic, training) if training else None,
        limits=training.limits.model_dump() if training else {},
        best_sha256=training.best_sha256 if training else None,
        log_sha256=training.log_sha256 if training else None,
        sha256=header.sha256,
    )


def _state(tensors: Mapping[str, Tensor], arithmetic: ArithmeticPart, training: TrainingPart) -> TrainingState:
    return TrainingState(
        position=Position(**training.position.model_dump()),
        parameters=part("model", tensors),
        optimizer=part("optimizer", tensors),
        sums=part("sums", tensors),
        generators=part("generators", tensors),
        best=Monitor(**training.best.model_dump()),
        stopping=Monitor(**training.stopping.model_dump()),
        plateau=Plateau(**training.plateau.model_dump()),
        arithmetic=Arithmetic(**arithmetic.model_dump()),
    )


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value.detach().cpu().contiguous() for name, value in tensors.items()}
