"""Beginning, joining, running and measuring of sweeps."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna import Study

import dlcli
from dlcli.api.run_training import LONG_SECONDS
from dlcli.api.sweeping.confirm import confirm
from dlcli.api.sweeping.generation import run_generations
from dlcli.api.sweeping.processes import WorkerProcesses
from dlcli.api.sweeping.watch import Watch
from dlcli.api.sweeping.worker import WAIT_SECONDS, Workplace, delete_checkpoints, run_trials
from dlcli.config.load import Overrides
from dlcli.config.paths import as_argument
from dlcli.config.sweep.load import LoadedSweep, difference, load_sweep
from dlcli.errors import DataError, Interrupted, UsageError
from dlcli.report.page import ReportResult
from dlcli.report.sweep import report_after_sweep, write_sweep_report
from dlcli.runs.files import read_json
from dlcli.runs.lock import file_lock
from dlcli.sweeps.database import hide_password
from dlcli.sweeps.folder import SweepFolder, create_folder, list_sweeps, sweeps_root
from dlcli.sweeps.records import SweepResult
from dlcli.sweeps.results import measure_sweep, read_confirmation, training_seconds, write_results
from dlcli.sweeps.storage import open_claims
from dlcli.sweeps.sweep import Sweep, read_sweep, write_sweep
from dlcli.sweeps.trials import read_trials
from dlcli.training.listeners import Listeners, stop_requests

_BEGIN_SECONDS = 60.0  # another process takes less to begin a sweep


def begin_or_join(loaded: LoadedSweep, storage: str | None, *, new: bool, note: Callable[[str], None]) -> Sweep:
    """Return the newest sweep of this name that has not ended, or that has this config; otherwise a new one.

    A job that starts again after the others have ended the sweep so gets its results.

    Raises:
        UsageError: If that sweep has another config, or another storage.
        DataError: If the folder cannot be written.
    """
    name = loaded.base.config.name
    root = sweeps_root() / name
    _make_folder(root)
    with file_lock(root / ".lock", wait_seconds=_BEGIN_SECONDS):  # two processes that begin at once get the same sweep
        found = [] if new else [folder for folder in list_sweeps(name) if _is_open(folder, loaded)]
        if not found:
            folder = create_folder(name)
            write_sweep(folder, loaded, _manifest(storage))
            return read_sweep(folder, url=storage)
    folder = found[-1]
    sweep = read_sweep(folder, url=storage)
    _check_storage(folder, storage)
    _check_same(sweep.loaded, loaded, folder)
    if _has_ended(folder):
        note(f"{folder.path} has ended; --new begins another sweep")
        return sweep
    note(f"taking part in {folder.path}")
    if sweep.is_over():
        note(f"its time is over; `dlcli sweep --resume {as_argument(str(folder.path))}` goes on")
    return sweep


def reopen(folder: SweepFolder, overrides: Overrides, storage: str | None) -> Sweep:
    """Return a sweep to go on with, with changed settings and a new start of its time.

    Raises:
        UsageError: If settings differ that results depend on, or it has another storage.
    """
    before, loaded = load_sweep(folder.sweep), load_sweep(folder.sweep, overrides)
    _check_storage(folder, storage)
    if lines := difference(before.identity(), loaded.identity()):
        message = "\n".join([f"{folder.path} searches with other settings:", *(f"  {line}" for line in lines)])
        raise UsageError(
            message, hint="only sweep.trials, seconds, confirm_seeds and keep can change; begin a new sweep"
        )
    write_sweep(folder, loaded, {**read_json(folder.manifest), **_clock()})
    return read_sweep(folder, url=storage)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot create the folder {path}: {error.strerror or error}"
        raise DataError(message, hint="choose another place with `DLCLI_SWEEPS=DIR`") from error


def _is_open(folder: SweepFolder, loaded: LoadedSweep) -> bool:
    """Return whether a sweep has not ended, or has the same config."""
    return not _has_ended(folder) or not difference(load_sweep(folder.sweep).identity(), loaded.identity())


def _has_ended(folder: SweepFolder) -> bool:
    return folder.summary.exists() and read_json(folder.summary).get("status") == "finished"


def _manifest(storage: str | None) -> dict[str, Any]:
    """Return the manifest of a new sweep."""
    shown = None if storage is None else hide_password(storage)
    command = [hide_password(argument) for argument in sys.argv]
    return {"command": command, "versions": {"dlcli": dlcli.__version__}, "storage": shown, **_clock()}


def _clock() -> dict[str, Any]:
    return {"begun": time.time(), "started": datetime.now(UTC).isoformat(timespec="seconds")}


def _check_storage(folder: SweepFolder, storage: str | None) -> None:
    """Check that a sweep is stored where the caller says.

    Raises:
        UsageError: If it is not.
    """
    recorded = read_json(folder.manifest).get("storage")
    given = None if storage is None else hide_password(storage)
    if recorded != given:
        where = f"in {recorded}" if recorded else "in a journal in its folder"
        hint = "add --storage URL" if recorded else "leave --storage out, or begin another sweep with --new"
        raise UsageError(f"{folder.path} is stored {where}", hint=hint)


def _check_same(recorded: LoadedSweep, given: LoadedSweep, folder: SweepFolder) -> None:
    """Check that two configs describe the same sweep.

    Raises:
        UsageError: If they do not; names each difference.
    """
    lines = difference(recorded.identity(), given.identity())
    if lines:
        message = "\n".join([f"{folder.path} goes on, and has another config:", *(f"  {line}" for line in lines)])
        raise UsageError(message, hint="use the same config, or begin another sweep with --new")
    if recorded.settings != given.settings:
        changes = " ".join(
            f"sweep.{name}={'null' if value is None else value}"
            for name, value in given.settings
            if value != getattr(recorded.settings, name)
        )
        command = f"dlcli sweep --resume {as_argument(str(folder.path))} {changes}"
        raise UsageError(f"{folder.path} goes on, and has another extent", hint=f"run `{command}`")


def run_sweep(sweep: Sweep, workers: int, *, evaluate_test: bool, listeners: Listeners) -> SweepResult:
    """Run the trials of a sweep with this many processes, confirm the best one, and write the results."""
    if workers < 1:
        raise UsageError(f"workers must be at least 1. Got {workers} instead", hint="write it like --workers 2")
    hint = f"`dlcli sweep --resume {as_argument(str(sweep.folder.path))}` goes on"
    study = sweep.open_study(workers)
    watch = Watch(sweep, study, listeners)
    with stop_requests(listeners) as should_stop:
        try:
            watch.start()
            if workers == 1:
                claims = open_claims(sweep.folder.trials, sweep.url)
                _work(Workplace(sweep, study, claims, should_stop, on_change=watch.look))
            else:
                WorkerProcesses(sweep, workers, should_stop, watch.look, listeners.note).run()
            watch.end()
            with _alone(sweep, should_stop):
                return _finish(sweep, evaluate_test, listeners, should_stop)
        except Interrupted as error:
            raise Interrupted(
                f"interrupted; saved {sweep.folder.path}", signum=error.exit_code - 128, hint=hint
            ) from error


def _work(place: Workplace) -> None:
    """Run trials until none is left."""
    (run_trials if place.sweep.settings.generation is None else run_generations)(place)


@contextmanager
def _alone(sweep: Sweep, should_stop: Callable[[], int | None]) -> Iterator[None]:
    """Wait until no other process finishes the sweep."""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(file_lock(sweep.folder.lock("end")))
                break
            except (BlockingIOError, TimeoutError):
                if signum := should_stop():
                    raise Interrupted("interrupted while another process finishes", signum=signum) from None
                time.sleep(WAIT_SECONDS)
        yield


def _finish(
    sweep: Sweep, evaluate_test: bool, listeners: Listeners, should_stop: Callable[[], int | None]
) -> SweepResult:
    """Confirm the best trial, unless the time of the sweep is over before, and write the results."""
    study = sweep.open_study()
    delete_checkpoints(sweep, study)  # a worker may have been killed before it did
    result = measure_sweep(sweep, study, None)
    if result.best is not None and not result.trials["running"] + result.trials["waiting"] and not sweep.is_over():
        if seeds := sweep.settings.confirm_seeds:
            listeners.note(f"training the best trial and the unchanged config with {seeds} fresh seeds")
        quiet = Listeners(should_stop=sweep.find_stop(should_stop))
        try:
            found = confirm(sweep, result.best, evaluate_test=evaluate_test, listeners=quiet)
        except Interrupted:
            if should_stop():
                raise
            found = None
        result = measure_sweep(sweep, study, found)
    write_results(sweep, study, result)
    _report(sweep, study, result, listeners.note)
    return result


def _report(sweep: Sweep, study: Study, result: SweepResult, note: Callable[[str], None]) -> None:
    """Write the page of the sweep, as the setting `plots` says."""
    plots = sweep.loaded.base.config.plots
    if plots == "never":
        return
    has_plots = plots == "always" or (training_seconds(sweep, read_trials(study, sweep)) or 0.0) >= LONG_SECONDS
    report_after_sweep(sweep, study, result, note, has_plots=has_plots)


def measure(folder: SweepFolder, storage: str | None) -> SweepResult:
    """Return the results of a sweep so far."""
    _check_storage(folder, storage)
    sweep = read_sweep(folder, url=storage)
    summary = read_json(folder.summary) if folder.summary.exists() else {}
    result = measure_sweep(sweep, sweep.open_study(), read_confirmation(summary))
    confirmed = (summary.get("best") or {}).get("number")
    if result.confirmation is not None and result.best is not None and result.best.number != confirmed:
        return replace(result, status="paused", confirmation=None)  # later trials have found a better one
    return result


def report(folder: SweepFolder, output: str | os.PathLike[str] | None, storage: str | None) -> ReportResult:
    """Write the page of a sweep as it is so far."""
    result, sweep = measure(folder, storage), read_sweep(folder, url=storage)
    return write_sweep_report(sweep, sweep.open_study(), result, output)


def run_worker(folder: SweepFolder, storage: str | None, should_stop: Callable[[], int | None]) -> None:
    """Run trials of a sweep in a process that another one has started."""
    sweep = read_sweep(folder, url=storage)
    claims = open_claims(folder.trials, storage)
    _work(Workplace(sweep, sweep.open_study(), claims, should_stop))
