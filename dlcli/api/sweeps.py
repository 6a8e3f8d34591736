"""Sweeps: search for good settings of a config, by one or several processes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from dlcli.config.load import ConfigSource, Overrides
from dlcli.config.sweep.load import load_sweep
from dlcli.report.page import ReportResult
from dlcli.reporters.notebook import notebook_listeners
from dlcli.sweeps.folder import find_sweep
from dlcli.sweeps.records import SweepResult
from dlcli.sweeps.storage import require_optuna
from dlcli.training.listeners import Listeners


def sweep(
    source: ConfigSource,
    overrides: Overrides = (),
    *,
    space: Sequence[str] = (),
    workers: int = 1,
    storage: str | None = None,
    new: bool = False,
    evaluate_test: bool = False,
    listeners: Listeners | None = None,
) -> SweepResult:
    """Search for good settings of a config with a `sweep` section, or take part in such a search.

    The newest sweep of this name is continued if it has not ended, even while other processes run it.

    Args:
        source: YAML file, or settings as a dict.
        overrides: See `load_config`; also settings of the sweep, such as `sweep.trials=100`.
        space: Settings to try, such as `optimizer.lr={min: 1e-3, max: 1, log: true}`, in place of those in the file.
        workers: Number of processes of this machine that run trials.
        storage: Address of a database that the workers share, such as `postgresql://…`; None uses a journal in the
            sweep's folder.
        new: Whether to begin a new sweep in any case.
        evaluate_test: Whether to evaluate the models of the confirmation on the test split at the end.
        listeners: Callbacks; None shows the progress in a notebook, and nothing elsewhere.

    Raises:
        UsageError: If a package is missing, or the sweep of this name has another config.
        ConfigError: If the config, its sweep or a trial of it is invalid; lists all problems at once.
        DataError: If the data, a trial or the storage cannot be used.
        DeviceError: If a device is missing, or its memory is too small.
        Interrupted: If `listeners.should_stop` returns a signal number; nothing is lost.
    """
    called = time.time()
    loaded = load_sweep(source, overrides, space=space)
    require_optuna()
    from dlcli.api.sweeping.begin import begin_or_join
    from dlcli.api.sweeping.run import run_sweep

    with notebook_listeners(listeners) as listeners:
        found = begin_or_join(loaded, storage, new=new, called=called, note=listeners.note)
        return run_sweep(found, workers, evaluate_test=evaluate_test, listeners=listeners)


def resume_sweep(
    sweep: str,
    overrides: Overrides = (),
    *,
    workers: int = 1,
    storage: str | None = None,
    evaluate_test: bool = False,
    listeners: Listeners | None = None,
) -> SweepResult:
    """Continue a sweep that was stopped, or whose number of trials is raised; its time limit starts again.

    Args:
        sweep: Sweep folder or name.
        overrides: Changes of `sweep.trials`, `sweep.seconds`, `sweep.confirm_seeds` or `sweep.keep`.
        workers: See `sweep`.
        storage: See `sweep`.
        evaluate_test: See `sweep`.
        listeners: See `sweep`.

    Raises:
        UsageError: If there is no such sweep, a package is missing, or other settings differ.
        DataError: If the sweep, the data or the storage cannot be used.
        DeviceError: If a device is missing, or its memory is too small.
        Interrupted: If `listeners.should_stop` returns a signal number; nothing is lost.
    """
    called, folder = time.time(), find_sweep(sweep)
    require_optuna()
    from dlcli.api.sweeping.begin import reopen
    from dlcli.api.sweeping.run import run_sweep

    with notebook_listeners(listeners) as listeners:
        found = reopen(folder, overrides, storage, called, listeners.note)
        return run_sweep(found, workers, evaluate_test=evaluate_test, listeners=listeners)


def show_sweep(sweep: str, *, storage: str | None = None) -> SweepResult:
    """Return the results of a sweep so far.

    Args:
        sweep: Sweep folder or name.
        storage: See `sweep`.

    Raises:
        UsageError: If there is no such sweep, or a package is missing.
        DataError: If the sweep cannot be read.
    """
    folder = find_sweep(sweep)
    require_optuna()
    from dlcli.api.sweeping.run import measure

    return measure(folder, storage)


def report_sweep(
    sweep: str, output: str | os.PathLike[str] | None = None, *, storage: str | None = None
) -> ReportResult:
    """Write a self-contained HTML page about a sweep so far: trials, importances, settings, budget and confirmation.

    Args:
        sweep: Sweep folder or name.
        output: File to write; None means `report.html` in the folder of the sweep.
        storage: See `sweep`.

    Raises:
        UsageError: If there is no such sweep, or a package is missing.
        DataError: If the sweep cannot be read, or the file cannot be written.
    """
    folder = find_sweep(sweep)
    require_optuna()
    from dlcli.api.sweeping.run import report

    return report(folder, output, storage)
