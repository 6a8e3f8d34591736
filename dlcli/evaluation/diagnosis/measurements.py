"""Measurements of a trained run on which its diagnosis is based."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlcli.config.schema import RmspropOptimizer, SgdOptimizer
from dlcli.data.duplicates import Overlap, find_duplicates, is_coarse
from dlcli.data.splits import Split
from dlcli.evaluation.calibration import Calibration, measure_calibration
from dlcli.evaluation.diagnosis.skill import (
    Skill,
    measure_knn_skill,
    measure_linear_skill,
    measure_model_skill,
)
from dlcli.experiment import build_model
from dlcli.model import count_parameters
from dlcli.runs.trained_run import TrainedRun
from dlcli.training.evaluation import evaluate_split

SAMPLE_EXAMPLES = 5_000  # evenly spaced training examples to measure; more take longer and do not change a finding
_STEP_SAMPLE = 500  # examples for the search over 41 step lengths
_VAL_SAMPLE = 1_000  # examples to predict by k-NN; 1,000 × 5,000 distances take a tenth of a second
_STEPS = tuple(10 ** (i / 4) for i in range(-20, 21))  # 1e-5 to 1e5, a quarter of a decade apart
LONGEST_STEP = _STEPS[-1]


@dataclass(frozen=True)
class Facts:
    """Measurements of a trained run that need its data and its model.

    Without a validation split, train takes the place of val.

    Attributes:
        start_loss: val/loss before training.
        constant_loss: val/loss of the best constant prediction: the class frequencies or the mean target of train.
        constant_score: Accuracy, or R², of the best constant prediction on val.
        best_step: Step along the first gradient that lowers the loss most, in multiples of the optimizer's step.
        model, knn, linear: Skill of the model, of the 5-nearest-neighbour baseline and of least squares on val.
        fit, knn_fit: Skill on train of the model and of the 5 nearest neighbours, without the example itself.
        weight_norm: Norm of the parameters, relative to their norm before training; infinite if the latter is 0.
        gap: Loss on val minus loss on train, as a fraction of the loss reduction on train.
        gap_sigmas: The gap in standard errors.
        overlaps: Overlap of val and of test with train.
        is_coarse: Whether equal inputs are expected, because inputs take few values.
        dead: Fraction of ReLU units per layer that output 0 for every sampled training example.
        examples: Number of examples per split.
        class_counts: Number of training examples per class; empty for regression.
        predicted_counts: Number of predictions of each class on train and val together.
        calibration: Calibration on val; None for regression.
    """

    start_loss: float
    constant_loss: float
    constant_score: float
    best_step: float
    model: Skill
    knn: Skill
    linear: Skill
    fit: Skill
    knn_fit: Skill
    weight_norm: float
    gap: float
    gap_sigmas: float
    overlaps: tuple[Overlap, ...]
    is_coarse: bool
    dead: tuple[float, ...]
    examples: Mapping[str, int]
    parameters: int
    class_counts: Mapping[str, int]
    predicted_counts: Mapping[str, int]
    calibration: Calibration | None


def measure(run: TrainedRun) -> Facts:
    """Measure a trained run for the diagnosis; this takes about two seconds for Fashion-MNIST."""
    splits, info, task = run.splits, run.info, run.task
    train, val = splits.train.evenly_spaced(SAMPLE_EXAMPLES), splits.monitored
    dtype, device = val.dtype, val.device
    start, _ = build_model(run.config, info, dtype, run.parent)
    start, norm = start.to(device), _norm(start)
    constant, constant_fit = (_constant_metrics(run, split) for split in (val, train))
    metric = "accuracy" if info.task == "classification" else "r2"
    constant_score, fit_score = constant[metric], constant_fit[metric]
    predictions, fitted, has_val = run.predict(val), run.predict(train), len(splits.val) > 0
    predicted = [run.predict(splits.train), predictions] if has_val else [predictions]
    gap, gap_sigmas = _gap(run, _example_losses(run, train, fitted), _example_losses(run, val, predictions))
    overlaps = find_duplicates(splits).overlaps
    near = train.evenly_spaced(_VAL_SAMPLE)
    neighbour_split = val.evenly_spaced(_VAL_SAMPLE) if has_val else near
    return Facts(
        start_loss=task.metrics(evaluate_split(start, task, val))["loss"],
        constant_loss=constant["loss"],
        constant_score=constant_score,
        best_step=_best_step(run, start, train.evenly_spaced(_STEP_SAMPLE)),
        model=measure_model_skill(run, predictions, val, constant_score),
        knn=measure_knn_skill(run, train, neighbour_split, constant_score, in_train=not has_val),
        linear=measure_linear_skill(run, train, val, constant_score),
        fit=measure_model_skill(run, fitted, train, fit_score),
        knn_fit=measure_knn_skill(run, train, near, fit_score, in_train=True),
        weight_norm=_norm(run.model) / norm if norm else math.inf,
        gap=gap,
        gap_sigmas=gap_sigmas,
        overlaps=overlaps,
        is_coarse=any(overlap.copies for overlap in overlaps) and is_coarse(splits.train),
        dead=_dead_units(run.model, train),
        examples={name: len(getattr(splits, name)) for name in ("train", "val", "test")},
        parameters=count_parameters(run.model),
        class_counts=_count_classes(run, splits.train.targets.cpu()),
        predicted_counts=_count_classes(run, torch.cat(predicted).argmax(1)),
        calibration=measure_calibration(predictions, run.truth(val)) if info.task == "classification" else None,
    )


def _constant_metrics(run: TrainedRun, split: Split) -> Mapping[str, float]:
    """Return the metrics of the best constant prediction on a split."""
    return run.task.metrics(run.task.sums(_constant_outputs(run).expand(len(split), -1), split.targets))


def _norm(model: nn.Sequential) -> float:
    """Return the Euclidean norm of all parameters."""
    return math.hypot(*(parameter.detach().norm().item() for parameter in model.parameters()))


def _constant_outputs(run: TrainedRun) -> Tensor:
    """Return the outputs of the best constant prediction: the class frequencies or the mean target."""
    targets = run.splits.train.targets
    if run.info.task == "regression":
        return targets.mean(0)
    counts = torch.bincount(targets, minlength=run.info.out_features).to(run.splits.train.dtype)
    frequencies = counts.clamp_min(0.5) / counts.sum()
    return frequencies if run.config.model.head == "l1" else frequencies.log()


def _best_step(run: TrainedRun, start: nn.Sequential, train: Split) -> float:
    """Return the length of the first step that lowers the loss most, in multiples of the optimizer's step.

    With momentum μ, the step of SGD converges to lr / (1 − μ) times the gradient. Adam's first step is lr times the
    sign of the gradient. With a constant gradient, the step of RMSprop converges to lr / (1 − μ) times its sign.
    """
    optimizer, parameters = run.config.optimizer, list(start.parameters())
    gradients = torch.autograd.grad(run.task.loss(start(train.inputs), train.targets), parameters)
    if isinstance(optimizer, SgdOptimizer):
        steps = [optimizer.lr / (1 - optimizer.momentum) * gradient for gradient in gradients]
    else:
        lr = optimizer.lr / (1 - optimizer.momentum) if isinstance(optimizer, RmspropOptimizer) else optimizer.lr
        steps = [lr * gradient.sign() for gradient in gradients]
    before = [parameter.detach().clone() for parameter in parameters]
    losses = {}
    with torch.no_grad():
        for length in _STEPS:
            for parameter, value, step in zip(parameters, before, steps, strict=True):
                parameter.copy_(value - length * step)
            loss = float(run.task.loss(start(train.inputs), train.targets))
            losses[length] = loss if math.isfinite(loss) else math.inf
    return min(losses, key=lambda length: losses[length])


def _example_losses(run: TrainedRun, split: Split, predictions: Tensor) -> Tensor:
    """Return −log P(label | x), or the squared error, of each example."""
    truth = run.truth(split)
    if run.info.task == "regression":
        return (predictions - truth).square().mean(1)
    return -predictions.gather(1, truth.unsqueeze(1)).squeeze(1).clamp_min(1e-12).log()


def _gap(run: TrainedRun, train: Tensor, val: Tensor) -> tuple[float, float]:
    """Return loss on val minus loss on train, as a fraction of the loss reduction on train and in standard errors."""
    truth = run.truth(run.splits.train)
    if run.info.task == "regression":
        constant = (truth - truth.mean(0)).square().mean().item()
    else:
        frequencies = torch.bincount(truth).double() / len(truth)
        constant = -torch.special.xlogy(frequencies, frequencies).sum().item()
    learned = constant - train.mean().item()
    difference = (val.mean() - train.mean()).item()
    error = math.sqrt(sum(losses.var(correction=0).item() / max(len(losses) - 1, 1) for losses in (train, val)))
    return (difference / learned if learned > 0 else 0.0), (difference / error if error > 0 else 0.0)


def _dead_units(model: nn.Sequential, split: Split) -> tuple[float, ...]:
    h, fractions = split.inputs, []
    with torch.no_grad():
        for module in model:
            h = module(h)
            if isinstance(module, nn.ReLU):
                fractions.append((h.amax(0) <= 0).float().mean().item())
    return tuple(fractions)


def _count_classes(run: TrainedRun, labels: Tensor) -> dict[str, int]:
    """Return the number of examples per class; empty for regression."""
    if run.info.task == "regression":
        return {}
    counts = torch.bincount(labels, minlength=run.info.out_features).tolist()
    return dict(zip(run.info.class_names, counts, strict=True))
