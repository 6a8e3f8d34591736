"""What does a config say, written out?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlcli.config.describe import LECTURE
from dlcli.config.load import LoadedConfig, load_config
from dlcli.config.render import flatten, render_value
from dlcli.config.schema import Config
from dlcli.data.splits import Split
from dlcli.experiment import Setup, first_batch, set_up_plainly
from dlcli.model import count_parameters, layer_sizes
from dlcli.overview import describe_layers
from dlcli.training.batches import count_batches, examples_per_batch
from dlcli.training.evaluation import compute_outputs

if TYPE_CHECKING:  # what is asked for seldom is imported late
    from dlcli.lecture.explanation import (
        ClassificationExample,
        Divergence,
        Flops,
        LayerFigures,
        RegressionExample,
    )


@dataclass(frozen=True)
class GivenSetting:
    """A setting that is not left to its default.

    Attributes:
        key: Its dotted name.
        value: As YAML.
        origin: Where it was set: `file:line`, or the command line.
        means: What it does.
        lecture: Where the lecture speaks of it; empty where it doesn't.
    """

    key: str
    value: str
    origin: str
    means: str
    lecture: str


@dataclass(frozen=True)
class ExplainResult:
    """A config written out; `asdict` of it is what `dlcli explain --json` prints.

    Attributes:
        config: Its name.
        model: Sizes of the layers, and what is between them.
        parameters: How many there are.
        layers: First to last.
        flops: Of the matrix products.
        batch_size: Examples in a whole batch.
        steps_per_epoch: Batches in an epoch, a short last one too.
        train_examples: In an epoch.
        function: f(x, θ), then what its parts mean.
        loss: L(X, Y, θ), then what its parts mean.
        update: How a step changes θ.
        term: One term of the sum in L.
        batch_loss: Loss of the first batch at the untrained model.
        divergence: Classification: KL(P, Q) of that batch and its parts.
        example: Classification: the batch's first example on its way to the loss.
        errors: Regression: the batch's first outputs on their way to the loss.
        unit: Unit of a regression's targets.
        settings: What was given.
        defaults: How many settings were not.
    """

    config: str
    model: str
    parameters: int
    layers: tuple[LayerFigures, ...]
    flops: Flops
    batch_size: int
    steps_per_epoch: int
    train_examples: int
    function: tuple[str, ...]
    loss: tuple[str, ...]
    update: tuple[str, ...]
    term: str
    batch_loss: float
    divergence: Divergence | None
    example: ClassificationExample | None
    errors: tuple[RegressionExample, ...]
    unit: str
    settings: tuple[GivenSetting, ...]
    defaults: int


def explain(source: str | os.PathLike[str] | LoadedConfig, overrides: Sequence[str] = ()) -> ExplainResult:
    """Write a config out: its model, its loss, its update, and the first batch at the untrained model.

    Args:
        source: YAML file, name of a preset, or a config from `load_config`.
        overrides: Assignments such as `model.hidden_sizes=[32]`; only with a file or a preset.

    Raises:
        DataError: If data is missing, damaged or unfit.
        DeviceError: If the machine's memory is too small.
    """
    loaded = load_config(source, overrides)
    from dlcli.lecture import explanation, notation

    setup = set_up_plainly(loaded.config)
    config, task, info, n = setup.config, setup.task, setup.splits.info, len(setup.splits.train)
    batch_size = min(n, examples_per_batch(n, config.training.batch_size))
    steps_per_epoch = count_batches(n, config.training.batch_size)
    outputs, targets = _outputs(setup, first_batch(setup, batch_size))
    is_classification, sizes = config.task == "classification", layer_sizes(setup.model)
    settings = tuple(_given_settings(loaded))
    return ExplainResult(
        config=config.name,
        model=describe_layers(config, info),
        parameters=count_parameters(setup.model),
        layers=explanation.describe_layers(sizes, config.model.activation),
        flops=explanation.count_flops(sizes, batch_size, n),
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        train_examples=n,
        function=tuple(notation.function_lines(config)),
        loss=tuple(notation.loss_lines(config, info.out_features)),
        update=tuple(notation.update_lines(config, steps_per_epoch)),
        term=notation.loss_term_formula(config),
        batch_loss=task.loss(outputs, targets).item(),
        divergence=explanation.measure_divergence(task, outputs, targets, config) if is_classification else None,
        example=explanation.follow_class_example(task, outputs, targets, info, config) if is_classification else None,
        errors=() if is_classification else explanation.follow_regression_outputs(task, outputs, targets, config),
        unit=info.target_unit,
        settings=settings,
        defaults=len(flatten(loaded.config)) - len(settings),
    )


def _outputs(setup: Setup, batch: Split) -> tuple[Tensor, Tensor]:
    """Return outputs in float64, and targets, of a batch."""
    parts = zip(*compute_outputs(setup.model, batch), strict=True)
    outputs, targets = (torch.cat(part) for part in parts)
    return outputs.double(), targets if setup.config.task == "classification" else targets.double()


def _given_settings(loaded: LoadedConfig) -> list[GivenSetting]:
    settings: list[GivenSetting] = []
    for key, value in flatten(loaded.config).items():
        path = tuple(key.split("."))
        origin = loaded.origin(path)
        if origin != "default":
            section = getattr(loaded.config, path[0]) if len(path) > 1 else loaded.config
            is_choice = len(path) > 1 and path[-1] == "name"  # of what the whole section is
            about = type(section).__doc__ if is_choice else type(section).model_fields[path[-1]].description
            means, lecture = " ".join((about or "").split()), _lecture(key, loaded.config)
            settings.append(GivenSetting(key, render_value(value), origin, means, lecture))
    return settings


def _lecture(key: str, config: Config) -> str:
    """Return what the lecture says of a setting, where that is about this config."""
    is_about_another = (key == "data.name" and config.data.name != "fashion_mnist") or (
        key == "loss.name" and config.task == "regression"
    )
    return "" if is_about_another else LECTURE.get(key, "")
