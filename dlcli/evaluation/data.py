"""Evaluation of a run on new labelled data."""

from __future__ import annotations

import torch
from torch import Tensor

from dlcli.data.splits import Split, Splits
from dlcli.data.tables.records import shown
from dlcli.errors import DataError
from dlcli.evaluation.evaluate import EvalResult, evaluate_fully
from dlcli.prediction.inputs import InputLike
from dlcli.prediction.predict import PredictedPart, Prediction
from dlcli.prediction.predictor import Predictor, build_predictor
from dlcli.prediction.truth import labels_of, values_of
from dlcli.runs.run import Run, RunLike, open_run
from dlcli.runs.trained_run import CheckpointName, TrainedRun


def evaluate_data(
    run: RunLike | None,
    data: InputLike,
    *,
    checkpoint: CheckpointName = "best",
) -> EvalResult:
    """Return the metrics of a run on new labelled data; only the run folder and the data are needed.

    Args:
        run: Run folder or name; None selects the newest run.
        data: Labelled examples; see `open_input`.
        checkpoint: Checkpoint with the parameters.

    Raises:
        DataError: If the data cannot be used, or an example has no label or an unknown label.
    """
    opened = open_run(run)
    saved = opened.load_checkpoint(checkpoint)
    predictor = build_predictor(saved)
    notes: list[str] = []
    prediction = Prediction(predictor, data, notify=notes.append)
    if not prediction.targets:
        absent = next(name for name in predictor.targets if name not in prediction.input.columns)
        message = f"{prediction.input.name} has no column '{shown(absent)}' with the true values"
        raise DataError(message, hint="use `dlcli predict` for data without them")
    inputs, targets = zip(
        *((predictor.inputs_of(part.raw), _targets_of(prediction, part)) for part in prediction.parts()), strict=True
    )
    split = Split(torch.cat(inputs), torch.cat(targets))
    return EvalResult(
        run=opened.path,
        split="data",
        checkpoint=checkpoint,
        epoch=saved.epoch,
        examples=len(split),
        metrics=evaluate_fully(_trained_run(opened, predictor, saved.epoch, split)),
        baselines={},
        statements=notes,
        data=prediction.input.name,
    )


def _trained_run(run: Run, predictor: Predictor, epoch: int, split: Split) -> TrainedRun:
    """Return the run with new data as its test split, and with empty train and val splits."""
    nothing = split[:0]
    return TrainedRun(
        title=run.path,
        config=run.config,
        rows=run.rows,
        traces=run.traces,
        splits=Splits(predictor.info, nothing, nothing, split, predictor.input_scaling, predictor.target_scaling),
        model=predictor.model,
        task=predictor.task,
        epoch=epoch,
        status=run.status,
        split_name="test",
    )


def _targets_of(prediction: Prediction, part: PredictedPart) -> Tensor:
    """Return the targets of a part as in training: class indices, or scaled values.

    Raises:
        DataError: If a target is missing, or a label is unknown.
    """
    predictor = prediction.predictor
    if predictor.info.task == "regression":
        values = values_of(prediction, part)
        assert values is not None
        missing = torch.from_numpy(values).isnan().any(1)
        if missing.any():
            _refuse(part, int(missing.int().argmax()), "no number as its target")
        dtype = next(predictor.model.parameters()).dtype
        return predictor.target_scaling.apply(torch.from_numpy(values)).to(dtype)
    places = {name: place for place, name in enumerate(predictor.info.class_names)}
    given = labels_of(prediction, part)
    assert given is not None
    texts = given.to_list()
    labels = [places.get(text, -1) for text in texts]
    if -1 in labels:
        row = labels.index(-1)
        what = "no class" if texts[row] is None else f"the class '{shown(texts[row])}', which no training example has"
        _refuse(part, row, what)
    return torch.tensor(labels)


def _refuse(part: PredictedPart, row: int, problem: str) -> None:
    hint = "correct it, or delete the example; `dlcli predict` needs no true values"
    raise DataError(f"{part.rows.place(row)}: the example has {problem}", hint=hint)
