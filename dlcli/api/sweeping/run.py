"""Running and measuring of sweeps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from optuna import Study

from dlcli.api.run_training import LONG_SECONDS
from dlcli.api.sweeping.begin import check_storage
from dlcli.api.sweeping.confirm import confirm
from dlcli.api.sweeping.generation import run_generations
from dlcli.api.sweeping.losers import Losers
from dlcli.api.sweeping.processes import WorkerProcesses, count_workers
from dlcli.api.sweeping.watch import Watch
from dlcli.api.sweeping.worker import WAIT_SECONDS, Workplace, run_trials
from dlcli.config.paths import as_argument
from dlcli.errors import DataError, Interrupted, UsageError
from dlcli.report.page import ReportResult
from dlcli.report.sweep import report_after_sweep, write_sweep_report
from dlcli.runs.files import read_json
from dlcli.runs.lock import file_lock
from dlcli.sweeps.folder import SweepFolder
from dlcli.sweeps.records import SweepResult
from dlcli.sweeps.results import measure_sweep, read_confirmation, training_seconds, write_results
from dlcli.sweeps.storage import open_claims
from dlcli.sweeps.sweep import Sweep, read_sweep
from dlcli.sweeps.trials import read_trials
from dlcli.training.listeners import Listeners, stop_requests

_OF_RUN = "`dlcli train --resume RUN`"


def run_sweep(sweep: Sweep, workers: int, *, evaluate_test: bool, listeners: Listeners) -> SweepResult:
    """Run the trials of a sweep with this many processes, confirm the best one, and write the results."""
    if workers < 1:
        raise UsageError(f"workers must be at least 1. Got {workers} instead", hint="write it like --workers 2")
    hint = f"`dlcli sweep --resume {as_argument(str(sweep.folder.path))}` continues it"
    with _own_hints(sweep), sweep.open_study(workers) as study, stop_requests(listeners) as should_stop:
        watch = Watch(sweep, study, listeners)
        try:
            watch.start()
            if workers == 1:
                claims = open_claims(study, sweep.folder.trials)
                _work(Workplace(sweep, study, claims, should_stop, on_change=watch.look))
            else:
                WorkerProcesses(sweep, workers, should_stop, watch.look, listeners.note).run()
            watch.end()
            with _alone(sweep, should_stop):
                return _finish(sweep, study, listeners, should_stop, evaluate_test=evaluate_test)
        except Interrupted as error:
            raise Interrupted(
                f"interrupted; saved {sweep.folder.path}", signum=error.exit_code - 128, hint=hint
            ) from error


@contextmanager
def _own_hints(sweep: Sweep) -> Iterator[None]:
    """Let the hints of errors name the command that continues the sweep instead of that of a run."""
    try:
        yield
    except DataError as error:
        if error.hint is None or _OF_RUN not in error.hint:
            raise
        own = f"`dlcli sweep --resume {as_argument(str(sweep.folder.path))}`"
        raise type(error)(error.message, hint=error.hint.replace(_OF_RUN, own)) from error


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
    sweep: Sweep,
    study: Study,
    listeners: Listeners,
    should_stop: Callable[[], int | None],
    *,
    evaluate_test: bool,
) -> SweepResult:
    """Confirm the best trial, unless the time of the sweep is over before, and write the results."""
    Losers().delete(sweep, study)  # a worker may have been killed before it did
    result = measure_sweep(sweep, study, None)
    if result.best is not None and not result.trials["running"] + result.trials["waiting"] and not sweep.is_over():
        stoppable = replace(listeners, should_stop=sweep.find_stop(should_stop))
        try:
            found = confirm(sweep, result.best, evaluate_test=evaluate_test, listeners=stoppable)
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
    check_storage(folder, storage)
    sweep = read_sweep(folder, url=storage)
    summary = read_json(folder.summary) if folder.summary.exists() else {}
    with sweep.read_study() as study:
        result = measure_sweep(sweep, study, read_confirmation(summary))
    confirmed = (summary.get("best") or {}).get("number")
    if result.confirmation is not None and result.best is not None and result.best.number != confirmed:
        return replace(result, status="paused", confirmation=None)  # later trials have found a better one
    return result


def report(folder: SweepFolder, output: str | os.PathLike[str] | None, storage: str | None) -> ReportResult:
    """Write the page of a sweep as it is so far."""
    result, sweep = measure(folder, storage), read_sweep(folder, url=storage)
    with sweep.read_study() as study:
        return write_sweep_report(sweep, study, result, output)


def run_worker(folder: SweepFolder, storage: str | None, should_stop: Callable[[], int | None]) -> None:
    """Run trials of a sweep in a process that another one has started."""
    sweep = read_sweep(folder, url=storage)
    with _own_hints(sweep), sweep.open_study() as study:
        _work(Workplace(sweep, study, open_claims(study, folder.trials), should_stop, workers=count_workers()))
