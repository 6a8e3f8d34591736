"""A trained model, and all that its training goes on from, in one pickle-free file with a checksum.

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
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.optim import Plateau
from dlcli.training.state import Monitor, Position, TrainingState

SCHEMA = 3
_NO_DIGEST = "0" * 64
_DIGEST_FOLLOWS = rb"{\"sha256\": \""  # how the digest's place looks in the file, where our JSON is a JSON string


class DamagedError(DataError):
    """A checkpoint that is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that predictions need besides the config, and how it came about.

    Attributes:
        parameters: The model's, by their names in its state dict.
        input_scaling: How inputs were scaled.
        target_scaling: How targets were scaled.
        epoch: Counted from 1; the one under way for a checkpoint written within an epoch.
        step: Optimizer updates so far.
        monitor: The metric that chooses the best checkpoint.
        val: Metrics of the validation split at the end of the last whole epoch.
        settings: Those that decide the numbers, by dotted name.
        training: What training goes on from; the best checkpoint has none.
    """

    parameters: Mapping[str, Tensor]
    input_scaling: Scaling
    target_scaling: Scaling
    epoch: int
    step: int
    monitor: str
    val: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingState | None = None


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of settings."""
    return hashlib.sha256(to_json(dict(sorted(settings.items()))).encode()).hexdigest()


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, previous: Path | None = None) -> None:
    """Write a checkpoint, whole or not at all. The same content gives the same bytes.

    Args:
        path: Where to.
        checkpoint: What to write.
        previous: Where what lies at `path` is kept, once the new file is safe.

    Raises:
        DataError: If it cannot be written; what was there before still is.
    """
    write_whole(path, _with_digest(_to_bytes(checkpoint)), previous=previous)


def load_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint, its tensors on the CPU. Not a byte is used before the checksum is found right.

    Raises:
        DamagedError: If it is damaged, or no checkpoint.
        DataError: If it is missing, cannot be read, or is of a newer dlcli.
    """
    hint = "`dlcli train --resume RUN` goes on from what is sound; `--checkpoint best` or `last` may be, too"
    content = read_file(path, missing_hint="no epoch has ended yet; `dlcli train --resume RUN` goes on")
    if reason := _find_damage(content):
        raise DamagedError(f"cannot use {path}: {reason}", hint=hint)
    try:
        header = _read_header(content)
        if header["schema"] > SCHEMA:
            message = f"cannot use {path}: a newer dlcli wrote it (schema {header['schema']}, this one reads {SCHEMA})"
            raise DataError(message, hint="update dlcli")
        return _from_parts(safetensors.torch.load(content), header)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = f"it is no checkpoint of dlcli ({type(error).__name__}: {error})"
        raise DamagedError(f"cannot use {path}: {reason}", hint=hint) from error


def _to_bytes(checkpoint: Checkpoint) -> bytes:
    training = checkpoint.training
    tensors = _prefixed("model", checkpoint.parameters)
    for name, scaling in (("input_scaling", checkpoint.input_scaling), ("target_scaling", checkpoint.target_scaling)):
        tensors |= {f"{name}.shift": scaling.shift, f"{name}.scale": scaling.scale}
    header = {
        "sha256": _NO_DIGEST,
        "schema": SCHEMA,
        "versions": {name: version(name) for name in ("dlcli", "torch")},
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "monitor": checkpoint.monitor,
        "val": dict(checkpoint.val),
        "settings": dict(checkpoint.settings),
        "fingerprint": fingerprint(checkpoint.settings),
        "training": None,
    }
    if training is not None:
        tensors |= _prefixed("optimizer", training.optimizer)
        tensors |= _prefixed("sums", training.sums) | _prefixed("generators", training.generators)
        parts = ("position", "best", "stopping", "plateau", "arithmetic")
        header["training"] = {part: asdict(getattr(training, part)) for part in parts}
    # One entry only: safetensors writes its metadata in no fixed order.
    return safetensors.torch.save(tensors, metadata={"dlcli": to_json(header)})


def _from_parts(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Checkpoint:
    parameters, training = _without_prefix("model", tensors), header["training"]
    state = training and TrainingState(
        position=Position(**training["position"]),
        parameters=parameters,
        optimizer=_without_prefix("optimizer", tensors),
        sums=_without_prefix("sums", tensors),
        generators=_without_prefix("generators", tensors),
        best=Monitor(**training["best"]),
        stopping=Monitor(**training["stopping"]),
        plateau=Plateau(**training["plateau"]),
        arithmetic=Arithmetic(**training["arithmetic"]),
    )
    return Checkpoint(
        parameters=parameters,
        input_scaling=Scaling(tensors["input_scaling.shift"], tensors["input_scaling.scale"]),
        target_scaling=Scaling(tensors["target_scaling.shift"], tensors["target_scaling.scale"]),
        epoch=header["epoch"],
        step=header["step"],
        monitor=header["monitor"],
        val=header["val"],
        settings=header["settings"],
        training=state,
    )


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value.detach().cpu().contiguous() for name, value in tensors.items()}


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): one for name, one in tensors.items() if name.startswith(f"{prefix}.")}


def _with_digest(content: bytes) -> bytes:
    start = content.index(_DIGEST_FOLLOWS) + len(_DIGEST_FOLLOWS)
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[:start] + digest + content[start + len(digest) :]


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


def _read_header(content: bytes) -> dict[str, Any]:
    """Return our JSON out of the safetensors header: 8 bytes of length, then JSON with `__metadata__`."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["dlcli"])
    if not isinstance(header, dict):
        raise TypeError("its header is no JSON object")
    return header
