"""Studies: planned, run, and written down as a figure and numbers."""

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
from dlcli.lecture.studies.train import PairedTraining, Spectators
from dlcli.runs.files import read_json, write_json, write_whole
from dlcli.runs.manifest import describe_environment, describe_start

RECORD = "results.json"


@dataclass(frozen=True)
class StudyOutcome:
    """What a study came to, and where it lies.

    Attributes:
        folder: Where its files are.
        files: Their names.
        results: All that was measured.
        record: What `results.json` holds; `title` and `paragraph` say what was found, `method` how.
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
    spectators: Spectators | None = None,
) -> StudyOutcome:
    """Run a study, and leave its figure and its numbers behind.

    Args:
        name: Which.
        settings: `key=value` for all variants.
        data: The data source; None takes the study's first.
        seeds: How many seeds each variant is trained with, at least 2: those after the config's `seed`.
        folder: Where to write; None is `studies/NAME`.
        spectators: Who is told what.

    Raises:
        UsageError: If there is no such study, it cannot run so, or the folder holds something else.
        DataError: If data is missing, damaged or unfit, or a file cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        Interrupted: If `spectators.should_stop` said so; nothing is written then.
    """
    plan = make_plan(find_study(name), tuple(settings), data, seeds)
    start = describe_start(sys.argv)
    training = PairedTraining(plan, spectators or Spectators())
    with _folder_for(name, Path("studies") / name if folder is None else folder) as folder:
        results = training.run()
        return _write(folder, results, {**start, **describe_environment(training.device)})


def _write(folder: Path, results: StudyResults, circumstances: Mapping[str, Any]) -> StudyOutcome:
    """Write a study's files."""
    from dlcli.lecture.studies.figure import draw_study  # matplotlib takes a while to import

    record = {**make_record(results), **circumstances}
    pictures = draw_study(results)
    write_json(folder / RECORD, record)
    for file, content in pictures.items():
        write_whole(folder / file, content)
    return StudyOutcome(str(folder), (*pictures, RECORD), results, record)


@contextmanager
def _folder_for(name: str, folder: Path) -> Iterator[Path]:
    """Make a folder in which nothing can be lost but earlier results of the same study; without results it goes again.

    Raises:
        UsageError: If it holds something else, or cannot be made.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot write into {folder}: {reason}", hint="-o takes another folder") from error
    if not is_empty and _study_in(folder) != name:
        raise UsageError(f"{folder} holds something else than results of {name}", hint="-o takes another folder")
    try:
        yield folder
    except BaseException:
        if is_new:
            with suppress(OSError):  # it holds something by now
                folder.rmdir()
        raise


def _study_in(folder: Path) -> str | None:
    """Return the name of the study whose results a folder holds; None if it holds none."""
    try:
        return str(read_json(folder / RECORD).get("study"))
    except DataError:
        return None
