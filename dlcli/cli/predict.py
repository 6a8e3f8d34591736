"""The `dlcli predict` command: predictions for new data, or for single examples of a split."""

from __future__ import annotations

import csv
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dlcli.cli.arguments import name_or_path_parser, path_parser
from dlcli.cli.options import (
    CheckpointOption,
    DataRootOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    RunArgument,
    SplitOption,
)
from dlcli.cli.output import choose_run, open_reporter, paragraph, print_json, print_json_file, print_result
from dlcli.cli.streams import stdout_is_gone
from dlcli.errors import UsageError, one_line
from dlcli.text import page_width

if TYPE_CHECKING:
    from dlcli.api import PredictResult
    from dlcli.prediction.predict import Prediction

_DIGITS, _MOST_DIGITS = 5, 17  # of numbers that are predicted
_MOST_ROWS = 10  # on a terminal
_MOST_BYTES = 16 << 20  # of JSON in memory
_ENDINGS = (".csv", ".tsv", ".txt", ".gz", ".parquet", ".npz", ".png", ".jpg", ".jpeg")  # of names of inputs


def predict_command(
    run: RunArgument = None,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT",
            help="New data: a CSV, Parquet or NPZ file, a picture, a folder of pictures, or - for stdin.",
            parser=name_or_path_parser("INPUT"),
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the predictions for INPUT to FILE.csv, FILE.jsonl or FILE.parquet.",
            parser=path_parser("--output"),
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="COLUMN,...", help="Columns of INPUT to show beside the predictions."),
    ] = None,
    bad_rows: Annotated[
        Literal["stop", "blank"] | None,
        typer.Option("--bad-rows", help="Stop at a row that cannot be used (default), or leave its prediction blank."),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            "--index", "-i", metavar="I,J,...", help="Without INPUT: examples of the split, counted from 0.  [0,1,2]"
        ),
    ] = None,
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
    quiet: QuietOption = False,
) -> None:
    """Predict for new data: class probabilities P(class | x), or values in the unit of the target.

    The predictions are written as CSV, in the order of the rows. Without INPUT, show single examples of a split.

    Example: dlcli predict weather tomorrow.csv -o predictions.csv --keep date

    Example: dlcli predict digits --index 0,7 --event 0,8
    """
    run, source = _find_source(run, source)
    if source is None:
        if output is not None or keep or bad_rows:
            option = "--output" if output is not None else "--keep" if keep else "--bad-rows"
            raise UsageError(f"{option} needs new data", hint="write it like `dlcli predict RUN new.csv -o FILE.csv`")
        _predict_examples(run, index, event, split, checkpoint, device, data_root, json=json)
        return
    given = {"--index": index, "--event": event, "--device": device, "--data-root": data_root}
    given["--split"] = None if split == "test" else split
    if wrong := [option for option, value in given.items() if value is not None]:
        raise UsageError(f"{wrong[0]} is for examples of a split, and there is new data", hint=f"leave out {wrong[0]}")

    from dlcli import api
    from dlcli.prediction.save import check_output, save_predictions
    from dlcli.runs.folder import find_run

    if output is not None:
        check_output(output)
    run = choose_run(run, quiet=quiet)
    prediction = api.predict_input(
        run,
        source,
        checkpoint=checkpoint,
        keep=[name for names in csv.reader(keep or (), skipinitialspace=True) for name in names],
        bad_rows=bad_rows or "stop",
        notify=open_reporter("plain", quiet=quiet).note,
    )
    if output is not None:
        save_predictions(prediction, output)
        record = {
            "run": str(find_run(run).path),
            "input": source,
            "output": str(output),
            "examples": prediction.census.rows,
        }
        if json:
            print_json(record, kept=output)
        else:
            print_result(str(output), kept=output)
    elif json:
        _print_records(prediction, str(find_run(run).path))
    elif sys.stdout.isatty():
        _show(prediction)
    else:
        _write_stdout(prediction)


def _find_source(run: str | None, source: str | None) -> tuple[str | None, str | None]:
    """Return run and input; a single argument that is an input and no run is the input of the newest run."""
    if run is None or source is not None:
        return run, source
    if run == "-":
        return None, run
    from dlcli.errors import DlcliError
    from dlcli.runs.folder import find_run

    try:
        find_run(run)
    except DlcliError:
        if Path(run).exists() or run.lower().endswith(_ENDINGS):
            return None, run
    return run, None


def _predict_examples(
    run: str | None,
    index: str | None,
    event: str | None,
    split: Literal["train", "val", "test"],
    checkpoint: Literal["best", "last"],
    device: str | None,
    data_root: str | None,
    *,
    json: bool,
) -> None:
    indices = _read_indices(index or "0,1,2")
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
        return
    unit = f" {result.unit}" if result.unit else ""
    titles = [f"{result.split} example {record['index']}" for record in result.predictions]
    print_result(*_event_lines(result), *_lines(result.predictions, titles, unit))


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


def _show(prediction: Prediction) -> None:
    """Print the first predictions on a terminal."""
    from dlcli.prediction.save import records_of

    for part in prediction.parts():
        shown = min(_MOST_ROWS, len(part.values))
        records = records_of(prediction, part)[:shown].to_dicts()
        for record in records:
            if record.get("probs"):
                record["probs"] = dict(sorted(record["probs"].items(), key=lambda item: -item[1]))
        names = [name for name in prediction.keep if part.rows.pixels is None or name != "file"]  # the place has it
        titles = [
            ", ".join([part.rows.place(row), *(one_line(f"{name} {record['kept'][name]}") for name in names)])
            for row, record in enumerate(records)
        ]
        unit = f" {prediction.info.target_unit}" if prediction.info.target_unit else ""
        print_result(*_lines(records, titles, unit))
        if len(part.values) > shown:
            sys.stderr.write(f"note: only the first {shown} rows are shown; write all with -o FILE.csv\n")
            return


def _write_stdout(prediction: Prediction) -> None:
    """Write all predictions as CSV to stdout, in UTF-8 whatever the encoding of the terminal is."""
    from dlcli.prediction.save import table_of

    for number, part in enumerate(prediction.parts()):
        content = table_of(prediction, part).write_csv(include_header=number == 0)
        sys.stdout.buffer.write(content.encode())
        sys.stdout.buffer.flush()
        if stdout_is_gone():
            return


def _print_records(prediction: Prediction, run: str) -> None:
    """Print all predictions as one JSON object, after the last of them is known."""
    from dlcli.prediction.save import records_of
    from dlcli.runs.files import to_json

    with tempfile.SpooledTemporaryFile(max_size=_MOST_BYTES) as file:
        file.write(to_json({"run": run, "input": prediction.input.name})[:-1].encode() + b', "predictions": [')
        for number, part in enumerate(prediction.parts()):
            lines = records_of(prediction, part).write_ndjson().rstrip("\n").replace("\n", ", ")
            file.write((", " if number else "").encode() + lines.encode())
        file.write(b"]}")
        file.seek(0)
        print_json_file(file)


def _lines(records: Sequence[Mapping[str, Any]], titles: Sequence[str], unit: str) -> Iterator[str]:
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
    full = min(40, max(10, page_width(sys.stdout) - width - 12))  # columns of the bar of probability 1
    for name, p in probs.items():
        yield f"  {name:<{width}}  {p:.4f}  {'█' * round(full * p)}".rstrip()
    if "event" in record:
        yield f"  P(E | x) = {record['event']['probability']:.4f}"
    yield ""


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
