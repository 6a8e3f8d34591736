"""The `dlcli predict` command: predictions for single examples."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlcli.cli.options import CheckpointOption, DataRootOption, DeviceOption, JsonOption, RunArgument, SplitOption
from dlcli.cli.output import choose_run, paragraph, print_json, print_result
from dlcli.errors import UsageError
from dlcli.text import page_width

if TYPE_CHECKING:
    from dlcli.api import PredictResult

_DIGITS, _MOST_DIGITS = 5, 17  # of numbers that are predicted


def predict_command(
    run: RunArgument = None,
    index: Annotated[
        str, typer.Option("--index", "-i", metavar="I,J,...", help="Indices of examples in the split, counted from 0.")
    ] = "0,1,2",
    event: Annotated[
        str | None,
        typer.Option(
            "--event", metavar="CLASS,CLASS,...", help="Also show the probability that the class is one of these."
        ),
    ] = None,
    split: SplitOption = "test",
    checkpoint: CheckpointOption = "best",
    device: DeviceOption = None,
    data_root: DataRootOption = None,
    json: JsonOption = False,
) -> None:
    """Predict single examples: class probabilities P(class | x), or values in the unit of the target.

    Example: dlcli predict --index 0,7

    Example: dlcli predict digits --event 0,8
    """
    indices = _read_indices(index)
    classes = None if event is None else [name for part in event.split(",") if (name := part.strip())]

    from dlcli import api

    result = api.predict(
        choose_run(run, is_named=json),
        indices,
        split=split,
        checkpoint=checkpoint,
        device=device or "auto",
        data_root=data_root,
        event=classes,
    )
    if json:
        print_json(asdict(result))
    else:
        print_result(*_event_lines(result), *(line for record in result.predictions for line in _lines(record, result)))


def _read_indices(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--index {text!r} is not a list of whole numbers", hint="write it like `--index 0,7`"
        ) from None


def _event_lines(result: PredictResult) -> list[str]:
    events = [record["event"]["classes"] for record in result.predictions if "event" in record]
    return [paragraph(f"{{{', '.join(events[0])}}}", start="E = "), ""] if events else []


def _lines(record: dict[str, Any], result: PredictResult) -> Iterator[str]:
    if "probs" in record:
        verdict = "correct" if record["pred"] == record["label"] else "wrong"
        yield f"{result.split} example {record['index']}: {record['pred']}, label {record['label']} ({verdict})"
        width = max(len(name) for name in record["probs"])
        full = min(40, max(10, page_width(sys.stdout) - width - 12))  # columns of the bar of probability 1
        for name, p in record["probs"].items():
            yield f"  {name:<{width}}  {p:.4f}  {'█' * round(full * p)}".rstrip()
        if "event" in record:
            yield f"  P(E | x) = {record['event']['probability']:.4f}"
        yield ""
    else:
        digits = count_digits([record[key] for record in result.predictions for key in ("output", "target")])
        output, target = format_value(record["output"], digits), format_value(record["target"], digits)
        unit = f" {result.unit}" if result.unit else ""
        yield f"{result.split} example {record['index']}: {output}{unit}, true {target}{unit}"


def count_digits(values: Sequence[float | list[float]]) -> list[int]:
    """Return the significant digits for each item of the values: 5, or those that show their range in 3 digits."""
    digits = []
    for items in zip(*(value if isinstance(value, list) else [value] for value in values), strict=True):
        spread, largest = max(items) - min(items), max(map(abs, items))
        needed = math.ceil(math.log10(largest / spread)) + 3 if 0 < spread < math.inf else 0
        whole = math.ceil(math.log10(largest)) if needed > _DIGITS and largest > 1 else 0  # no exponent: 1700000060
        digits.append(min(_MOST_DIGITS, max(_DIGITS, needed, whole)))
    return digits


def format_value(value: float | list[float], digits: Sequence[int]) -> str:
    """Return the items of a value with their significant digits."""
    items = value if isinstance(value, list) else [value]
    return ", ".join(f"{item:.{n}g}" for item, n in zip(items, digits, strict=True))
