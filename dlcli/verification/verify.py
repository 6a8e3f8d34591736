"""Verification of a run: retraining and comparison with its files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dlcli.config.paths import as_argument
from dlcli.config.schema import Config
from dlcli.errors import UsageError
from dlcli.evaluation.evaluate import evaluate_model
from dlcli.experiment import Experiment
from dlcli.runs.manifest import build_manifest, environment_changes
from dlcli.runs.run import Run, RunLike, open_run
from dlcli.runs.run_data import build_run_experiment, load_run_config
from dlcli.runs.worlds import read_worlds
from dlcli.training.world import World
from dlcli.verification.compare_files import (
    MANIFEST_COMPARED,
    RunFiles,
    as_json,
    compare_files,
    find_not_compared,
    read_files,
)
from dlcli.verification.differences import compare_records
from dlcli.verification.retrain import RetrainedRun, Target


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


class ProcessesNeeded(UsageError):
    """Run whose bits can be repeated only by the same number of processes.

    Args:
        path: Run folder.
        count: Number of processes.
        config: Config of the run.
    """

    def __init__(self, path: str, count: int, config: Config) -> None:
        message = f"{path} was trained by {count} processes, and another number sums their gradients in another order"
        super().__init__(message, hint=f"run `dlcli verify {as_argument(path)}`, which starts {count} processes")
        self.count, self.config = count, config


@dataclass(frozen=True)
class Record:
    """Record of a run to compare the retraining with.

    Attributes:
        run: Run.
        config: Config to retrain with.
        files: Contents of the files of the run.
        target: End of the retraining.
    """

    run: Run
    config: Config
    files: RunFiles
    target: Target

    def build_experiment(self, world: World | None = None) -> Experiment:
        """Return the experiment of the run, untrained.

        Raises:
            DataError: If the data has changed since training, or cannot be used.
        """
        experiment = build_run_experiment(self.run.folder, None, self.config, world=world)
        return replace(experiment, arithmetic=next(iter(self.files.checkpoints.values())).arithmetic)


def read_record(run: RunLike | None, data_root: str | None, processes: int) -> Record:
    """Return the record of a run after checking that this number of processes can repeat the run.

    Raises:
        UsageError: If the run does not exist, has nothing to compare, or another number of processes is needed.
        DataError: If the run or its checkpoints cannot be used, or its files belong to different runs.
    """
    run = open_run(run)
    files = read_files(run.folder, run.config)
    if not files.checkpoints:
        raise UsageError(
            f"{run.path} has no checkpoint to compare yet", hint=f"continue it: `dlcli train --resume {run.path}`"
        )
    _check_processes(run.path, files.manifest, run.config, processes)
    return Record(run, load_run_config(run, data_root=data_root), files, _target(files))


def compare_with_record(record: Record, experiment: Experiment, retrained: RetrainedRun) -> VerifyResult:
    """Compare every file of a run with the results of retraining it."""
    run, files = record.run, record.files
    environment = environment_changes(files.manifest, experiment.device)
    differences = [
        *_compare_manifest(files.manifest, experiment),
        *compare_files(files, retrained, experiment.config),
        *_compare_test(files, retrained, experiment),
    ]
    compared, not_compared = find_not_compared(run.folder, files)
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


def _check_processes(path: str, manifest: Mapping[str, Any], config: Config, processes: int) -> None:
    """Check that a number of processes can repeat the bits of a run; any number can if the batches have shards.

    Raises:
        UsageError: If the run was trained without shards by another number, or by several numbers, of processes.
    """
    sizes = list(dict.fromkeys(world["size"] for world in read_worlds(manifest)))
    if config.training.shards is not None or sizes == [processes]:
        return
    if len(sizes) > 1:
        message = (
            f"{path} was trained by {', then '.join(map(str, sizes))} processes, which sum gradients in other orders"
        )
        hint = f"train with `training.shards={math.lcm(*sizes)}`, with which all these numbers give the same bits"
        raise UsageError(message, hint=hint)
    raise ProcessesNeeded(path, sizes[0], config)


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
        epochs=max(epochs),
        states=states,
        best_epochs=best_epochs,
        to_end=files.status in ("finished", "stopped early"),
    )


def _compare_manifest(manifest: Mapping[str, Any], experiment: Experiment) -> list[str]:
    expected = build_manifest(experiment, ())
    keys = [key for key in MANIFEST_COMPARED if key in manifest or key != "class_counts"]  # not in older runs
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
    if "rmse_interval" not in files.summary["test"]:  # older runs do not record the interval
        metrics.pop("rmse_interval", None)
    return compare_records("summary.json", {"test": files.summary["test"]}, {"test": as_json(metrics)})
