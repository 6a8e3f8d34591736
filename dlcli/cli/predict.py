"""The `dlcli predict` command: predictions for new data, or for single examples of a split."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
from dlcli.cli.output import choose_run, open_reporter, paragraph, print_json, print_result
from dlcli.cli.predictions import prediction_lines, print_csv, print_records, show_predictions
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from dlcli.api import PredictResult

# Endings of the file names of inputs.
_ENDINGS = (".csv", ".tsv", ".txt", ".gz", ".parquet", ".npz", ".png", ".jpg", ".jpeg")


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
            "--index",
            "-i",
            metavar="I,J,...",
            help="Without INPUT: examples of the split to predict, counted from 0.  [0,1,2]",
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
    of_input = {"--output": output, "--keep": keep, "--bad-rows": bad_rows}
    of_split = {"--index": index, "--event": event, "--device": device, "--data-root": data_root}
    of_split["--split"] = None if split == "test" else split
    for option, value in (of_input if source is None else of_split).items():
        if value is not None and source is None:
            raise UsageError(f"{option} needs new data", hint="write it like `dlcli predict RUN new.csv -o FILE.csv`")
        if value is not None:
            raise UsageError(f"{option} is for examples of a split, and there is new data", hint=f"leave out {option}")
    if source is None:
        _predict_examples(run, index, event, split, checkpoint, device, data_root, json=json)
    else:
        names = [name for names in csv.reader(keep or (), skipinitialspace=True) for name in names]
        run = choose_run(run, quiet=quiet)
        _predict_input(run, source, output, names, bad_rows or "stop", checkpoint, json=json, quiet=quiet)


def _predict_input(
    run: str,
    source: str,
    output: Path | None,
    keep: Sequence[str],
    bad_rows: Literal["stop", "blank"],
    checkpoint: Literal["best", "last"],
    *,
    json: bool,
    quiet: bool,
) -> None:
    from dlcli import api
    from dlcli.prediction.save import check_output, save_predictions
    from dlcli.runs.find import find_run

    if output is not None:
        check_output(output)
    notify = open_reporter("plain", quiet=quiet).note
    prediction = api.predict_input(run, source, checkpoint=checkpoint, keep=keep, bad_rows=bad_rows, notify=notify)
    folder = str(find_run(run).path)
    if output is not None:
        save_predictions(prediction, output)
        if json:
            examples = prediction.census.rows
            print_json({"run": folder, "input": source, "output": str(output), "examples": examples}, kept=output)
        else:
            print_result(str(output), kept=output)
    elif json:
        print_records(prediction, folder)
    elif sys.stdout.isatty():
        show_predictions(prediction)
    else:
        print_csv(prediction)


def _find_source(run: str | None, source: str | None) -> tuple[str | None, str | None]:
    """Return run and input; a single argument that is an input but no run is an input for the newest run."""
    if run is None or source is not None:
        return run, source
    if run == "-":
        return None, run
    from dlcli.errors import DlcliError
    from dlcli.runs.find import find_run

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
    print_result(*_event_lines(result), *prediction_lines(result.predictions, titles, unit))


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
