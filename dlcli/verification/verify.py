"""Verification of a run: retraining and comparison with its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcli.config.schema import Config
from dlcli.errors import UsageError
from dlcli.evaluation.evaluate import evaluate_model
from dlcli.experiment import Experiment
from dlcli.runs.manifest import build_manifest, environment_changes, read_worlds
from dlcli.runs.run import RunLike, open_run
from dlcli.runs.run_data import build_run_experiment, load_run_config
from dlcli.training.listeners import NO_LISTENERS, Listeners
from dlcli.verification.compare import compare_records
from dlcli.verification.compare_files import (
    MANIFEST_COMPARED,
    RunFiles,
    as_json,
    compare_files,
    find_not_compared,
    read_files,
)
from dlcli.verification.retrain import RetrainedRun, Target, retrain


@dataclass(frozen=True)
class VerifyResult:
    """Result of a verification; `dlcli verify --json` prints it with `asdict`.

    Attributes:
        run: Run folder.
        identical: Whether all compared files are bit-identical.
        epochs: Number of retrained epochs.
        step: Number of repeated optimizer steps.
        differences: Descriptions of the differences.
        environment: Differences in machine and software, by name, with the values `then` and `now`.
        compared: Files of the run that were compared.
        not_compared: Files of the run that were not compared, or parts of a file after a colon.
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
    run: RunLike | None = None,
    *,
    data_root: str | None = None,
    listeners: Listeners = NO_LISTENERS,
) -> VerifyResult:
    """Retrain a run from its record, up to the end of its log and checkpoints, and compare every file bit by bit.

    Uses the thread count of the run and the device of its config. Writes no files.

    Args:
        run: Run folder or name; None selects the newest run.
        data_root: Folder with the data set, if it has moved since training.
        listeners: Callbacks.

    Raises:
        UsageError: If the run does not exist, has nothing to compare, or several processes trained it without shards.
        DataError: If the run, its checkpoints or its data cannot be used, or its files belong to different runs.
        DivergedError: If the retraining diverges although the run did not.
        Interrupted: If `listeners.should_stop` returns a signal number.
    """
    run = open_run(run)
    folder, files = run.folder, read_files(run.folder, run.config)
    if not files.checkpoints:
        raise UsageError(
            f"{folder.path} has no checkpoint to compare yet", hint=f"continue it: `dlcli train --resume {folder.path}`"
        )
    _check_processes(folder.path, files.manifest, run.config)
    arithmetic = next(iter(files.checkpoints.values())).arithmetic
    experiment = build_run_experiment(folder, None, load_run_config(run, data_root=data_root))
    experiment = replace(experiment, arithmetic=arithmetic)
    environment = environment_changes(files.manifest, experiment.device)
    retrained = retrain(experiment, _target(files), listeners)
    differences = [
        *_compare_manifest(files.manifest, experiment),
        *compare_files(files, retrained, experiment.config),
        *_compare_test(files, retrained, experiment),
    ]
    compared, not_compared = find_not_compared(folder, files)
    return VerifyResult(
        run=run.path,
        identical=not differences,
        epochs=retrained.position.epochs,
        step=retrained.position.step,
        differences=differences,
        environment={name: {"then": before, "now": current} for name, (before, current) in environment.items()},
        compared=compared,
        not_compared=not_compared,
    )


def _check_processes(path: Path, manifest: Mapping[str, Any], config: Config) -> None:
    """Check that one process can repeat the bits of a run.

    Raises:
        UsageError: If several processes trained it without shards.
    """
    size = max(world["size"] for world in read_worlds(manifest))
    if size > 1 and config.training.shards is None:
        message = f"{path} was trained by {size} processes, and one process sums their gradients in another order"
        hint = f"train with `training.shards={size}`, which gives the same bits in one process"
        raise UsageError(message, hint=hint)


def _target(files: RunFiles) -> Target:
    """Return the target of the retraining: the end of the log and of the checkpoints."""
    states = {
        name: checkpoint.training.position
        for name, checkpoint in files.checkpoints.items()
        if checkpoint.training is not None
    }
    best_epochs = {checkpoint.epoch for checkpoint in files.checkpoints.values() if checkpoint.training is None}
    epochs = [len(files.log.rows), *best_epochs, *(position.epochs for position in states.values())]
    return Target(
        arithmetic=next(iter(files.checkpoints.values())).arithmetic,
        epochs=max(epochs),
        states=states,
        best_epochs=best_epochs,
        to_end=files.status in ("finished", "stopped early"),
    )


def _compare_manifest(manifest: Mapping[str, Any], experiment: Experiment) -> list[str]:
    expected = build_manifest(experiment, ())
    keys = [key for key in MANIFEST_COMPARED if key in manifest or key != "class_counts"]  # older runs do not have it
    before, after = ({key: record.get(key) for key in keys} for record in (manifest, expected))
    return compare_records("manifest.json", before, after)


def _compare_test(files: RunFiles, retrained: RetrainedRun, experiment: Experiment) -> list[str]:
    """Compare the metrics on the test split, if the run recorded them."""
    if files.summary.get("test") is None:
        return []
    best = retrained.bests.get(retrained.best_epoch)
    if best is None:
        return ["summary.json: test has no matching best checkpoint"]
    experiment.model.load_state_dict(dict(best.parameters))
    metrics = evaluate_model(
        experiment.model, experiment.task, experiment.splits.test, experiment.splits.info.class_names
    )
    if "rmse_interval" not in files.summary["test"]:  # older runs do not have it
        metrics.pop("rmse_interval", None)
    return compare_records("summary.json", {"test": files.summary["test"]}, {"test": as_json(metrics)})
