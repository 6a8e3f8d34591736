"""Check of an exported model against dlcli's own predictions, in a process without dlcli."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dlcli.errors import CheckFailed
from dlcli.export import isolated_reader
from dlcli.export.signature import Signature
from dlcli.model import Heaviside
from dlcli.prediction.predictor import Predictor
from dlcli.programs import programs_allowed

TOLERANCE = 1e-5
_HINT = "nothing was written; please report this, with the run"


@dataclass(frozen=True)
class Reference:
    """dlcli's own predictions for raw values.

    Attributes:
        raw: Raw values, see `RawModel.forward`.
        predictions: P(class | x), or values in the target's unit: float64 of shape (N, out_features).
        unit: Unit of differences, shape (out_features,): 1 for probabilities, otherwise the scale of each target, or
            the largest prediction if targets are not scaled.
    """

    raw: np.ndarray
    predictions: np.ndarray
    unit: np.ndarray


def predict_raw(predictor: Predictor, raw: np.ndarray) -> np.ndarray:
    """Return dlcli's predictions for raw values, without `RawModel`."""
    return predictor.predict_raw(torch.from_numpy(raw).flatten(1)).numpy()


def check_export(folder: Path, signature: Signature, reference: Reference) -> float:
    """Predict with an exported model in a process without dlcli, and return the largest difference; see `compare`."""
    return compare(_read_isolated(folder, reference.raw), signature, reference)


def compare(results: Mapping[str, np.ndarray], signature: Signature, reference: Reference) -> float:
    """Compare the results of an exported model with dlcli's predictions, and return the largest difference.

    Args:
        results: Predictions, class names and predictions of the README example, as isolated_reader.py writes them.
        signature: Signature of the model.
        reference: Raw values and dlcli's predictions; the last row is the example of the README.

    Raises:
        CheckFailed: If a difference exceeds `TOLERANCE`, or the shape or a class name differs.
    """
    predictions, expected = results["predictions"], reference.predictions
    if predictions.shape != expected.shape:
        message = f"the exported model gives an array of shape {predictions.shape} for {len(expected):,} examples"
        raise CheckFailed(message, hint=_HINT)
    differences = np.abs(predictions - expected) / reference.unit
    failed = ~(differences.max(1) <= TOLERANCE)  # NaN fails too
    if failed.any() and any(isinstance(layer, Heaviside) for layer in signature.predictor.model):
        differences[failed & _is_near_step(signature.predictor, reference.raw)] = 0
    largest = float(differences.max())
    if not largest <= TOLERANCE:
        worst = int(np.nan_to_num(differences, nan=np.inf).max(1).argmax())
        message = f"the exported model differs from dlcli by {largest:.1e} in row {worst}, more than {TOLERANCE:g}"
        raise CheckFailed(message, hint=_explain(signature.predictor, reference, largest))
    if not (np.abs(results["example"] - predictions[-1:]) / reference.unit).max() <= TOLERANCE:
        raise CheckFailed("the example in README.md gives other predictions than the exported model", hint=_HINT)
    if "label" in results:
        _check_labels(results["label"], expected, np.array(signature.predictor.info.class_names))
    return largest


def _explain(predictor: Predictor, reference: Reference, largest: float) -> str:
    """Return a hint about a difference, which float32 rounding may explain if the inputs are not scaled."""
    exact = predict_raw(replace(predictor, model=copy.deepcopy(predictor.model).double()), reference.raw)
    rounding = float((np.abs(exact - reference.predictions) / reference.unit).max())
    if rounding < largest / 10:
        return _HINT
    remedy = "train with data.normalize=standard, or with training.precision=float64"
    return f"rounding to float32 alone changes dlcli's predictions by {rounding:.1e}; {remedy}"


def _check_labels(labels: np.ndarray, probabilities: np.ndarray, names: np.ndarray) -> None:
    """Check that each class name belongs to the most probable class, or to an equally probable one."""
    chosen = (labels[:, np.newaxis] == names) * probabilities
    wrong = chosen.max(1) < probabilities.max(1) - TOLERANCE
    if wrong.any():
        raise CheckFailed(f"the exported model gives another class in {wrong.sum():,} rows", hint=_HINT)


@torch.no_grad()
def _is_near_step(predictor: Predictor, raw: np.ndarray) -> np.ndarray:
    """Return, for each row, whether a Heaviside unit is so close to its step that rounding decides its output."""
    values = predictor.inputs_of(torch.from_numpy(raw).flatten(1))
    near = torch.zeros(len(values), dtype=torch.bool)
    for layer in predictor.model:
        if isinstance(layer, Heaviside):
            near |= (values.abs() < TOLERANCE * values.abs().amax(1, keepdim=True)).any(1)
        values = layer(values)
    return near.numpy()


def _read_isolated(folder: Path, raw: np.ndarray) -> dict[str, np.ndarray]:
    """Return the predictions of an exported model, and of its README example, from a process without dlcli.

    Raises:
        CheckFailed: If the process fails.
    """
    import_path = json.dumps([entry for entry in sys.path if os.path.isabs(entry)])
    with tempfile.TemporaryDirectory() as scratch:
        np.save(Path(scratch) / "raw.npy", raw)
        command = [
            sys.executable,
            "-I",
            "-S",
            "-X",
            "utf8",
            isolated_reader.__file__,
            str(folder),
            scratch,
            import_path,
        ]
        with programs_allowed():
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")  # noqa: S603  # no shell
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
            raise CheckFailed(f"the exported model cannot be used: {reason}", hint=_HINT)
        with np.load(Path(scratch) / "predictions.npz", allow_pickle=False) as results:
            return dict(results)
