"""dlcli gradcheck."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from dlcli.cli.output import (
    ConfigOption,
    JsonOption,
    OverridesArgument,
    QuietOption,
    make_table,
    print_json,
    print_result,
    print_warnings,
)
from dlcli.errors import CheckFailed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.api import GradcheckResult


def gradcheck_command(
    config: ConfigOption,
    overrides: OverridesArgument = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Hold the gradients against the lecture's formulas and against differences. Exit 6 if they don't agree.

    Example: dlcli gradcheck -c digits model.activation=tanh
    """
    from dlcli.config.load import load_config

    loaded = load_config(config, overrides or ())
    print_warnings(() if quiet else loaded.warnings)

    from dlcli import api

    result = api.gradcheck(loaded)
    if json:
        print_json(asdict(result))
    else:
        print_result(*_page(result))
    if result.failures:
        hint = "errors are handed down from layer to layer: the one named first is where to look"
        raise CheckFailed("\n  ".join(["the gradients don't agree", *result.failures]), hint=hint)


def _page(result: GradcheckResult) -> Iterator[RenderableType]:
    yield f"{result.config}: {result.model}; {result.loss_name} {result.loss:.4f} before training"
    examples = f"{result.examples} of {result.train_examples:,} training examples"
    yield f"The first {examples}, in float64; autograd's worst errors"
    yield f"|a − b| / max(|a|, |b|, {result.floor:.2g}): against the formulas in all entries, against"
    yield f"differences in up to {result.drawn} drawn of each tensor; `largest` is the largest gradient\n"
    yield make_table(
        ["layer", "entries", "largest", "formulas", "sampled", "skipped", "differences"],
        [
            [
                f"{one.layer} {one.parameter}",
                f"{one.entries:,}",
                f"{one.largest:.1e}",
                _figure(one.formula_error),
                f"{one.sampled}",
                f"{one.skipped}",
                _figure(one.difference_error),
            ]
            for one in result.parameters
        ],
    )
    yield ""
    rows = [[one.formula, f"{one.error:.1e}", _figure(one.difference_error)] for one in result.identities]
    yield make_table(["written out", "autograd", "differences"], rows)
    yield ""
    for note in result.notes:
        yield textwrap.fill(f"note: {note}", 80, subsequent_indent="  ")
    tolerances = f"{result.formula_tolerance:g} with formulas, {result.difference_tolerance:g} with differences"
    verdict = f"{len(result.failures)} errors are larger" if result.failures else "all agree"
    yield f"{verdict}; tolerance {tolerances}"


def _figure(error: float | None) -> str:
    return "–" if error is None else f"{error:.1e}"
