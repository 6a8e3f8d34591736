"""A trained model, and all that its training continues from, in one pickle-free file with a checksum.

The file is safetensors, which any tool for that format reads, with our JSON in its header. A SHA-256 in that JSON
covers every byte of the file, its own digits taken as zeros: safetensors itself notices no flipped bit.
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
from dlcli.errors import DataError
from dlcli.runs.files import read_file, to_json, write_whole
from dlcli.runs.header import SCHEMA, ArithmeticPart, Header, TrainingPart, fingerprint, read_header
from dlcli.runs.soundness import find_unsound, part
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.optim import Plateau
from dlcli.training.state import Monitor, Position, TrainingState

_NO_DIGEST = "0" * 64
_MOST_SCHEMAS = 1000  # a larger number is no schema of ours
_DIGEST_FOLLOWS = rb"{\"sha256\": \""  # how the digest's place looks in the file, where our JSON is a JSON string
_HINT = "`dlcli train --resume RUN` continues from what is sound; `--checkpoint best` or `last` may be, too"
NO_EPOCH = "no epoch has ended yet; continue with `dlcli train --resume RUN`"


class DamagedError(DataError):
    """A checkpoint that is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that predictions need besides the config, how it came about, and which run it is of.

    Attributes:
        parameters: The model's, by their names in its state dict.
        input_scaling: How inputs were scaled.
        target_scaling: How targets were scaled.
        epoch: Counted from 1; the one under way for a checkpoint written within an epoch.
        step: Optimizer updates so far.
        monitor: The metric that chooses the best checkpoint.
        val: Metrics of the validation split at the end of the last whole epoch.
        arithmetic: What decides the last bits of the run.
        settings: Those that decide what the run comes to, by dotted name, as JSON has them.
        data: SHA-256 of the run's data by file name.
        training: What training continues from; the best checkpoint has none, nor what follows.
        limits: When training ends: `epochs` and `patience`.
        best_sha256: The best checkpoint that belongs to this one; None before the first epoch has ended.
        log_sha256: The log that belongs to this one, see `log_digest`; None in the best checkpoint.
        sha256: The file's own; empty for what was read from none.
    """

    parameters: Mapping[str, Tensor]
    input_scaling: Scaling
    target_scaling: Scaling
    epoch: int
    step: int
    monitor: str
    val: Mapping[str, float | None]
    arithmetic: Arithmetic
    settings: Mapping[str, Any]
    data: Mapping[str, str] = field(default_factory=dict)
    training: TrainingState | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)
    best_sha256: str | None = None
    log_sha256: str | None = None
    sha256: str = ""


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, previous: Path | None = None) -> str:
    """Write a checkpoint, whole or not at all. The same content gives the same bytes.

    Args:
        path: Where to.
        checkpoint: What to write.
        previous: Where what lies at `path` is kept, once the new file is safe.

    Returns:
        Its SHA-256, as `Checkpoint.sha256` has it once it is read.

    Raises:
        DataError: If it cannot be written; what was there before still is.
    """
    # One entry only: safetensors writes its metadata in no fixed order.
    header = {"sha256": _NO_DIGEST, **describe(checkpoint)}
    content = safetensors.torch.save(tensors_of(checkpoint), metadata={"dlcli": to_json(header)})
    digest = hashlib.sha256(content).hexdigest()
    start = content.index(_DIGEST_FOLLOWS) + len(_DIGEST_FOLLOWS)
    write_whole(path, content[:start] + digest.encode() + content[start + len(digest) :], previous=previous)
    return digest


def load_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint, its tensors on the CPU; what it is of is for `load_run_checkpoint` to say.

    Not a byte is used before the checksum is found right, and nothing returned before all is found sound.

    Raises:
        DamagedError: If it is damaged, or no checkpoint.
        DataError: If it is missing, cannot be read, or is of another version of dlcli.
    """
    content = read_file(path, missing_hint=NO_EPOCH)
    if reason := _find_damage(content):
        raise DamagedError(f"cannot use {path}: {reason}", hint=_HINT)
    try:
        header = read_header(_header_text(content, path))
        if content.find(_DIGEST_FOLLOWS + header.sha256.encode()) != content.find(_DIGEST_FOLLOWS):
            raise ValueError("its checksum is not the one in its header")
        tensors = safetensors.torch.load(content)
        if reason := find_unsound(tensors, header):
            raise ValueError(reason)
        return _from_parts(tensors, header)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        reason = "its header is nested too deeply" if isinstance(error, RecursionError) else reason
        raise DamagedError(f"cannot use {path}: it is no checkpoint of dlcli ({reason})", hint=_HINT) from error


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the header says of a checkpoint, but for its checksum."""
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
        "fingerprint": fingerprint(checkpoint.settings),
        "data": dict(checkpoint.data),
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
        data=header.data,
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
    """Return why a file's content is not what was written, or None."""
    start = content.find(_DIGEST_FOLLOWS) + len(_DIGEST_FOLLOWS)
    if not content:
        return "it is empty"
    if start < len(_DIGEST_FOLLOWS):
        return f"it is no checkpoint of dlcli, or damaged: it {_describe_kind(content)}"
    digest = hashlib.sha256(content[:start])
    digest.update(_NO_DIGEST.encode())
    digest.update(memoryview(content)[start + len(_NO_DIGEST) :])
    if digest.hexdigest().encode() == content[start : start + len(_NO_DIGEST)]:
        return None
    return "it is damaged: its content does not match its SHA-256"


def _describe_kind(content: bytes) -> str:
    if content.startswith(b"PK"):
        return "begins like a zip archive, as torch.save writes; dlcli reads no pickle"
    if content.startswith(b"\x80"):
        return "begins like a pickle; dlcli reads none"
    return "has no checksum of ours in its header"


def _header_text(content: bytes, path: Path) -> str:
    """Return our JSON out of the safetensors header: 8 bytes of length, then JSON with `__metadata__`.

    Raises:
        DataError: If another version of dlcli wrote it.
        ValueError: If there is none.
    """
    (length,) = struct.unpack("<Q", content[:8])
    text = json.loads(content[8 : 8 + length])["__metadata__"]["dlcli"]
    schema = json.loads(text)["schema"]
    if type(schema) is int and 0 < schema < _MOST_SCHEMAS and schema != SCHEMA:
        newer, hint = ("a newer", "update dlcli") if schema > SCHEMA else ("an older", "train again")
        message = f"cannot use {path}: {newer} dlcli wrote it (schema {schema}, this one reads {SCHEMA})"
        raise DataError(message, hint=hint)
    return str(text)
