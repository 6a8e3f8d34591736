"""Execution of studies, with their figure and results saved to a folder."""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.errors import DataError, UsageError
from dlcli.lecture.studies.plan import Plan, make_plan
from dlcli.lecture.studies.record import make_record
from dlcli.lecture.studies.results import StudyResults
from dlcli.lecture.studies.train import PairedTraining
from dlcli.lecture.studies.trainer import StudyListeners
from dlcli.lecture.studies.vary import MAX_ADDED, choose_study, find_rate_beyond
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
    name: str | None = None,
    settings: Sequence[str] = (),
    *,
    config: str | os.PathLike[str] | None = None,
    vary: Sequence[str] = (),
    data: str | None = None,
    seeds: int = 5,
    folder: Path | None = None,
    dpi: int = 150,
    listeners: StudyListeners | None = None,
) -> StudyOutcome:
    """Run a study and save its figure and results.

    Args:
        name: Name of a study of the catalogue; None with `vary`.
        settings: Overrides `key=value` for all variants.
        config: Config file or preset that all variants start from; None uses the study's own.
        vary: Settings with the values to compare, such as `model.activation=sigmoid,relu`; several form a grid.
        data: Name of the data source; None selects the study's first.
        seeds: Number of seeds per variant, at least 2, counted from the seed after the config's `seed`.
        folder: Output folder; None uses `studies/NAME`, or `studies/NAME-2` if that holds results of another study.
        dpi: Resolution of the PNG file, in dots per inch.
        listeners: Callbacks; None uses no callbacks.

    Raises:
        UsageError: If the study does not exist, cannot run with these arguments, or the folder holds other files.
        ConfigError: If the config of a variant is invalid.
        DataError: If the data is missing, damaged or unsuitable, or a file cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        Interrupted: If `listeners.should_stop` returns a signal number; no files are written.
    """
    chosen = choose_study(name, tuple(settings), config=config, vary=vary, data=data)
    plan, listeners = make_plan(chosen, tuple(settings), data, seeds), listeners or StudyListeners()
    for note in plan.notes:
        listeners.tell(f"note: {note}")
    start = describe_start(sys.argv)
    training = PairedTraining(plan, listeners)
    with _folder_for(plan, folder) as folder:
        results = _search_beyond(training.run(), plan, listeners or StudyListeners())
        return _write(folder, results, {**start, **describe_environment(training.device)}, dpi)


def _search_beyond(results: StudyResults, plan: Plan, listeners: StudyListeners) -> StudyResults:
    """Add at most two learning rates while the best one is an end of the range, and return all results."""
    for _ in range(MAX_ADDED):
        added = find_rate_beyond(results)
        if added is None:
            break
        listeners.tell(f"the best is an end of the range: added {added.label}")
        single = dataclasses.replace(plan.study, variants=(added,), reference=added.label)
        more = PairedTraining(make_plan(single, plan.settings, plan.data, len(plan.seeds)), listeners).run()
        pairs = [
            *zip(results.study.variants, results.variants, strict=True),
            *zip(single.variants, more.variants, strict=True),
        ]
        pairs.sort(key=lambda pair: pair[0].value or 0.0)
        designs, variants = zip(*pairs, strict=True)
        results = dataclasses.replace(
            results, study=dataclasses.replace(results.study, variants=designs), variants=variants
        )
    return results


def _write(folder: Path, results: StudyResults, environment: Mapping[str, Any], dpi: int) -> StudyOutcome:
    """Write the files of a study, results first, so that an error in the figure loses no results."""
    from dlcli.lecture.studies.figure import draw_study  # imports matplotlib, which is slow

    record = {**make_record(results), **environment}
    write_json(folder / RECORD, record)
    pictures = draw_study(results, dpi)
    for file, content in pictures.items():
        write_atomic(folder / file, content)
    return StudyOutcome(str(folder), (*pictures, RECORD), results, record)


@contextmanager
def _folder_for(plan: Plan, chosen: Path | None) -> Iterator[Path]:
    """Create the output folder; it may only hold earlier results of the same study. Remove a new folder on failure.

    Raises:
        UsageError: If the folder holds other files or cannot be created.
    """
    name = plan.study.name
    folder = _free_folder(plan) if chosen is None else chosen
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot write into {folder}: {reason}", hint="choose another folder with -o DIR") from error
    if not is_empty and _record_in(folder).get("study") != name:
        raise UsageError(
            f"{folder} holds files that are not results of {name}", hint="choose another folder with -o DIR"
        )
    try:
        yield folder
    except BaseException:
        if is_new:
            with suppress(OSError):  # the folder is no longer empty
                folder.rmdir()
        raise


def _free_folder(plan: Plan) -> Path:
    """Return `studies/NAME`, or `studies/NAME-2` and so on if the folder holds the results of a different plan."""
    labels = [variant.label for variant in plan.study.variants]
    design = (plan.study.name, plan.data, list(plan.seeds), list(plan.settings), labels)
    for number in itertools.count(1):
        folder = Path("studies") / (plan.study.name if number == 1 else f"{plan.study.name}-{number}")
        record = _record_in(folder)
        found = [variant.get("label") for variant in record.get("variants", ()) if not variant.get("is_added")]
        if not record or design == (*(record.get(key) for key in ("study", "data", "seeds", "settings")), found):
            return folder
    raise AssertionError("unreachable")


def _record_in(folder: Path) -> Mapping[str, Any]:
    """Return the record of the study in a folder; empty if there is none."""
    try:
        return read_json(folder / RECORD)
    except DataError:
        return {}
