"""A trained model in one pickle-free file: safetensors with a JSON header."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from dlcli.data.scaling import Scaling
from dlcli.errors import DataError
from dlcli.runs.files import to_json, write_whole

SCHEMA = 1


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
    """

    parameters: Mapping[str, Tensor]
    input_scaling: Scaling
    target_scaling: Scaling
    epoch: int
    step: int
    monitor: str
    val: Mapping[str, float]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all. The same content gives the same bytes.

    Raises:
        DataError: If it cannot be written; what was there before still is.
    """
    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in checkpoint.parameters.items()}
    for name, scaling in (("input_scaling", checkpoint.input_scaling), ("target_scaling", checkpoint.target_scaling)):
        tensors |= {f"{name}.shift": scaling.shift, f"{name}.scale": scaling.scale}
    header = {
        "schema": SCHEMA,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "monitor": checkpoint.monitor,
        "val": dict(checkpoint.val),
    }
    # One entry only: safetensors writes its metadata in no fixed order.
    write_whole(path, safetensors.torch.save(tensors, metadata={"dlcli": to_json(header)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint, its tensors on the CPU.

    Raises:
        DataError: If it is missing, cannot be read, or is of a newer dlcli.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"there is no checkpoint {path}", hint="the run ended before its first epoch did; train again"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        tensors = safetensors.torch.load(content)
        header = _read_header(content)
        if header["schema"] != SCHEMA:
            raise DataError(f"{path} has schema {header['schema']}, this dlcli reads {SCHEMA}", hint="update dlcli")
        return Checkpoint(
            parameters={
                name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")
            },
            input_scaling=Scaling(tensors["input_scaling.shift"], tensors["input_scaling.scale"]),
            target_scaling=Scaling(tensors["target_scaling.shift"], tensors["target_scaling.scale"]),
            epoch=header["epoch"],
            step=header["step"],
            monitor=header["monitor"],
            val=header["val"],
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is no checkpoint of dlcli, or damaged: {error}", hint="train again, or take --checkpoint last"
        ) from error


def _read_header(content: bytes) -> dict[str, Any]:
    """Return our JSON out of the safetensors header: 8 bytes of length, then JSON with `__metadata__`."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["dlcli"])
    if not isinstance(header, dict):
        raise TypeError("its header is no JSON object")
    return header
