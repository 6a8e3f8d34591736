"""Are the gradients of a config right?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from dlcli.config.load import LoadedConfig, load_config
from dlcli.config.schema import Config
from dlcli.experiment import first_batch, set_up_plainly
from dlcli.overview import HEAVISIDE_NOTE, describe_layers

if TYPE_CHECKING:  # what is asked for seldom is imported late
    from dlcli.lecture.gradcheck import GradientCheck, ParameterCheck
    from dlcli.lecture.identities import IdentityCheck


@dataclass(frozen=True)
class GradcheckResult:
    """Whether the gradients of a config are right; `asdict` of it is what `dlcli gradcheck --json` prints.

    Attributes:
        config: Its name.
        model: Sizes of the layers, and what is between them.
        loss_name: What training minimises.
        loss: Of the batch, at the untrained model.
        examples: In the batch: the first of the first epoch.
        train_examples: There are in all.
        drawn: Entries of a tensor held against differences, or fewer where it has fewer.
        formula_tolerance: Largest error of autograd against formulas that passes.
        difference_tolerance: Largest error of autograd against differences that passes.
        floor: Errors are relative to the entry, or to this where the entry is smaller.
        parameters: Weights and biases of each layer.
        identities: Formulas of the lecture.
        notes: What to know about the figures.
        failures: What is not as it should be; empty if all is right.
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


def gradcheck(source: str | os.PathLike[str] | LoadedConfig, overrides: Sequence[str] = ()) -> GradcheckResult:
    """Hold the gradients of a config against the formulas that train and against differences.

    In float64 on the CPU, on some of the real training data, at the untrained model, with dropout off; nothing is
    trained or left behind.

    Args:
        source: YAML file, name of a preset, or a config from `load_config`.
        overrides: Assignments such as `model.hidden_sizes=[32]`; only with a file or a preset.

    Raises:
        DataError: If data is missing, damaged or unfit.
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

    setup = set_up_plainly(loaded.config)
    config, train = setup.config, setup.splits.train
    batch = first_batch(setup, EXAMPLES).to(setup.device, torch.float64)
    model = setup.model.double()
    check = check_gradients(model, setup.task, batch, seed=config.seed)
    identities = tuple(check_identities(model, setup.task, batch, config))
    failures = [*check.failures, *(f"{one.formula} does not hold" for one in identities if not one.holds)]
    return GradcheckResult(
        config=config.name,
        model=describe_layers(config, setup.splits.info),
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
        said = f"{layers}: autograd, the formulas and differences all give exactly 0"
        if config.model.activation == "heaviside":
            notes.append(f"{said}: the loss is flat almost everywhere; {HEAVISIDE_NOTE}")
        else:
            notes.append(f"{said}: the loss does not change with them here, so the first step changes nothing there")
    if faint := check.faint_layers:
        layers = f"layer{'s' if len(faint) > 1 else ''} {', '.join(map(str, faint))}"
        notes.append(f"{layers}: gradients too small for differences to see; the formulas see them")
    if any(one.skipped for one in check.parameters):
        notes.append("skipped: the loss has a kink, a jump or a pole within the step, and differences say nothing")
    if config.model.hidden_sizes and config.model.dropout:
        notes.append(f"model.dropout={config.model.dropout:g} is off here: it would change from one loss to the next")
    return notes
