"""Example contents of pages, in the format of `dlcli eval --json`, the plots and the diagnosis."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from dlcli.config.load import load_config
from dlcli.config.render import flatten
from dlcli.evaluation.classification import classification_metrics
from dlcli.evaluation.diagnosis.finding import Finding
from dlcli.model import build_mlp
from dlcli.plots import style
from dlcli.report.html import Image, embed
from dlcli.report.page import Contents
from dlcli.report.record import layers_table

FASHION = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "\x1b[31mred\x07",
    "a\u202egnp.exe",
    "{{ 7*7 }}",
]


def classification(classes: list[str] = FASHION) -> dict[str, Any]:
    """Return the metrics of invented predictions; the second class is never predicted."""
    k, generator = len(classes), torch.Generator().manual_seed(0)
    labels = torch.arange(100 * k) % k
    logits = torch.randn(len(labels), k, generator=generator) + 3 * torch.nn.functional.one_hot(labels, k)
    logits[:, 1] = -torch.inf
    metrics = {"loss": 0.52071, **classification_metrics(logits.double().softmax(1), labels, classes)}
    baselines = {
        "majority_class": {"class": classes[0], "metrics": {"accuracy": 0.1, "log_loss": 2.30259}},
        "logistic_regression": {"metrics": {"accuracy": 0.74321, "log_loss": 0.71234}},
    }
    statements = [
        "0.09 more of the test examples right than logistic regression",
        "0.73 more than by always saying " + classes[0],
    ]
    return measured(metrics, baselines, statements)


def regression() -> dict[str, Any]:
    """Return the metrics of an invented regression."""
    metrics = {
        "loss": 0.63191,
        "mse": 3473.35853,
        "rmse": 58.93521,
        "mae": 49.60352,
        "r2": 0.53351,
        "residual_quantiles": {"0": -141.25, "0.05": -99.5, "0.25": -38.625, "0.5": 1.75, "0.75": 43.5, "1": 160.125},
    }
    least_squares = {
        "intercept": 152.1335,
        "coefficients": {"age": -1.7251, "sex": -11.3352, "bmi": 24.8453},
        "rank": 11,
        "metrics": {"rmse": 57.1234, "mae": 48.0345, "r2": 0.5612},
        "sgd": {"parameter_distance": 0.00321, "loss_ratio": 1.0456},
    }
    baselines = {
        "mean": {"value": 152.1336, "metrics": {"rmse": 78.5532, "mae": 67.3443, "r2": -0.01234}},
        "least_squares": least_squares,
        "noise_floor": {"metrics": {"rmse": 31.4159}},
    }
    return measured(metrics, baselines, ["RMSE 1.8 above least squares: the network finds no more than the line"])


def measured(metrics: dict[str, Any], baselines: dict[str, Any], statements: list[str]) -> dict[str, Any]:
    common = {"run": "runs/a/b", "split": "test", "checkpoint": "best", "epoch": 17, "examples": 10_000}
    return {**common, "metrics": metrics, "baselines": baselines, "statements": statements}


FINDINGS = (
    Finding(
        "overfitting",
        "problem",
        "The model learns its training examples by heart: loss on validation rises from epoch 12 on",
        ("val/loss 0.3312 at epoch 12, 0.4120 at epoch 40", "train/loss 0.0213 at epoch 40"),
        "dlcli train -c fashion_mnist early_stopping.patience=5",
    ),
    Finding(
        "saturated-units",
        "hint",
        "Layer 1 is saturated",
        ("0.61 of its units are flat",),
        "model.hidden_sizes=[64, 32]; it was [64], or a lower `optimizer.lr`",
    ),
)


def pictures(hostile: str = "") -> tuple[list[Image], list[Image]]:
    """Return curves, and a plot with many pixels."""

    def two_lines() -> Figure:
        figure, axes = style.new_axes("Loss")
        epochs = np.arange(1, 41)
        for name, end, colour in (("train", 0.02, style.TRAIN), ("val", 0.08, style.VAL)):
            axes.plot(epochs, end + np.exp(-epochs / 5), color=colour)
            axes.annotate(name, (40, end), color=colour)
        axes.set(xlabel="epoch", ylabel="loss")
        return figure

    def noise() -> Figure:
        figure, rng = style.new_figure("Images"), np.random.default_rng(0)
        for panel in figure.subplots(4, 8).flat:
            panel.imshow(rng.random((28, 28)), cmap="gray")
            panel.set_axis_off()
        return figure

    curve = embed(
        f"Loss by epoch {hostile}", f"Two lines fall from 1 {hostile}, to 0.02 for train and 0.08 for val.", two_lines
    )
    many = embed("Images", "Thirty-two grey images of noise.", noise)
    return [curve], [many, curve]


def record(*overrides: str, **changes: Any) -> Any:
    """Return the record of a run on digits, with changes."""
    config = load_config("digits", overrides).config
    rows = [
        {
            "epoch": n,
            "step": 20 * n,
            "lr": 0.1,
            "train/loss": 2 / n,
            "val/loss": 2.1 / n,
            "val/accuracy": 1 - 1 / (n + 1),
        }
        for n in range(1, 41)
    ]
    origins = {key: "default" if i % 3 else f"digits.yaml:{i}" for i, key in enumerate(flatten(config))}
    manifest = {
        "started": "2026-11-23T12:58:40.892179+00:00",
        "command": ["/usr/bin/dlcli", "train", "-c", "my digits.yaml"],
        "working_folder": "/home/me",
        "git_commit": "635b3f1c0ffee",
        "host": "desk",
        "data": {"name": "digits", "sha256": {"images.gz": "ab" * 32}},
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "device": "cpu",
        "device_name": "AMD EPYC",
        "threads": 2,
        "platform": "Linux",
    }
    summary = {"status": "finished", "epochs": 40, "best_epoch": 17, "seconds": 83.4}
    fields = {"path": "runs/digits/20261123T125840Z-66b9", "config": config, "origins": origins}
    parts = {**fields, "manifest": manifest, "summary": summary, "rows": rows, **changes}
    return SimpleNamespace(**parts, status=parts["summary"]["status"])  # stands in for a Run


def contents(measured: dict[str, Any], hostile: str = "") -> Contents:
    """Return contents for all sections of a page."""
    curves, others = pictures(hostile)
    return Contents(
        essentials=[
            ("data", f"digits: 1,294 train, 143 val, 360 test{hostile}"),
            ("model", "64-64-10, sigmoid; 4,810 parameters"),
        ],
        measured=measured,
        findings=FINDINGS,
        looked_for=("overfitting", "saturated units"),
        curves=curves,
        pictures=others,
        layers=layers_table(build_mlp(64, 10, load_config("digits").config.model, seed=0), 64),
    )
