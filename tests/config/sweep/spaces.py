"""Twenty search spaces for tests, each with its base config."""

from __future__ import annotations

from textwrap import indent

from dlcli.config.sweep.load import LoadedSweep, load_sweep

DIGITS, MOONS, DIABETES = "data: {name: digits}", "data: {name: synthetic_classification}", "extends: diabetes"
SPACES: dict[str, tuple[str, str]] = {
    "learning rate": (DIGITS, "optimizer.lr: {min: 1e-3, max: 1, log: true}"),
    "linear range": (DIGITS, "optimizer.momentum: {min: 0, max: 0.99}"),
    "steps": (DIGITS, "model.dropout: {min: 0, max: 0.8, step: 0.1}\noptimizer.lr: {min: 0.1, max: 0.35, step: 0.1}"),
    "whole numbers": (DIGITS, "training.epochs: {min: 1, max: 30}\ntraining.batch_size: {min: 8, max: 512, log: true}"),
    "whole steps": (
        DIGITS,
        "training.batch_size: {min: 16, max: 100, step: 16}\nmodel.hidden_sizes: {min: 8, max: 64}",
    ),
    "choices": (DIGITS, "model.activation: [relu, tanh]\nmodel.batch_norm: [true, false]\nmodel.dropout: [0, 0.5]"),
    "sizes": (DIGITS, "model.hidden_sizes: [[], [64], [64, 64], 32]"),
    "layers": (DIGITS, "model.hidden_sizes: {depth: [1, 2], width: {min: 16, max: 256, log: true}}"),
    "layers or none": (DIGITS, "model.hidden_sizes: {depth: {min: 0, max: 3}, width: [16, {min: 32, max: 64}]}"),
    "layers as an option": (DIGITS, "model.hidden_sizes: [[], [64, 32], {depth: [0, 1, 2], width: [8, 16]}]"),
    "zero or a range": (DIGITS, "optimizer.weight_decay: [0, {min: 1e-6, max: 1e-2, log: true}]"),
    "null or a number": (DIGITS, "training.gradient_clip_norm: [null, 1, {min: 2, max: 5}]"),
    "optimizers": (
        DIGITS,
        "optimizer:\n"
        "  - {name: sgd, lr: {min: 1e-3, max: 1, log: true}, momentum: [0, 0.5, 0.9]}\n"
        "  - {name: adam, lr: {min: 1e-4, max: 1e-1, log: true}, betas: [[0.9, 0.999], [0.8, 0.99]]}\n"
        "optimizer.weight_decay: [0, {min: 1e-6, max: 1e-2, log: true}]",
    ),
    "names of optimizers": (
        "data: {name: digits}\noptimizer: {lr: 0.3, nesterov: true}",
        "optimizer.name: [sgd, adam, adamw]\noptimizer.weight_decay: {min: 0, max: 0.1}",
    ),
    "nested sections": (DIGITS, "optimizer: {lr: [0.1, 0.2], momentum: [0, 0.9]}\ntraining: {step: [auto, eager]}"),
    "schedules": (
        "data: {name: digits}\ntraining: {epochs: 20}",
        "scheduler: [null, {name: step, step_size: {min: 1, max: 10}}, {name: cosine, final_fraction: [0, 0.1]}]\n"
        "scheduler.warmup_epochs: [0, {min: 0.5, max: 3}]",
    ),
    "losses": (
        DIGITS,
        "loss: [{name: mse}, {name: cross_entropy, label_smoothing: [0, {min: 0.01, max: 0.2}]}]\n"
        "model.head: [softmax, l1]",
    ),
    "regression": (
        DIABETES,
        "loss: [{name: l1}, {name: huber, delta: {min: 0.1, max: 2, log: true}}]\ndata.normalize: [unit, standard]",
    ),
    "models": (
        MOONS,
        "model:\n"
        "  - {hidden_sizes: {depth: {min: 1, max: 2}, width: [4, 8]}, activation: [relu, gelu]}\n"
        "  - {hidden_sizes: [[3], [5]], init: [normal, {run: r, checkpoint: [best, last]}]}",
    ),
    "settings that only fit together": (
        "data: {name: digits}\noptimizer: {name: adam}\nscheduler: {warmup_epochs: 0.5}\ntraining: {epochs: 1}",
        "optimizer: [{name: sgd}, {name: rmsprop}]\noptimizer.momentum: [0.5, 0.9]\n"
        "training.epochs: [5, 9]\nscheduler.warmup_epochs: [2, 3]",
    ),
}


# Spaces for a grid, besides.
GRIDS: dict[str, tuple[str, str]] = {
    "grid of steps": (
        DIGITS,
        "training.batch_size: {min: 16, max: 100, step: 16}\nmodel.hidden_sizes: [8, [], [8, 8]]",
    ),
    "grid of layers": (DIGITS, "model.hidden_sizes: [[64, 32], {depth: {min: 0, max: 2, step: 1}, width: [8, 16]}]"),
    "grid of options": (
        DIGITS,
        "optimizer: [{name: sgd, lr: [0.1, 1], momentum: {min: 0, max: 0.9, step: 0.3}}, {name: adam, lr: [0.1]}]\n"
        "optimizer.weight_decay: [0, {min: 0.1, max: 0.3, step: 0.1}]",
    ),
}


def sweep_file(name: str, *settings: str) -> str:
    """Return the text of a config with a space of `SPACES`."""
    config, space = (SPACES | GRIDS)[name]
    task_metric = "val/rmse" if config == DIABETES else "val/accuracy"
    lines = [config, "sweep:", f"  metric: {task_metric}", *(f"  {line}" for line in settings), "  space:"]
    return "\n".join([*lines, indent(space, "    "), ""])


def load_space(name: str, *settings: str) -> LoadedSweep:
    from dlcli.config.files import Source

    return load_sweep(Source("mine.yaml", sweep_file(name, *settings), ""))
