"""The `dlcli explain` command: a config in the notation of the lecture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from dlcli.cli.arguments import print_notes
from dlcli.cli.options import ConfigOption, JsonOption, OverridesArgument, QuietOption
from dlcli.cli.output import paragraph, print_json, print_result
from dlcli.cli.tables import make_table
from dlcli.errors import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.api import ExplainResult

_SHOWN_COLUMNS = 40


def explain_command(
    config: ConfigOption,
    overrides: OverridesArgument = None,
    json: JsonOption = False,
    quiet: QuietOption = False,  # noqa: ARG001  # accepted as in all commands; has no effect
) -> None:
    """Show a config's layers, its function f and loss L in the lecture's notation, and its first batch.

    Example: dlcli explain -c digits loss.label_smoothing=0.1

    Example: dlcli explain -c fashion_mnist
    """
    from dlcli.config.load import load_config

    loaded = load_config(config, overrides or ())
    print_notes(loaded.notes)

    from dlcli import api

    result = api.explain(loaded)
    if json:
        print_json(asdict(result))
    else:
        print_result(*_page(result, config))


def _page(result: ExplainResult, config: str) -> Iterator[RenderableType]:
    yield f"{result.config}: {result.model}; {result.parameters:,} parameters\n"
    yield from _layers(result)
    yield from _inputs(result)
    yield from _section("The function", result.function)
    yield from _section("The loss", result.loss)
    yield from _classification(result)
    yield from _regression(result)
    yield from _section("The update", result.update)
    yield from _settings(result, config)


def _section(heading: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"\n{heading}"
    for line in lines:
        yield _wrapped(line)


def _wrapped(text: str, indent: str = "  ") -> str:
    return paragraph(text, start=indent, indent=f"{indent}  ")


def _layers(result: ExplainResult) -> Iterator[RenderableType]:
    rows = [
        [
            f"{layer.letter}  {layer.fan_in:,} → {layer.fan_out:,}"
            + (", batch norm" if layer.is_normalized else "")
            + (f", {layer.activation}" if layer.activation else ""),
            f"{layer.fan_in:,} × {layer.fan_out:,} + {layer.fan_out:,}"
            + (f" + 2 × {layer.fan_out:,}" if layer.is_normalized else "")
            + f" = {layer.parameters:,}",
            f"{layer.flops:,}",
        ]
        for layer in result.layers
    ]
    if len(rows) > 1:
        rows.append(["total", f"{result.parameters:,}", f"{result.flops.forward:,}"])
    yield make_table(["layer", "parameters", "forward FLOPs"], rows)
    flops, first = result.flops, result.layers[0].flops
    yield ""
    yield _wrapped(
        "FLOPs count matrix products only (2 per multiply-add), per example. The backward pass costs twice the forward "
        f"pass minus {first:,}, because the gradient with respect to the inputs is not needed. Both together take "
        f"{flops.training:,} per example, {flops.step:,} per step of {result.batch_size:,} and {flops.epoch:,} per "
        f"epoch of {result.train_examples:,} "
        f"in {result.steps_per_epoch:,} step{'' if result.steps_per_epoch == 1 else 's'}.",
        indent="",
    )


def _inputs(result: ExplainResult) -> Iterator[RenderableType]:
    if not result.inputs:
        return
    lines = [f"{name}: {kind}, {encoding}" for name, kind, encoding in result.inputs[:_SHOWN_COLUMNS]]
    if len(result.inputs) > _SHOWN_COLUMNS:
        lines.append(f"and {len(result.inputs) - _SHOWN_COLUMNS:,} more columns")
    yield from _section("The inputs, each made from the value x of a column", [one_line(line) for line in lines])


def _classification(result: ExplainResult) -> Iterator[RenderableType]:
    if result.divergence is None or result.example is None:
        return
    parts = result.divergence
    yield f"\nThe first batch before training: {result.batch_size:,} examples, loss {result.batch_loss:.6f}"
    yield make_table(
        ["  P from the labels, Q = f(x, θ)", "mean nats"],
        [
            ["  cross-entropy  −Σ P log Q", f"{parts.cross_entropy:.6f}"],
            ["  entropy        −Σ P log P, independent of θ", f"{parts.entropy:.6f}"],
            ["  KL(P, Q)       Σ P log(P / Q)", f"{parts.kl:.6f}"],
        ],
    )
    yield f"  KL(P, Q) = Σ P log P − Σ P log Q, to within {parts.gap:.1g}"
    example = result.example
    yield f"\nThe first example, label {example.label}: z = outputs, p = f(x, θ)"
    rows = [
        [f"  {term.name}", f"{term.z:.4f}", f"{term.p:.4f}", f"{term.y:.4g}", f"{term.term:.4f}"]
        for term in example.terms
    ]
    if example.left_out:
        rows.append([f"  and {example.left_out:,} more", "", "", "", ""])
    rows.append(["  sum", "", "", "", f"{example.loss:.4f}"])
    yield make_table(["  class", "z", "p", "y", result.term], rows)
    yield _wrapped(f"−log p({example.label}) = {example.surprise:.4f}")


def _regression(result: ExplainResult) -> Iterator[RenderableType]:
    if not result.errors:
        return
    yield f"\nThe first batch before training: {result.batch_size:,} examples, loss {result.batch_loss:.6f}"
    unit = f" in {result.unit}" if result.unit else ", unscaled"
    headings = ["  f(x)", "y", result.term, f"f(x){unit}", f"y{unit}"]
    rows = [
        [
            f"  {error.output:.4f}",
            f"{error.target:.4f}",
            f"{error.term:.4f}",
            f"{error.own_output:.5g}",
            f"{error.own_target:.5g}",
        ]
        for error in result.errors
    ]
    yield make_table(headings, rows)
    values = result.batch_size * result.layers[-1].fan_out
    first = " + ".join(f"{error.term:.4f}" for error in result.errors)
    more = " + …" if values > len(result.errors) else ""
    yield _wrapped(f"L = ({first}{more}) / {values:,} = {result.batch_loss:.6f}")


def _settings(result: ExplainResult, config: str) -> Iterator[str]:
    yield "\nSettings"
    for setting in result.settings:
        yield _wrapped(f"{setting.key}: {setting.value}  ({setting.origin})")
        yield _wrapped(setting.means, indent="    ")
        if setting.lecture:
            yield _wrapped(f"lecture: {setting.lecture}", indent="    ")
    yield _wrapped(
        f"{result.defaults} more settings have their defaults; run `dlcli config show {config}` to list them"
    )
