"""Explanation of a config: its model, loss, update rule and first batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlcli.config.describe import LECTURE
from dlcli.config.load import ConfigSource, LoadedConfig, Overrides, load_config
from dlcli.config.render import flatten, render_value
from dlcli.config.schema import Config
from dlcli.data.encoding import describe_encoding
from dlcli.data.splits import Split
from dlcli.experiment import Experiment, build_float32_cpu_experiment, first_batch
from dlcli.model import count_parameters, layer_sizes
from dlcli.overview import describe_layers
from dlcli.training.batches import count_batches, examples_per_batch
from dlcli.training.evaluation import compute_outputs

if TYPE_CHECKING:  # imported late: rarely used
    from dlcli.lecture.explanation import (
        ClassificationExample,
        Divergence,
        Flops,
        LayerFigures,
        RegressionExample,
    )


@dataclass(frozen=True)
class GivenSetting:
    """Setting with an explicit value.

    Attributes:
        key: Dotted name of the setting.
        value: Value in YAML syntax.
        origin: Place where the value was set: `file:line`, or the command line.
        means: Description of the setting.
        lecture: Related statement of the lecture; empty if the lecture does not cover the setting.
    """

    key: str
    value: str
    origin: str
    means: str
    lecture: str


@dataclass(frozen=True)
class ExplainResult:
    """Explanation of a config; `dlcli explain --json` prints it with `asdict`.

    Attributes:
        config: Name of the config.
        model: Layer sizes and activation.
        parameters: Number of parameters.
        layers: Layers from first to last.
        flops: FLOPs of the matrix products.
        batch_size: Number of examples in a full batch.
        steps_per_epoch: Number of batches per epoch, including a smaller last batch.
        train_examples: Number of training examples.
        inputs: Name, type and encoding of each column of a table; empty for other data.
        function: Formula of f(x, θ), followed by the definitions of its parts.
        loss: Formula of L(X, Y, θ), followed by the definitions of its parts.
        update: Formulas of one optimizer step.
        term: Formula of one term of the sum in L.
        batch_loss: Loss of the first batch for the untrained model.
        divergence: For classification, KL(P, Q) of the first batch, and its parts.
        example: For classification, the loss computation for the first example of the batch.
        errors: For regression, the loss computation for the first outputs of the batch.
        unit: Unit of the regression targets.
        settings: Settings with an explicit value.
        defaults: Number of settings at their default.
    """

    config: str
    model: str
    parameters: int
    layers: tuple[LayerFigures, ...]
    flops: Flops
    batch_size: int
    steps_per_epoch: int
    train_examples: int
    inputs: tuple[tuple[str, str, str], ...]
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


def explain(source: ConfigSource, overrides: Overrides = ()) -> ExplainResult:
    """Describe a config: its model, loss and update rule, and the first batch for the untrained model.

    Args:
        source: YAML file, name of a preset, settings as a dict, or a config from `load_config`.
        overrides: See `load_config`; not allowed with a loaded config.

    Raises:
        DataError: If the data is missing, damaged or unsuitable.
        DeviceError: If the machine's memory is too small.
    """
    loaded = load_config(source, overrides)
    from dlcli.lecture import explanation, formulas

    experiment = build_float32_cpu_experiment(loaded.config)
    config, task, info, n = experiment.config, experiment.task, experiment.splits.info, len(experiment.splits.train)
    batch_size = min(n, examples_per_batch(n, config.training.batch_size))
    steps_per_epoch = count_batches(n, config.training.batch_size)
    outputs, targets = _outputs(experiment, first_batch(experiment, batch_size))
    is_classification, sizes = config.task == "classification", layer_sizes(experiment.model)
    settings = tuple(_given_settings(loaded))
    return ExplainResult(
        config=config.name,
        model=describe_layers(config, info),
        parameters=count_parameters(experiment.model),
        layers=explanation.describe_layers(sizes, config.model.activation),
        flops=explanation.count_flops(sizes, batch_size, n),
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        train_examples=n,
        inputs=tuple(describe_encoding(info.columns, experiment.splits.input_scaling)),
        function=tuple(formulas.function_lines(config)),
        loss=tuple(formulas.loss_lines(config, info.out_features)),
        update=tuple(formulas.update_lines(config, steps_per_epoch)),
        term=formulas.loss_term_formula(config),
        batch_loss=task.loss(outputs, targets).item(),
        divergence=explanation.measure_divergence(task, outputs, targets, config) if is_classification else None,
        example=explanation.follow_class_example(task, outputs, targets, info, config) if is_classification else None,
        errors=() if is_classification else explanation.follow_regression_outputs(task, outputs, targets, config),
        unit=info.target_unit,
        settings=settings,
        defaults=len(flatten(loaded.config)) - len(settings),
    )


def _outputs(experiment: Experiment, batch: Split) -> tuple[Tensor, Tensor]:
    """Return the outputs of a batch in float64, and its targets."""
    parts = zip(*compute_outputs(experiment.model, batch), strict=True)
    outputs, targets = (torch.cat(part) for part in parts)
    return outputs.double(), targets if experiment.config.task == "classification" else targets.double()


def _given_settings(loaded: LoadedConfig) -> list[GivenSetting]:
    settings: list[GivenSetting] = []
    for key, value in flatten(loaded.config).items():
        path = tuple(key.split("."))
        origin = loaded.origin(path)
        if origin != "default":
            section = getattr(loaded.config, path[0]) if len(path) > 1 else loaded.config
            is_section_name = len(path) > 1 and path[-1] == "name"  # the name selects the whole section
            about = type(section).__doc__ if is_section_name else type(section).model_fields[path[-1]].description
            means, lecture = " ".join((about or "").split()), _lecture(key, loaded.config)
            settings.append(GivenSetting(key, render_value(value), origin, means, lecture))
    return settings


def _lecture(key: str, config: Config) -> str:
    """Return the lecture's statement about a setting, or an empty string if it does not apply to this config."""
    is_about_other_config = (key == "data.name" and config.data.name != "fashion_mnist") or (
        key == "loss.name" and config.task == "regression"
    )
    return "" if is_about_other_config else LECTURE.get(key, "")
