"""Gradient check of a config: autograd against analytic gradients and finite differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from dlcli.config.load import ConfigSource, Overrides, load_config
from dlcli.config.schema import Config
from dlcli.experiment import build_float32_cpu_experiment, first_batch
from dlcli.overview import HEAVISIDE_NOTE, describe_layers

if TYPE_CHECKING:  # imported late: rarely used
    from dlcli.lecture.gradcheck import GradientCheck, ParameterCheck
    from dlcli.lecture.identities import IdentityCheck


@dataclass(frozen=True)
class GradcheckResult:
    """Result of a gradient check; `dlcli gradcheck --json` prints it with `asdict`.

    Attributes:
        config: Name of the config.
        model: Layer sizes and activation.
        loss_name: Name of the loss.
        loss: Loss of the batch for the untrained model.
        examples: Number of examples in the batch, the first ones of the first epoch.
        train_examples: Number of training examples in total.
        drawn: Largest number of entries per tensor that are checked against finite differences.
        formula_tolerance: Largest accepted error of autograd against the analytic gradients.
        difference_tolerance: Largest accepted error of autograd against finite differences.
        floor: Errors are relative to the entry, or to this value for smaller entries.
        parameters: Results for the weights and biases of each layer.
        identities: Results for the formulas of the lecture.
        notes: Remarks that help to interpret the numbers.
        failures: Failed checks; empty if all checks pass.
    """

    config: str
    model: str
    loss_name: str
    loss: float
    examples: int
    train_examples: int
    drawn: int
    formula_tolerance: float
    difference_tolerance: float
    floor: float
    parameters: tuple[ParameterCheck, ...]
    identities: tuple[IdentityCheck, ...]
    notes: tuple[str, ...]
    failures: tuple[str, ...]


def gradcheck(source: ConfigSource, overrides: Overrides = ()) -> GradcheckResult:
    """Check autograd against the analytic gradients used in training and against finite differences.

    Runs in float64 on the CPU, on part of the training data, with the untrained model and without dropout. Does not
    train and writes no files.

    Args:
        source: YAML file, name of a preset, settings as a dict, or a config from `load_config`.
        overrides: See `load_config`; not allowed with a loaded config.

    Raises:
        DataError: If the data is missing, damaged or unsuitable.
    """
    loaded = load_config(source, overrides)
    from dlcli.lecture.gradcheck import (
        DIFFERENCE_TOLERANCE,
        EXAMPLES,
        FORMULA_TOLERANCE,
        SAMPLED_ENTRIES,
        check_gradients,
    )
    from dlcli.lecture.identities import check_identities

    experiment = build_float32_cpu_experiment(loaded.config)
    config, train = experiment.config, experiment.splits.train
    batch = first_batch(experiment, EXAMPLES).to(experiment.device, torch.float64)
    model = experiment.model.double()
    check = check_gradients(model, experiment.task, batch, seed=config.seed)
    identities = tuple(check_identities(model, experiment.task, batch, config))
    failures = [
        *check.failures,
        *(f"{identity.formula} does not hold" for identity in identities if not identity.holds),
    ]
    return GradcheckResult(
        config=config.name,
        model=describe_layers(config, experiment.splits.info),
        loss_name=config.loss.name,
        loss=check.loss,
        examples=len(batch),
        train_examples=len(train),
        drawn=SAMPLED_ENTRIES,
        formula_tolerance=FORMULA_TOLERANCE,
        difference_tolerance=DIFFERENCE_TOLERANCE,
        floor=check.floor,
        parameters=check.parameters,
        identities=identities,
        notes=tuple(_gradcheck_notes(check, config)),
        failures=tuple(failures),
    )


def _gradcheck_notes(check: GradientCheck, config: Config) -> list[str]:
    notes: list[str] = []
    flat = check.flat_layers
    if flat:
        layers = f"layer{'s' if len(flat) > 1 else ''} {', '.join(map(str, flat))}"
        text = f"{layers}: autograd, the analytic gradients and finite differences are all exactly 0"
        if config.model.activation == "heaviside":
            notes.append(f"{text}: the loss is flat almost everywhere; {HEAVISIDE_NOTE}")
        else:
            notes.append(
                f"{text}: the loss does not depend on these parameters, so the first step does not change them"
            )
    if faint := check.faint_layers:
        layers = f"layer{'s' if len(faint) > 1 else ''} {', '.join(map(str, faint))}"
        notes.append(f"{layers}: gradients too small for finite differences; the analytic gradients resolve them")
    if any(parameter.skipped for parameter in check.parameters):
        notes.append(
            "skipped: the loss has a kink, jump or pole within the step, so finite differences are not valid there"
        )
    if config.model.hidden_sizes and config.model.dropout:
        notes.append(f"model.dropout={config.model.dropout:g} is off for this check: it would make the loss random")
    return notes
