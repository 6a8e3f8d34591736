"""Files of an exported model in each format."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import safetensors.torch
import torch

from dlcli.export.generated_files import READER, README, write_reader, write_readme
from dlcli.export.module import RawModel
from dlcli.export.onnx_format import to_onnx
from dlcli.export.signature import MODEL_FILES, SIGNATURE, Signature
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.files import encode_text, to_json

FILES = {*MODEL_FILES.values(), SIGNATURE, README, READER}  # files of all formats


def build_files(model: RawModel, signature: Signature, checkpoint: Checkpoint, result: np.ndarray) -> dict[str, bytes]:
    """Return the content of each file by its name.

    Args:
        model: Trained model.
        signature: Signature of the model.
        checkpoint: Checkpoint of the model.
        result: Prediction for `signature.example`.

    Raises:
        UsageError: If the model does not fit into the format.
    """
    name, files = MODEL_FILES[signature.format], {}
    with _no_new_variables():
        match signature.format:
            case "onnx":
                files[name] = to_onnx(model, signature)
            case "torch":
                files[name] = _to_pt2(model, signature)
            case "safetensors":
                files = {
                    name: _to_safetensors(model, checkpoint),
                    READER: write_reader(model, _head(checkpoint)).encode(),
                }
    files[SIGNATURE] = (to_json(signature.to_dict(), indent=2) + "\n").encode()
    return files | {README: encode_text(write_readme(signature, result))}


def _head(checkpoint: Checkpoint) -> str:
    return str(checkpoint.settings["model.head"]) if checkpoint.info.class_names else "values"


@contextmanager
def _no_new_variables() -> Iterator[None]:
    """Remove the environment variables that torch sets in the block, such as TORCHINDUCTOR_CACHE_DIR."""
    before = set(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - before:
            del os.environ[name]


def _to_pt2(model: RawModel, signature: Signature) -> bytes:
    """Return the content of a file for `torch.export.load`; like all such files, it contains a pickle."""
    buffer = io.BytesIO()
    torch.export.save(model.trace(torch.from_numpy(signature.example)), buffer)
    return buffer.getvalue()


def _to_safetensors(model: RawModel, checkpoint: Checkpoint) -> bytes:
    """Return the content of a safetensors file: parameters, and the tensors of encoding and scaling."""
    scaling = checkpoint.target_scaling
    tensors = {**model.state_dict(), "target_shift": scaling.shift, "target_scale": scaling.scale}
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})
