"""What a model says of single examples."""

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
    """Return one record per index, in the order asked for.

    Classification: `index`, `probs` (class name -> P(class | x), most likely first, summing to 1), `pred`, `label`.
    With an event also `event`: its `classes`, and their `probability` together, P(event | x).
    Regression: `index`, `output`, `target`, in the target's own unit.

    Args:
        model: On the split's device.
        task: Turns outputs into predictions.
        split: Scaled as in training.
        info: Names of the classes.
        indices: Positions in the split, counted from 0.
        event: Names of the classes it is made of, for classification; a name given twice counts once.

    Raises:
        UsageError: If an index is outside the split, or there is no such event.
        DataError: If an output is not a finite number.
    """
    classes = _find_classes(event, info) if event is not None else None
    outside = [index for index in indices if not 0 <= index < len(split)]
    if outside:
        raise UsageError(f"there is no example {outside[0]}; the split has 0 to {len(split) - 1}")
    chosen = split[torch.tensor(list(indices), dtype=torch.int64, device=split.device)]
    predictions, targets = _predict(model, task, chosen)
    if info.task == "regression":
        own_unit = task.predictions(targets)
        return [
            {"index": index, "output": plain(output), "target": plain(target)}
            for index, output, target in zip(indices, predictions, own_unit, strict=True)
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
    return records if classes is None else [{**one, "event": _ask_for(classes, one["probs"])} for one in records]


def _predict(model: nn.Module, task: Task, examples: Split) -> tuple[Tensor, Tensor]:
    """Return predictions and targets, on the CPU.

    Raises:
        DataError: If an output is not a finite number.
    """
    batches = [(task.predictions(outputs), targets.cpu()) for outputs, targets in compute_outputs(model, examples)]
    predictions, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    if not predictions.isfinite().all():
        raise DataError("the model gives outputs that are not finite numbers", hint="train again")
    return predictions, targets


def _ask_for(classes: list[str], probs: Mapping[str, float]) -> dict[str, Any]:
    """Return an event with its probability, Σ P(class | x): classes are disjoint."""
    return {"classes": classes, "probability": min(1.0, math.fsum(probs[name] for name in classes))}


def _find_classes(event: Sequence[str], info: DataInfo) -> list[str]:
    """Return the classes of an event, each once.

    Raises:
        UsageError: If there are none, or one is not a class of the data.
    """
    if info.task == "regression":
        raise UsageError("an event is a set of classes, and a regression run has none")
    known = f"the classes are {', '.join(info.class_names)}"
    if not event:
        raise UsageError("an event needs a class", hint=known)
    for name in event:
        if name not in info.class_names:
            guess = closest(name, info.class_names)
            raise UsageError(f"{info.name} has no class {name!r}", hint=f"did you mean `{guess}`?" if guess else known)
    return list(dict.fromkeys(event))
