"""Retrain a run and compare the result with its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dlcli.errors import UsageError
from dlcli.evaluation.metrics import evaluate_model
from dlcli.experiment import Setup, set_up
from dlcli.runs.manifest import build_manifest, environment_changes
from dlcli.runs.run import Run, open_run
from dlcli.runs.trained_run import load_run_config
from dlcli.training.listeners import NOBODY, Listeners
from dlcli.verification.compare import compare_records
from dlcli.verification.compare_files import (
    COMPARED_OF_MANIFEST,
    RunFiles,
    as_json,
    compare_files,
    find_not_compared,
    read_files,
)
from dlcli.verification.retrain import Repeated, Target, train_again


@dataclass(frozen=True)
class VerifyResult:
    """Whether a run came to the same again; `asdict` of it is what `dlcli verify --json` prints.

    Attributes:
        run: The run's folder.
        identical: Whether all that is compared is the same, bit for bit.
        epochs: How many were trained again.
        step: Optimizer updates that were made again.
        differences: What is not the same.
        environment: What is different about the machine and the software: by name, `then` and `now`.
        compared: Files of the run that were compared.
        not_compared: Files of the run, or parts of them after a colon, that were not.
    """

    run: str
    identical: bool
    epochs: int
    step: int
    differences: list[str]
    environment: dict[str, dict[str, Any]]
    compared: list[str]
    not_compared: list[str]


def verify(
    run: str | Run | None = None,
    *,
    data_root: str | None = None,
    listeners: Listeners = NOBODY,
) -> VerifyResult:
    """Train again from a run's own record, as far as its files tell of, and compare every file bit by bit.

    It takes as many threads as the run did, and the device that the run's config names. Nothing is left behind.

    Args:
        run: A run's folder or name; None is the newest.
        data_root: Where the data lies, if not where it lay for training.
        listeners: Who is told what.

    Raises:
        UsageError: If there is no such run, or nothing in it to compare with.
        DataError: If the run, its checkpoints or its data cannot be used, or its files are not of one run.
        DivergedError: If training diverges, as the run has not.
        Interrupted: If `listeners.should_stop` said so.
    """
    run = open_run(run)
    folder, files = run.folder, read_files(run.folder, run.config)
    if not files.checkpoints:
        raise UsageError(
            f"{folder.path} has nothing to compare with yet", hint=f"continue it: `dlcli train --resume {folder.path}`"
        )
    arithmetic = next(iter(files.checkpoints.values())).arithmetic
    setup = replace(set_up(load_run_config(run, data_root=data_root)), arithmetic=arithmetic)
    environment = environment_changes(files.manifest, setup.device)
    repeated = train_again(setup, _target(files), listeners)
    differences = [
        *_compare_manifest(files.manifest, setup),
        *compare_files(files, repeated, setup.config),
        *_compare_test(files, repeated, setup),
    ]
    compared, not_compared = find_not_compared(folder, files)
    return VerifyResult(
        run=run.path,
        identical=not differences,
        epochs=repeated.position.epochs,
        step=repeated.position.step,
        differences=differences,
        environment={name: {"then": then, "now": now} for name, (then, now) in environment.items()},
        compared=compared,
        not_compared=not_compared,
    )


def _target(files: RunFiles) -> Target:
    """Return how far the files of a run tell of."""
    states = {name: one.training.position for name, one in files.checkpoints.items() if one.training is not None}
    best_epochs = {one.epoch for one in files.checkpoints.values() if one.training is None}
    epochs = [len(files.log.rows), *best_epochs, *(position.epochs for position in states.values())]
    return Target(
        arithmetic=next(iter(files.checkpoints.values())).arithmetic,
        epochs=max(epochs),
        states=states,
        best_epochs=best_epochs,
        to_end=files.status in ("finished", "stopped early"),
    )


def _compare_manifest(manifest: Mapping[str, Any], setup: Setup) -> list[str]:
    expected = build_manifest(setup.config, setup.splits.info, setup.device, setup.arithmetic, ())
    then, now = ({key: one.get(key) for key in COMPARED_OF_MANIFEST} for one in (manifest, expected))
    return compare_records("manifest.json", then, now)


def _compare_test(files: RunFiles, repeated: Repeated, setup: Setup) -> list[str]:
    """Measure the best model on the test split again, where the run has."""
    if files.summary.get("test") is None:
        return []
    best = repeated.bests.get(repeated.best_epoch)
    if best is None:
        return ["summary.json: test is of no best checkpoint"]
    setup.model.load_state_dict(dict(best.parameters))
    measured = evaluate_model(setup.model, setup.task, setup.splits.test, setup.splits.info.class_names)
    return compare_records("summary.json", {"test": files.summary["test"]}, {"test": as_json(measured)})
