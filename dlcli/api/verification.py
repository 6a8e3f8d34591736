"""Verification of a run by retraining it, in one process or in as many as it had."""

from __future__ import annotations

from dlcli.api.agreement import agree_on_experiment, plan_world
from dlcli.api.leading import train_together
from dlcli.experiment import Experiment, build_experiment
from dlcli.ranks import read_rank
from dlcli.runs.run import RunLike
from dlcli.runs.sent import pack_run, unpacked_run
from dlcli.training.listeners import NO_LISTENERS, Listeners
from dlcli.training.ranks import open_ranks
from dlcli.verification.retrain import Target, retrain
from dlcli.verification.verify import Record, VerifyResult, compare_with_record, read_record


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
        return _verify_on_ranks(run, data_root, listeners)
    record = read_record(run, data_root, 1)
    experiment = record.build_experiment()
    return compare_with_record(record, experiment, retrain(experiment, record.target, listeners))


def _verify_on_ranks(run: RunLike | None, data_root: str | None, listeners: Listeners) -> VerifyResult:
    """Verify a run on several processes, each of which calls this; the first process sends the others what they need.

    Raises:
        RemoteError: If an error has ended another process.
        LostProcess: If another process has ended without an error, or does not answer.
    """
    record: Record | None = None
    with open_ranks() as ranks:

        def read() -> bytes:
            nonlocal record
            record = read_record(run, data_root, ranks.place.size)
            return pack_run(record.run.folder, None, record.config)

        def prepare() -> Experiment:
            if record is not None:
                return record.build_experiment(plan_world(ranks, record.config))
            with unpacked_run(message) as sent:
                return build_experiment(sent.config, parent=sent.parent, world=plan_world(ranks, sent.config))

        def lead() -> VerifyResult:
            assert record is not None, "this is the first process"
            return compare_with_record(record, experiment, retrain(experiment, record.target, listeners))

        message = ranks.tell(read)
        target = Target.decode(ranks.tell(lambda: record.target.encode() if record else b""))
        _, experiment, _ = agree_on_experiment(ranks, prepare, lambda prepared: prepared)
        follow = lambda: retrain(experiment, target, listeners)  # noqa: E731
        return train_together(ranks, lead, follow, lambda values: VerifyResult(**values))
