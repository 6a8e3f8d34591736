"""The `dlcli gradcheck` command: autograd against analytic gradients and finite differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from dlcli.cli.arguments import print_notes
from dlcli.cli.options import ConfigOption, JsonOption, OverridesArgument, QuietOption
from dlcli.cli.output import paragraph, print_json, print_result
from dlcli.cli.tables import make_table
from dlcli.errors import CheckFailed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.api import GradcheckResult


def gradcheck_command(
    config: ConfigOption,
    overrides: OverridesArgument = None,
    json: JsonOption = False,
    quiet: QuietOption = False,  # noqa: ARG001  # accepted as in all commands; has no effect
) -> None:
    """Check autograd against the analytic gradients and finite differences. Exits with 6 on a mismatch.

    Example: dlcli gradcheck -c digits model.activation=tanh

    Example: dlcli gradcheck -c linear_regression
    """
    from dlcli.config.load import load_config

    loaded = load_config(config, overrides or ())
    print_notes(loaded.notes)

    from dlcli import api

    result = api.gradcheck(loaded)
    failure = None
    if result.failures:
        hint = "an error propagates to all earlier layers; start with the first one listed"
        failure = CheckFailed("\n  ".join(["gradients do not match", *result.failures]), hint=hint)
    if json:
        print_json(asdict(result), failure=failure)
    else:
        print_result(*_page(result))
    if failure:
        raise failure


def _page(result: GradcheckResult) -> Iterator[RenderableType]:
    yield f"{result.config}: {result.model}; {result.loss_name} {result.loss:.4f} before training"
    examples = f"{result.examples} of {result.train_examples:,} training examples"
    yield f"Batch: the first {examples}, in float64"
    yield paragraph(
        f"Worst autograd error |a − b| / max(|a|, |b|, {result.floor:.2g}), against formulas for all entries, "
        f"against differences for up to {result.drawn} sampled entries per tensor"
    )
    yield ""
    yield make_table(
        ["layer", "entries", "largest", "formulas", "sampled", "skipped", "differences"],
        [
            [
                f"{check.layer} {check.parameter}",
                f"{check.entries:,}",
                f"{check.largest:.1e}",
                _format_error(check.formula_error),
                f"{check.sampled}",
                f"{check.skipped}",
                _format_error(check.difference_error),
            ]
            for check in result.parameters
        ],
    )
    yield ""
    rows = [[check.formula, f"{check.error:.1e}", _format_error(check.difference_error)] for check in result.identities]
    yield make_table(["formula", "autograd", "differences"], rows)
    yield ""
    for note in result.notes:
        yield paragraph(f"note: {note}", indent="  ")
    tolerances = f"{result.formula_tolerance:g} for formulas, {result.difference_tolerance:g} for differences"
    verdict = f"{len(result.failures)} errors are too large" if result.failures else "all agree"
    yield f"{verdict}; tolerance {tolerances}"


def _format_error(error: float | None) -> str:
    return "–" if error is None else f"{error:.1e}"
