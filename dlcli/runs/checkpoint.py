"""Checkpoint files: model and training state in one pickle-free file with a checksum.

The format is safetensors with our JSON as metadata. A SHA-256 in that JSON covers every byte of the file, with its own
digits replaced by zeros, because safetensors itself does not detect a flipped bit.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo
from dlcli.errors import DataError
from dlcli.runs.files import read_file, to_json, write_atomic
from dlcli.runs.header import SCHEMA, ArithmeticPart, Header, TrainingPart, read_header
from dlcli.runs.soundness import find_problem, part
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.schedule import Plateau
from dlcli.training.state import Monitor, Position, TrainingState

_NO_DIGEST = "0" * 64
_MOST_SCHEMAS = 1000  # a larger number is damage, not a newer schema
_DIGEST_FOLLOWS = rb"{\"sha256\": \""  # escaped: our JSON is a string inside the JSON of safetensors
_HINT = "try the other checkpoint (`--checkpoint best` or `last`), or continue with `dlcli train --resume RUN`"


class DamagedError(DataError):
    """A checkpoint file that is damaged or is not a dlcli checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """Model parameters, description and scaling of the data, settings, and the training state to resume from.

    Attributes:
        parameters: Model parameters by their names in the state dict.
        input_scaling: Scaling of the inputs.
        target_scaling: Scaling of the targets.
        epoch: Number of the epoch, from 1; the current epoch if the checkpoint was written within it.
        step: Number of optimizer steps so far.
        monitor: Metric that selects the best checkpoint.
        val: Validation metrics at the end of the last completed epoch.
        arithmetic: Choices that affect the last bits of the results.
        info: Description of the data.
        settings: Settings that determine the result, as JSON values by dotted name.
        training: Training state to resume from; None in the best checkpoint, which also has no values below.
        limits: Limits that end training: `epochs` and `patience`.
        best_sha256: SHA-256 of the matching best checkpoint; None before the end of the first epoch.
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
    # One entry only: safetensors writes its metadata in arbitrary order.
    header = {"sha256": _NO_DIGEST, **describe(checkpoint)}
    content = safetensors.torch.save(tensors_of(checkpoint), metadata={"dlcli": to_json(header)})
    digest = hashlib.sha256(content).hexdigest()
    start = content.index(_DIGEST_FOLLOWS) + len(_DIGEST_FOLLOWS)
    write_atomic(path, content[:start] + digest.encode() + content[start + len(digest) :], previous=previous)
    return digest


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint with its tensors on the CPU.

    The checksum is verified before anything is parsed, and all content is validated before anything is returned.
    `load_run_checkpoint` also checks that the checkpoint belongs to its run.

    Raises:
        DamagedError: If the file is damaged or is not a checkpoint.
        DataError: If the file is missing, cannot be read or was written by another version of dlcli.
    """
    content = read_file(path, missing_hint=_HINT)
    if reason := _find_damage(content):
        raise DamagedError(f"cannot use {path}: {reason}", hint=_HINT)
    try:
        header = read_header(_header_text(content, path))
        if content.find(_DIGEST_FOLLOWS + header.sha256.encode()) != content.find(_DIGEST_FOLLOWS):
            raise ValueError("its checksum does not match its header")
        tensors = safetensors.torch.load(content)
        if reason := find_problem(tensors, header):
            raise ValueError(reason)
        return _from_parts(tensors, header)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        reason = "its header is nested too deeply" if isinstance(error, RecursionError) else reason
        raise DamagedError(f"cannot use {path}: it is not a dlcli checkpoint ({reason})", hint=_HINT) from error


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
        "versions": {name: version(name) for name in ("dlcli", "torch")},
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


def _find_damage(content: bytes) -> str | None:
    """Return the reason why a file is damaged, or None."""
    start = content.find(_DIGEST_FOLLOWS) + len(_DIGEST_FOLLOWS)
    if not content:
        return "it is empty"
    if start < len(_DIGEST_FOLLOWS):
        return f"it is not a dlcli checkpoint, or damaged: it {_describe_kind(content)}"
    digest = hashlib.sha256(content[:start])
    digest.update(_NO_DIGEST.encode())
    digest.update(memoryview(content)[start + len(_NO_DIGEST) :])
    if digest.hexdigest().encode() == content[start : start + len(_NO_DIGEST)]:
        return None
    return "it is damaged: its content does not match its SHA-256"


def _describe_kind(content: bytes) -> str:
    if content.startswith(b"PK"):
        return "starts like a zip archive written by torch.save; dlcli does not read pickle files"
    if content.startswith(b"\x80"):
        return "starts like a pickle file; dlcli does not read those"
    return "has no dlcli checksum in its header"


def _header_text(content: bytes, path: Path) -> str:
    """Return our JSON from the safetensors header, which is 8 bytes of length and then JSON with `__metadata__`.

    Raises:
        DataError: If another version of dlcli wrote the file.
        ValueError: If the header is not JSON.
    """
    (length,) = struct.unpack("<Q", content[:8])
    text = json.loads(content[8 : 8 + length])["__metadata__"]["dlcli"]
    schema = json.loads(text)["schema"]
    if type(schema) is int and 0 < schema < _MOST_SCHEMAS and schema != SCHEMA:
        newer, hint = ("a newer", "update dlcli") if schema > SCHEMA else ("an older", "train the model again")
        message = f"cannot use {path}: it was written by {newer} dlcli (schema {schema}; this version reads {SCHEMA})"
        raise DataError(message, hint=hint)
    return str(text)
