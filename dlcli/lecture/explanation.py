"""A config written out: what its model, its loss and its first batch come to, before any training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # as all of torch's users write it

from dlcli.config.schema import Config, CrossEntropyLoss, HuberLoss, L1Loss, MseLoss
from dlcli.data.splits import DataInfo
from dlcli.lecture.notation import layer_letters
from dlcli.model import LayerSize, forward_flops, training_flops
from dlcli.task import Task

SHOWN_CLASSES = 10
SHOWN_ERRORS = 3


@dataclass(frozen=True)
class LayerFigures:
    """A layer's letter, its size, and what follows from it.

    Attributes:
        letter: In f(x, θ).
        activation: What follows it; empty for the last.
        fan_in: Length of what it takes.
        fan_out: Length of what it gives.
        parameters: fan_in × fan_out + fan_out.
        flops: Of its product for one example, forward.
    """

    letter: str
    activation: str
    fan_in: int
    fan_out: int
    parameters: int
    flops: int


@dataclass(frozen=True)
class Flops:
    """Operations of the matrix products, two for each multiply-add.

    Attributes:
        forward: Of one example.
        training: Of one example, forward and backward.
        step: Of one batch, forward and backward.
        epoch: Of all training examples, forward and backward.
    """

    forward: int
    training: int
    step: int
    epoch: int


@dataclass(frozen=True)
class Divergence:
    """KL(P, Q) and its parts, each a mean over a batch and each computed by itself; natural logarithms.

    Attributes:
        cross_entropy: −Σ P log Q, with the model's probabilities as Q.
        entropy: −Σ P log P, of the labels' distribution P; it has no θ in it.
        kl: Σ P log(P / Q).
        gap: |kl − (cross_entropy − entropy)|, which is rounding.
    """

    cross_entropy: float
    entropy: float
    kl: float
    gap: float


@dataclass(frozen=True)
class ClassTerm:
    """A class's part in the loss of one example: output z, probabilities p and y, and the term of the sum."""

    name: str
    z: float
    p: float
    y: float
    term: float


@dataclass(frozen=True)
class ClassificationExample:
    """One example on its way to the loss.

    Attributes:
        label: Name of the true class.
        terms: The most probable classes and the label's, most probable first.
        surprise: −log p of the true class.
        left_out: How many classes have no row.
        loss: The sum of all terms, rows left out too.
    """

    label: str
    terms: tuple[ClassTerm, ...]
    surprise: float
    left_out: int
    loss: float


@dataclass(frozen=True)
class RegressionExample:
    """One output on its way to the loss.

    Attributes:
        output: f(x), scaled as in training.
        target: y, scaled as in training.
        term: Its part in the loss.
        own_output: f(x) in the target's own unit.
        own_target: y in the target's own unit.
    """

    output: float
    target: float
    term: float
    own_output: float
    own_target: float


def describe_layers(sizes: tuple[LayerSize, ...], activation: str) -> tuple[LayerFigures, ...]:
    """Return the figures of each layer, first to last."""
    activations = [activation] * (len(sizes) - 1) + [""]
    return tuple(
        LayerFigures(letter, after, size.fan_in, size.fan_out, size.parameters, size.flops)
        for letter, after, size in zip(layer_letters(len(sizes)), activations, sizes, strict=True)
    )


def count_flops(sizes: tuple[LayerSize, ...], batch_size: int, n: int) -> Flops:
    """Return the operations of a model.

    Args:
        sizes: Of its layers.
        batch_size: Examples in a whole batch.
        n: Training examples.
    """
    training = training_flops(sizes)
    return Flops(forward_flops(sizes), training, training * batch_size, training * n)


def log_probs(task: Task, outputs: Tensor, config: Config) -> Tensor:
    """Return log Q, shape (N, classes), in float64; by softmax without a probability that rounds to 0."""
    if config.model.head == "softmax":
        return outputs.cpu().double().log_softmax(1)
    return task.predictions(outputs).log()


def label_probs(labels: Tensor, n_classes: int, config: Config) -> Tensor:
    """Return P, shape (N, classes), in float64: what the loss takes for the labels' distribution."""
    smoothing = config.loss.label_smoothing if isinstance(config.loss, CrossEntropyLoss) else 0.0
    return (1 - smoothing) * F.one_hot(labels.cpu(), n_classes).double() + smoothing / n_classes


def measure_divergence(task: Task, outputs: Tensor, labels: Tensor, config: Config) -> Divergence:
    """Return KL(P, Q) and its parts, P the labels' distributions and Q the model's.

    Args:
        task: Makes probabilities.
        outputs: Shape (N, classes).
        labels: Shape (N,).
        config: `loss` and `model.head`.
    """
    p, log_q = label_probs(labels, outputs.shape[1], config), log_probs(task, outputs, config)
    cross_entropy = -(p * log_q).sum(1).mean()
    entropy = torch.special.entr(p).sum(1).mean().abs()  # no −0
    kl = F.kl_div(log_q, p, reduction="batchmean")
    gap = (kl - (cross_entropy - entropy)).abs()
    return Divergence(cross_entropy.item(), entropy.item(), kl.item(), gap.item())


def loss_terms(task: Task, outputs: Tensor, targets: Tensor, config: Config) -> Tensor:
    """Return the terms of the loss written out, in float64: over `task.weight` of the batch, their sum is the loss.

    Args:
        task: Knows the weights of the classes.
        outputs: Shape (N, out_features).
        targets: Labels (N,), or scaled values of the outputs' shape.
        config: `loss`, `task` and `model.head`.

    Returns:
        Of the outputs' shape. Regression's are to be divided by the number of outputs besides.
    """
    if config.task == "classification":
        k, log_q = outputs.shape[1], log_probs(task, outputs, config)
        p = label_probs(targets, k, config)
        if isinstance(config.loss, MseLoss):
            return (log_q.exp() - p).square()
        weights = torch.stack([task.weight(torch.tensor([label])).double() for label in range(k)])
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
    """Return the way of a batch's first example from the outputs to the loss; arguments as above."""
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
    """Return the way to the loss of the first outputs of a batch."""
    own_outputs, own_targets = task.predictions(outputs), task.predictions(targets)
    columns = (outputs, targets, loss_terms(task, outputs, targets, config), own_outputs, own_targets)
    rows = zip(*(one.flatten()[:SHOWN_ERRORS].tolist() for one in columns), strict=True)
    return tuple(RegressionExample(*row) for row in rows)
