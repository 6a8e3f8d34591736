"""Printing of predictions: bars on a terminal, CSV and JSON elsewhere."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlcli.cli.output import print_json_file, print_result
from dlcli.cli.streams import stdout_is_gone
from dlcli.errors import one_line
from dlcli.text import page_width

if TYPE_CHECKING:
    from dlcli.prediction.predict import Prediction

_DIGITS, _MOST_DIGITS = 5, 17  # usual and largest number of significant digits
_MOST_ROWS = 10  # rows shown on a terminal
_MOST_BYTES = 16 << 20  # JSON kept in memory; more goes to a temporary file


def show_predictions(prediction: Prediction) -> None:
    """Print the first predictions on a terminal."""
    from dlcli.prediction.output_columns import records_of

    for part in prediction.parts():
        shown = min(_MOST_ROWS, len(part.values))
        records = records_of(prediction, part)[:shown].to_dicts()
        for record in records:
            if record.get("probs"):
                record["probs"] = dict(sorted(record["probs"].items(), key=lambda item: -item[1]))
        # `place` already shows the columns in `shown`.
        names = [name for name in prediction.keep if name not in prediction.input.shown]
        titles = [
            ", ".join([part.rows.place(row), *(one_line(f"{name} {record['kept'][name]}") for name in names)])
            for row, record in enumerate(records)
        ]
        unit = f" {prediction.info.target_unit}" if prediction.info.target_unit else ""
        print_result(*prediction_lines(records, titles, unit))
        if len(part.values) > shown:
            sys.stderr.write(f"note: only the first {shown} rows are shown; write all with -o FILE.csv\n")
            return


def print_csv(prediction: Prediction) -> None:
    """Write all predictions as CSV to stdout, in UTF-8 whatever the encoding of the terminal is."""
    from dlcli.prediction.output_columns import table_of

    for number, part in enumerate(prediction.parts()):
        content = table_of(prediction, part).write_csv(include_header=number == 0)
        sys.stdout.buffer.write(content.encode())
        sys.stdout.buffer.flush()
        if stdout_is_gone():
            return


def print_records(prediction: Prediction, run: str) -> None:
    """Print all predictions as one JSON object, as soon as all are known."""
    from dlcli.prediction.output_columns import records_of
    from dlcli.runs.files import to_json

    with tempfile.SpooledTemporaryFile(max_size=_MOST_BYTES) as file:
        file.write(to_json({"run": run, "input": prediction.input.name})[:-1].encode() + b', "predictions": [')
        for number, part in enumerate(prediction.parts()):
            lines = records_of(prediction, part).write_ndjson().rstrip("\n").replace("\n", ", ")
            file.write((", " if number else "").encode() + lines.encode())
        file.write(b"]}")
        file.seek(0)
        print_json_file(file)


def prediction_lines(records: Sequence[Mapping[str, Any]], titles: Sequence[str], unit: str) -> Iterator[str]:
    """Yield the lines that show predictions.

    Args:
        records: Predictions as in the JSON output.
        titles: Heading of each prediction.
        unit: Unit of values, with a blank before it.
    """
    numbers = [record[key] for record in records for key in ("output", "target") if record.get(key) is not None]
    digits = count_digits(numbers)
    for record, title in zip(records, titles, strict=True):
        if record.get("probs"):
            yield from _class_lines(record, title)
        elif record.get("output") is not None:
            truth = "" if record.get("target") is None else f", true {format_value(record['target'], digits)}{unit}"
            yield f"{title}: {format_value(record['output'], digits)}{unit}{truth}"
        else:
            yield f"{title}: no prediction"


def _class_lines(record: Mapping[str, Any], title: str) -> Iterator[str]:
    verdict = ""
    if record.get("label") is not None:
        is_right = record["pred"] == record["label"]
        verdict = f", label {one_line(record['label'])} ({'correct' if is_right else 'wrong'})"
    yield f"{title}: {one_line(record['pred'])}{verdict}"
    probs = {one_line(name): p for name, p in record["probs"].items()}
    width = max(map(len, probs))
    full = min(40, max(10, page_width(sys.stdout) - width - 12))  # width of the bar of probability 1
    for name, p in probs.items():
        yield f"  {name:<{width}}  {p:.4f}  {'█' * round(full * p)}".rstrip()
    if "event" in record:
        yield f"  P(E | x) = {record['event']['probability']:.4f}"
    yield ""


def count_digits(values: Sequence[float | list[float]]) -> list[int]:
    """Return the number of significant digits for each item: 5, or more if its range needs them to have 3 digits."""
    digits = []
    for items in zip(*(value if isinstance(value, list) else [value] for value in values), strict=True):
        spread, largest = max(items) - min(items), max(map(abs, items))
        needed = math.ceil(math.log10(largest / spread)) + 3 if 0 < spread < math.inf else 0
        # Numbers such as 1700000060 need all digits before the point, or they would be shown with an exponent.
        whole = math.ceil(math.log10(largest)) if needed > _DIGITS and largest > 1 else 0
        digits.append(min(_MOST_DIGITS, max(_DIGITS, needed, whole)))
    return digits


def format_value(value: float | list[float], digits: Sequence[int]) -> str:
    """Return the items of a value with their significant digits."""
    items = value if isinstance(value, list) else [value]
    return ", ".join(f"{item:.{n}g}" for item, n in zip(items, digits, strict=True))
