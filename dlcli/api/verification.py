"""Verification of a run by retraining it, in one process or in as many as it had."""

from __future__ import annotations

from dlcli.ranks import read_rank
from dlcli.runs.run import RunLike
from dlcli.training.listeners import NO_LISTENERS, Listeners
from dlcli.verification.retrain import retrain
from dlcli.verification.verify import VerifyResult, compare_with_record, read_record


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
        UsageError: If the run does not exist, has nothing to compare, or another number of processes trained it without
            shards.
        DataError: If the run, its checkpoints or its data cannot be used, or its files belong to different runs.
        DivergedError: If the retraining diverges although the run did not.
        Interrupted: If `listeners.should_stop` returns a signal number.
    """
    if not read_rank().is_alone:
        from dlcli.api.on_ranks import verify_on_ranks

        return verify_on_ranks(run, data_root, listeners)
    record = read_record(run, data_root, 1)
    experiment = record.build_experiment()
    return compare_with_record(record, experiment, retrain(experiment, record.target, listeners))
