"""Execution of studies, with their figure and results saved to a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.errors import DataError, UsageError
from dlcli.lecture.studies.catalogue import find_study
from dlcli.lecture.studies.plan import make_plan
from dlcli.lecture.studies.record import make_record
from dlcli.lecture.studies.results import StudyResults
from dlcli.lecture.studies.train import PairedTraining, StudyListeners
from dlcli.runs.files import read_json, write_atomic, write_json
from dlcli.runs.manifest import describe_environment, describe_start

RECORD = "results.json"


@dataclass(frozen=True)
class StudyOutcome:
    """Results of a study and its files.

    Attributes:
        folder: Output folder.
        files: Names of the files in the folder.
        results: All measurements.
        record: Contents of `results.json`; `title` and `paragraph` state the result, `method` the procedure.
    """

    folder: str
    files: tuple[str, ...]
    results: StudyResults
    record: Mapping[str, Any]


def study(
    name: str,
    settings: Sequence[str] = (),
    *,
    data: str | None = None,
    seeds: int = 5,
    folder: Path | None = None,
    listeners: StudyListeners | None = None,
) -> StudyOutcome:
    """Run a study and save its figure and results.

    Args:
        name: Name of the study.
        settings: Overrides `key=value` for all variants.
        data: Name of the data source; None selects the study's first.
        seeds: Number of seeds per variant, at least 2, counted from the seed after the config's `seed`.
        folder: Output folder; None uses `studies/NAME`.
        listeners: Callbacks; None uses no callbacks.

    Raises:
        UsageError: If the study does not exist, cannot run with these arguments, or the folder holds other files.
        DataError: If the data is missing, damaged or unsuitable, or a file cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        Interrupted: If `listeners.should_stop` returns a signal number; no files are written.
    """
    plan = make_plan(find_study(name), tuple(settings), data, seeds)
    start = describe_start(sys.argv)
    training = PairedTraining(plan, listeners or StudyListeners())
    with _folder_for(name, Path("studies") / name if folder is None else folder) as folder:
        results = training.run()
        return _write(folder, results, {**start, **describe_environment(training.device)})


def _write(folder: Path, results: StudyResults, environment: Mapping[str, Any]) -> StudyOutcome:
    """Write the files of a study."""
    from dlcli.lecture.studies.figure import draw_study  # imports matplotlib, which is slow

    record = {**make_record(results), **environment}
    pictures = draw_study(results)
    write_json(folder / RECORD, record)
    for file, content in pictures.items():
        write_atomic(folder / file, content)
    return StudyOutcome(str(folder), (*pictures, RECORD), results, record)


@contextmanager
def _folder_for(name: str, folder: Path) -> Iterator[Path]:
    """Create the output folder; it may only hold earlier results of the same study. Remove a new folder on failure.

    Raises:
        UsageError: If the folder holds other files or cannot be created.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot write into {folder}: {reason}", hint="choose another folder with -o DIR") from error
    if not is_empty and _study_in(folder) != name:
        raise UsageError(
            f"{folder} holds files that are not results of {name}", hint="choose another folder with -o DIR"
        )
    try:
        yield folder
    except BaseException:
        if is_new:
            with suppress(OSError):  # not empty any more
                folder.rmdir()
        raise


def _study_in(folder: Path) -> str | None:
    """Return the name of the study with results in the folder, or None."""
    try:
        return str(read_json(folder / RECORD).get("study"))
    except DataError:
        return None
