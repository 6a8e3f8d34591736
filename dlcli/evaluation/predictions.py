"""Predictions for single examples and for events."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.config.suggest import closest
from dlcli.data.splits import DataInfo, Split
from dlcli.errors import DataError, UsageError
from dlcli.evaluation.regression import plain
from dlcli.task import Task
from dlcli.training.evaluation import compute_outputs


def predict_examples(
    model: nn.Module,
    task: Task,
    split: Split,
    info: DataInfo,
    indices: Sequence[int],
    event: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return one record per index, in the given order.

    Classification: `index`, `probs` (class name -> P(class | x), most likely first, summing to 1), `pred`, `label`.
    With an event also `event`: its `classes` and its `probability`, P(event | x).
    Regression: `index`, `output`, `target`, in the target's original unit.

    Args:
        model: Model on the split's device.
        task: Task that turns outputs into predictions.
        split: Examples scaled as in training.
        info: Description of the data with the class names.
        indices: Positions in the split, counted from 0.
        event: Names of the classes in the event, for classification; duplicates are ignored.

    Raises:
        UsageError: If an index is outside the split, or the event is invalid.
        DataError: If an output is not a finite number.
    """
    classes = _find_classes(event, info) if event is not None else None
    out_of_range = [index for index in indices if not 0 <= index < len(split)]
    if out_of_range:
        raise UsageError(f"example {out_of_range[0]} does not exist; the split has examples 0 to {len(split) - 1}")
    chosen = split[torch.tensor(list(indices), dtype=torch.int64, device=split.device)]
    predictions, targets = _predict(model, task, chosen)
    if info.task == "regression":
        unscaled = task.predictions(targets)
        return [
            {"index": index, "output": plain(output), "target": plain(target)}
            for index, output, target in zip(indices, predictions, unscaled, strict=True)
        ]
    records = [
        {
            "index": index,
            "probs": dict(sorted(zip(info.class_names, probs, strict=True), key=lambda item: -item[1])),
            "pred": info.class_names[max(range(len(probs)), key=probs.__getitem__)],
            "label": info.class_names[label],
        }
        for index, probs, label in zip(indices, predictions.tolist(), targets.tolist(), strict=True)
    ]
    return records if classes is None else [{**record, "event": _event(classes, record["probs"])} for record in records]


def _predict(model: nn.Module, task: Task, examples: Split) -> tuple[Tensor, Tensor]:
    """Return predictions and targets, on the CPU.

    Raises:
        DataError: If an output is not a finite number.
    """
    batches = [(task.predictions(outputs), targets.cpu()) for outputs, targets in compute_outputs(model, examples)]
    predictions, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    if not predictions.isfinite().all():
        raise DataError(
            "the model gives outputs that are not finite numbers",
            hint="train again with a lower learning rate: `dlcli train -c CONFIG optimizer.lr=LR`",
        )
    return predictions, targets


def _event(classes: list[str], probs: Mapping[str, float]) -> dict[str, Any]:
    """Return an event with its probability, the sum of P(class | x) over its classes."""
    return {"classes": classes, "probability": min(1.0, math.fsum(probs[name] for name in classes))}


def _find_classes(event: Sequence[str], info: DataInfo) -> list[str]:
    """Return the classes of an event without duplicates.

    Raises:
        UsageError: If the event is empty or names an unknown class, or the run is a regression.
    """
    if info.task == "regression":
        raise UsageError("an event is a set of classes, but a regression run has no classes")
    choices = f"choose from the classes {', '.join(info.class_names)}"
    if not event:
        raise UsageError("an event needs at least one class", hint=choices)
    for name in event:
        if name not in info.class_names:
            guess = closest(name, info.class_names)
            raise UsageError(
                f"{info.name} has no class {name!r}", hint=f"did you mean `{guess}`?" if guess else choices
            )
    return list(dict.fromkeys(event))
