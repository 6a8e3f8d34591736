"""Training results, compared with a torch loop, NumPy and a closed form."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from dlcli.api import Experiment, build_experiment
from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.training.batches import derive_seed
from dlcli.training.fit import Fit
from dlcli.training.threads import thread_count


def plain_torch_loop(model: nn.Sequential, experiment: Experiment, config: Config) -> None:
    """Train with a standard torch loop on the same batches."""
    model.train()
    optimizer = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
    }[config.optimizer.name](model.parameters(), **config.optimizer.model_dump(exclude={"name"}))
    criterion = nn.CrossEntropyLoss() if config.task == "classification" else nn.MSELoss()
    train, batch_size = experiment.splits.train, config.training.batch_size
    steps = config.training.epochs * math.ceil(len(train) / batch_size)
    cosine = config.scheduler.name == "cosine"
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: (1 + math.cos(math.pi * done / steps)) / 2 if cosine else 1.0
    )
    for epoch in range(1, config.training.epochs + 1):
        generator = torch.Generator().manual_seed(derive_seed(config.seed, "order", epoch))
        for index in torch.randperm(len(train), generator=generator).split(batch_size):
            loss = criterion(model(train.inputs[index]), train.targets[index])
            optimizer.zero_grad()
            loss.backward()
            if config.training.gradient_clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), config.training.gradient_clip_norm)
            optimizer.step()
            schedule.step()


@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer.momentum=0"],
        ["optimizer.momentum=0.9", "optimizer.weight_decay=1e-3", "scheduler.name=cosine"],
        ["optimizer.momentum=0.9", "optimizer.nesterov=true", "training.gradient_clip_norm=0.1"],
        ["optimizer={name: adam, lr: 0.01}", "scheduler.name=cosine"],
        ["optimizer={name: adam, lr: 0.01, weight_decay: 0.01}"],
        ["optimizer={name: adamw, lr: 0.01}", "training.precision=float64"],
        ["optimizer={name: rmsprop}", "scheduler.name=cosine"],
        ["model.batch_norm=true", "optimizer={name: adam}"],
        ["optimizer={name: rmsprop, alpha: 0.9, eps: 1e-6, momentum: 0.9, weight_decay: 0.01}"],
    ],
    ids=lambda settings: " ".join(settings),
)
@pytest.mark.parametrize("preset", ["digits", "diabetes"])
def test_eager_training_is_bit_identical_to_a_torch_loop(preset: str, settings: list[str]) -> None:
    shared = [
        "training.step=eager",
        "training.epochs=3",
        "training.batch_size=50",
        "scheduler.name=none",
        "optimizer.lr=0.05",
    ]
    config = load_config(preset, [*shared, "early_stopping.patience=null", *settings]).config
    experiment = build_experiment(config)
    assert len(experiment.splits.train) % 50, "the last batch must be short"
    expected = copy.deepcopy(experiment.model)
    fit = Fit(experiment.model, experiment.task, experiment.splits, config)
    with thread_count(fit.arithmetic.threads):  # the last bits of MKL's products depend on it on some processors
        plain_torch_loop(expected, experiment, config)
    for _ in fit:
        pass

    for name, parameter in expected.state_dict().items():
        assert torch.equal(experiment.model.state_dict()[name], parameter), name


@pytest.mark.parametrize("step", ["eager", "manual"])
def test_gradient_descent_matches_ten_lines_of_numpy(step: str) -> None:
    settings = ["training.epochs=50", "training.precision=float64", f"training.step={step}"]
    config = load_config("gradient_descent", settings).config
    experiment = build_experiment(config)
    w1, b1, w2, b2 = (parameter.detach().numpy().copy() for parameter in experiment.model.parameters())
    x, y = experiment.splits.train.inputs.numpy(), np.eye(10)[experiment.splits.train.targets.numpy()]
    for _ in range(config.training.epochs):
        z = 1 / (1 + np.exp(-(x @ w1.T + b1)))
        e = np.exp(z @ w2.T + b2)
        d2 = (e / e.sum(1, keepdims=True) - y) / len(x)
        d1 = d2 @ w2 * z * (1 - z)
        w2 -= config.optimizer.lr * d2.T @ z
        b2 -= config.optimizer.lr * d2.sum(0)
        w1 -= config.optimizer.lr * d1.T @ x
        b1 -= config.optimizer.lr * d1.sum(0)

    for _ in Fit(experiment.model, experiment.task, experiment.splits, config):
        pass

    for parameter, expected in zip(experiment.model.parameters(), (w1, b1, w2, b2), strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=0, atol=1e-10)


def test_linear_regression_is_within_one_percent_of_the_closed_form() -> None:
    config = load_config("linear_regression").config
    experiment = build_experiment(config)
    train = experiment.splits.train
    design = torch.cat([torch.ones(len(train), 1), train.inputs], 1).double()
    theta = torch.linalg.lstsq(design, train.targets.double()).solution
    best_possible = (design @ theta - train.targets).square().mean().item()

    for _ in Fit(experiment.model, experiment.task, experiment.splits, config):
        pass

    with torch.no_grad():
        reached = (experiment.model(train.inputs) - train.targets).square().mean().item()
    assert best_possible <= reached <= 1.01 * best_possible
