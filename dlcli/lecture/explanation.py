"""Layers, FLOPs, loss terms and KL divergence of a config, computed on the first batch before training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # as all of torch's users write it

from dlcli.config.schema import Config, CrossEntropyLoss, HuberLoss, L1Loss, MseLoss
from dlcli.data.splits import DataInfo
from dlcli.lecture.formulas import layer_letters
from dlcli.model import LayerSize, forward_flops, training_flops
from dlcli.task import Task

SHOWN_CLASSES = 10
SHOWN_ERRORS = 3


@dataclass(frozen=True)
class LayerFigures:
    """Letter, size and cost of a layer.

    Attributes:
        letter: Letter of the layer's parameters in f(x, θ).
        activation: Activation after the layer; empty for the last layer.
        fan_in: Number of input features.
        fan_out: Number of output features.
        parameters: fan_in × fan_out + fan_out, and 2 × fan_out more with batch normalization.
        flops: FLOPs of the forward matrix product, per example.
        is_normalized: Whether batch normalization precedes the activation.
    """

    letter: str
    activation: str
    fan_in: int
    fan_out: int
    parameters: int
    flops: int
    is_normalized: bool


@dataclass(frozen=True)
class Flops:
    """FLOPs of the matrix products, two per multiply-add.

    Attributes:
        forward: Forward pass of one example.
        training: Forward and backward pass of one example.
        step: Forward and backward pass of one batch.
        epoch: Forward and backward pass of all training examples.
    """

    forward: int
    training: int
    step: int
    epoch: int


@dataclass(frozen=True)
class Divergence:
    """KL(P, Q) and its parts in nats, each a mean over a batch and each computed independently.

    Attributes:
        cross_entropy: −Σ P log Q, with the model's probabilities as Q.
        entropy: −Σ P log P of the label distribution P; it does not depend on θ.
        kl: Σ P log(P / Q).
        gap: |kl − (cross_entropy − entropy)|, which is a rounding error.
    """

    cross_entropy: float
    entropy: float
    kl: float
    gap: float


@dataclass(frozen=True)
class ClassTerm:
    """Contribution of a class to the loss of one example: output z, probabilities p and y, and the loss term."""

    name: str
    z: float
    p: float
    y: float
    term: float


@dataclass(frozen=True)
class ClassificationExample:
    """Outputs, probabilities and loss terms of one example.

    Attributes:
        label: Name of the true class.
        terms: The most probable classes and the true class, most probable first.
        surprise: −log p of the true class.
        left_out: Number of classes that are not in `terms`.
        loss: Sum over all classes, including those that are not in `terms`.
    """

    label: str
    terms: tuple[ClassTerm, ...]
    surprise: float
    left_out: int
    loss: float


@dataclass(frozen=True)
class RegressionExample:
    """One output with its target and loss term.

    Attributes:
        output: f(x), scaled as in training.
        target: y, scaled as in training.
        term: Contribution of the output to the loss.
        own_output: f(x) in the target's original unit.
        own_target: y in the target's original unit.
    """

    output: float
    target: float
    term: float
    own_output: float
    own_target: float


def describe_layers(sizes: tuple[LayerSize, ...], activation: str) -> tuple[LayerFigures, ...]:
    """Return letter, size and cost of each layer, first to last."""
    activations = [activation] * (len(sizes) - 1) + [""]
    return tuple(
        LayerFigures(letter, following, size.fan_in, size.fan_out, size.parameters, size.flops, size.is_normalized)
        for letter, following, size in zip(layer_letters(len(sizes)), activations, sizes, strict=True)
    )


def count_flops(sizes: tuple[LayerSize, ...], batch_size: int, n: int) -> Flops:
    """Return the FLOPs of a model.

    Args:
        sizes: Sizes of the layers.
        batch_size: Number of examples in a full batch.
        n: Number of training examples.
    """
    training = training_flops(sizes)
    return Flops(forward_flops(sizes), training, training * batch_size, training * n)


def log_probs(task: Task, outputs: Tensor, config: Config) -> Tensor:
    """Return log Q, float64 of shape (N, classes); with softmax, no probability is rounded to 0."""
    if config.model.head == "softmax":
        return outputs.cpu().double().log_softmax(1)
    return task.predictions(outputs).log()


def label_probs(labels: Tensor, n_classes: int, config: Config) -> Tensor:
    """Return the label distribution P of the loss, float64 of shape (N, classes)."""
    smoothing = config.loss.label_smoothing if isinstance(config.loss, CrossEntropyLoss) else 0.0
    return (1 - smoothing) * F.one_hot(labels.cpu(), n_classes).double() + smoothing / n_classes


def measure_divergence(task: Task, outputs: Tensor, labels: Tensor, config: Config) -> Divergence:
    """Return KL(P, Q) and its parts, with the label distribution P and the predicted distribution Q.

    Args:
        task: Task that turns outputs into probabilities.
        outputs: Outputs of the model, shape (N, classes).
        labels: Labels, shape (N,).
        config: Config with `loss` and `model.head`.
    """
    p, log_q = label_probs(labels, outputs.shape[1], config), log_probs(task, outputs, config)
    cross_entropy = -(p * log_q).sum(1).mean()
    entropy = torch.special.entr(p).sum(1).mean().abs()  # avoid −0
    kl = F.kl_div(log_q, p, reduction="batchmean")
    gap = (kl - (cross_entropy - entropy)).abs()
    return Divergence(cross_entropy.item(), entropy.item(), kl.item(), gap.item())


def loss_terms(task: Task, outputs: Tensor, targets: Tensor, config: Config) -> Tensor:
    """Return the terms of the loss in float64; their sum divided by `task.weight` of the batch is the loss.

    Args:
        task: Task with the class weights.
        outputs: Outputs of the model, shape (N, out_features).
        targets: Labels of shape (N,), or scaled targets of the outputs' shape.
        config: Config with `loss`, `task` and `model.head`.

    Returns:
        Terms of the outputs' shape. For regression, the sum must also be divided by the number of outputs.
    """
    if config.task == "classification":
        k, log_q = outputs.shape[1], log_probs(task, outputs, config)
        p = label_probs(targets, k, config)
        if isinstance(config.loss, MseLoss):
            return (log_q.exp() - p).square()
        weights = torch.stack([task.weight(torch.tensor([label]), torch.float64) for label in range(k)])
        return -weights * p * log_q
    errors = (outputs - targets).cpu().double()
    match config.loss:
        case L1Loss():
            return errors.abs()
        case HuberLoss(delta=delta):
            size = errors.abs()
            return torch.where(size <= delta, size.square() / 2, delta * (size - delta / 2))
        case _:
            return errors.square()


def follow_class_example(
    task: Task, outputs: Tensor, labels: Tensor, info: DataInfo, config: Config
) -> ClassificationExample:
    """Return outputs, probabilities and loss terms of a batch's first example."""
    output, label = outputs[:1], labels[:1]
    (p,), (y,) = task.predictions(output), label_probs(label, output.shape[1], config)
    (terms,) = loss_terms(task, output, label, config)
    order, true = p.argsort(descending=True, stable=True).tolist(), int(label)
    shown = order[:SHOWN_CLASSES] if true in order[:SHOWN_CLASSES] else [*order[: SHOWN_CLASSES - 1], true]
    rows = [
        ClassTerm(info.class_names[i], float(output[0, i]), float(p[i]), float(y[i]), float(terms[i])) for i in shown
    ]
    return ClassificationExample(
        label=info.class_names[true],
        terms=tuple(rows),
        surprise=-log_probs(task, output, config)[0, true].item(),
        left_out=len(p) - len(shown),
        loss=terms.sum().item(),
    )


def follow_regression_outputs(
    task: Task, outputs: Tensor, targets: Tensor, config: Config
) -> tuple[RegressionExample, ...]:
    """Return the first outputs of a batch with their targets and loss terms."""
    outputs_in_unit, targets_in_unit = task.predictions(outputs), task.predictions(targets)
    columns = (outputs, targets, loss_terms(task, outputs, targets, config), outputs_in_unit, targets_in_unit)
    rows = zip(*(column.flatten()[:SHOWN_ERRORS].tolist() for column in columns), strict=True)
    return tuple(RegressionExample(*row) for row in rows)
