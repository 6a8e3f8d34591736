"""dlcli explain."""

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

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.api import ExplainResult

_WIDTH = 80


def explain_command(
    config: ConfigOption,
    overrides: OverridesArgument = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a config out: its layers, f and L in the lecture's notation, and the first batch before training.

    Example: dlcli explain -c digits loss.label_smoothing=0.1
    """
    from dlcli.config.load import load_config

    loaded = load_config(config, overrides or ())
    print_warnings(() if quiet else loaded.warnings)

    from dlcli import api

    result = api.explain(loaded)
    if json:
        print_json(asdict(result))
    else:
        print_result(*_page(result, config))


def _page(result: ExplainResult, config: str) -> Iterator[RenderableType]:
    yield f"{result.config}: {result.model}; {result.parameters:,} parameters\n"
    yield from _layers(result)
    yield from _section("The function", result.function)
    yield from _section("The loss", result.loss)
    yield from _classification(result)
    yield from _regression(result)
    yield from _section("The update", result.update)
    yield from _settings(result, config)


def _section(heading: str, lines: tuple[str, ...]) -> Iterator[str]:
    yield f"\n{heading}"
    for line in lines:
        yield _wrapped(line)


def _wrapped(text: str, indent: str = "  ") -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def _layers(result: ExplainResult) -> Iterator[RenderableType]:
    rows = [
        [
            f"{one.letter}  {one.fan_in:,} → {one.fan_out:,}" + (f", {one.activation}" if one.activation else ""),
            f"{one.fan_in:,} × {one.fan_out:,} + {one.fan_out:,} = {one.parameters:,}",
            f"{one.flops:,}",
        ]
        for one in result.layers
    ]
    if len(rows) > 1:
        rows.append(["all", f"{result.parameters:,}", f"{result.flops.forward:,}"])
    yield make_table(["layer", "parameters", "FLOPs forward"], rows)
    flops, first = result.flops, result.layers[0].flops
    yield ""
    yield _wrapped(
        "FLOPs: of the matrix products, two for each multiply-add, for one example. Backward takes twice as many, less "
        f"the {first:,} for the gradient of x, which nobody asks for: with forward {flops.training:,} for an example, "
        f"{flops.step:,} for a step of {result.batch_size:,}, {flops.epoch:,} for an epoch of "
        f"{result.train_examples:,} in {result.steps_per_epoch:,} step{'' if result.steps_per_epoch == 1 else 's'}.",
        indent="",
    )


def _classification(result: ExplainResult) -> Iterator[RenderableType]:
    if result.divergence is None or result.example is None:
        return
    parts = result.divergence
    yield f"\nThe first batch before training: {result.batch_size:,} examples, loss {result.batch_loss:.6f}"
    yield make_table(
        ["  P from the labels, Q = f(x, θ)", "mean nats"],
        [
            ["  cross-entropy  −Σ P log Q", f"{parts.cross_entropy:.6f}"],
            ["  entropy        −Σ P log P, without θ", f"{parts.entropy:.6f}"],
            ["  KL(P, Q)       Σ P log(P / Q)", f"{parts.kl:.6f}"],
        ],
    )
    yield f"  KL(P, Q) = Σ P log P − Σ P log Q, to within {parts.gap:.1g}"
    example = result.example
    yield f"\nIts first example, label {example.label}: z = outputs, p = f(x, θ)"
    rows = [
        [f"  {one.name}", f"{one.z:.4f}", f"{one.p:.4f}", f"{one.y:.4g}", f"{one.term:.4f}"] for one in example.terms
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
            f"  {one.output:.4f}",
            f"{one.target:.4f}",
            f"{one.term:.4f}",
            f"{one.own_output:.5g}",
            f"{one.own_target:.5g}",
        ]
        for one in result.errors
    ]
    yield make_table(headings, rows)
    values = result.batch_size * result.layers[-1].fan_out
    first = " + ".join(f"{one.term:.4f}" for one in result.errors)
    more = " + …" if values > len(result.errors) else ""
    yield _wrapped(f"L = ({first}{more}) / {values:,} = {result.batch_loss:.6f}")


def _settings(result: ExplainResult, config: str) -> Iterator[str]:
    yield "\nThe config"
    for one in result.settings:
        yield _wrapped(f"{one.key}: {one.value}  ({one.origin})")
        yield _wrapped(one.means, indent="    ")
        if one.lecture:
            yield _wrapped(f"lecture: {one.lecture}", indent="    ")
    yield _wrapped(f"{result.defaults} more settings have their defaults: `dlcli config show {config}` lists them")
