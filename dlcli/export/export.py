"""Export of a run's model, with its preprocessing, for use without dlcli."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.errors import DataError
from dlcli.export.check import Reference, check_export, predict_raw
from dlcli.export.formats import FILES, build_files
from dlcli.export.module import RawModel
from dlcli.export.onnx_format import check_packages
from dlcli.export.replace_folder import check_replaceable, replace_folder
from dlcli.export.rows import generated_rows, real_rows
from dlcli.export.signature import SIGNATURE, Format, Signature
from dlcli.prediction.predictor import build_predictor
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.run import Run, RunLike, open_run
from dlcli.runs.trained_run import CheckpointName


@dataclass(frozen=True)
class ExportResult:
    """Result of an export; `dlcli export --json` prints it with `asdict`.

    Attributes:
        run: Run folder.
        checkpoint: Checkpoint that was exported.
        epoch: Epoch of the checkpoint.
        format: Format of the model file.
        folder: Folder with the files.
        files: Size of each file in bytes, by its name.
        rows: Number of checked rows: `data` from the run's data, and `generated`.
        largest_difference: Largest difference from dlcli's predictions, of a probability or in units of the target's
            spread.
    """

    run: str
    checkpoint: str
    epoch: int
    format: Format
    folder: str
    files: dict[str, int]
    rows: dict[str, int]
    largest_difference: float


def export(
    run: RunLike | None = None,
    format: Format = "onnx",  # noqa: A002  # as the option of the command
    folder: str | os.PathLike[str] | None = None,
    *,
    checkpoint: CheckpointName = "best",
    notify: Callable[[str], None] = lambda text: None,
) -> ExportResult:
    """Write a model with its preprocessing as files that need no dlcli, and check them in a process without dlcli.

    The files depend on the checkpoint alone. The check also uses rows of the run's data if it is still available.

    Args:
        run: Run folder or name; None selects the newest run.
        format: `onnx`, `torch` for torch.export, or `safetensors` with a NumPy program.
        folder: Folder to write; None means `export/FORMAT` in the run folder. An older export is replaced.
        checkpoint: Checkpoint to export.
        notify: Called with a one-line message before the check.

    Raises:
        UsageError: If there is no such run, a package is missing, or the folder exists and is not an export.
        DataError: If the checkpoint cannot be used, or the folder cannot be written.
        CheckFailed: If the predictions of the exported model differ from dlcli's; nothing is written.
    """
    if format == "onnx":
        check_packages()
    run = open_run(run)
    target = run.folder.path / "export" / format if folder is None else Path(folder)
    check_replaceable(target, FILES, SIGNATURE)
    saved = run.load_checkpoint(checkpoint)
    predictor = build_predictor(saved)
    signature = Signature(format, predictor, describe_origin(run, checkpoint, saved))
    real = real_rows(run, predictor)
    reference = make_reference(signature, saved, real)
    files = build_files(RawModel(predictor), signature, saved, reference.predictions[-1])
    rows = {"data": 0 if real is None else len(real)}
    rows["generated"] = len(reference.raw) - rows["data"]
    notify(
        f"checking the {format} model with {rows['data']:,} rows of the data and {rows['generated']:,} generated rows"
    )
    differences: list[float] = []
    replace_folder(target, files, lambda new: differences.append(check_export(new, signature, reference)))
    return ExportResult(
        run=run.path,
        checkpoint=checkpoint,
        epoch=saved.epoch,
        format=format,
        folder=str(target),
        files={name: len(content) for name, content in files.items()},
        rows=rows,
        largest_difference=differences[0],
    )


def describe_origin(run: Run, checkpoint: CheckpointName, saved: Checkpoint) -> dict[str, Any]:
    """Return run, checkpoint and data of an export as JSON values, which do not depend on the path of the run."""
    origin = {
        "name": run.config.name,
        "started": str(run.manifest.get("started", "")),
        "checkpoint": checkpoint,
        "epoch": saved.epoch,
        "checkpoint_sha256": saved.sha256,
    }
    return {"run": origin, "data": {"name": saved.info.name, "sha256": dict(saved.info.checksums)}}


def make_reference(signature: Signature, saved: Checkpoint, real: np.ndarray | None) -> Reference:
    """Return dlcli's predictions for rows of the data, for generated rows, and last for the example of the README.

    Raises:
        DataError: If a prediction is not finite.
    """
    predictor = signature.predictor
    rows = [*([] if real is None else [real]), generated_rows(predictor), signature.example]
    raw = np.concatenate(rows)
    predictions = predict_raw(predictor, raw)
    if not np.isfinite(predictions).all():
        raise DataError("the model gives outputs that are not finite numbers", hint="export another checkpoint")
    unit = np.ones(predictions.shape[1])
    if predictor.info.task == "regression":
        scale, size = saved.target_scaling.scale.expand(len(unit)).numpy(), np.abs(predictions).max(0)
        unit = np.where(scale != 1, scale, np.where(size > 0, size, 1))  # targets may be unscaled
    return Reference(raw, predictions, unit)
