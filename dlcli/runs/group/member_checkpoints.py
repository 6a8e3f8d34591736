"""Checkpoints of a member of a group, in the form of checkpoints of a run."""

from __future__ import annotations

from collections.abc import Sequence

from dlcli.config.schema import Config
from dlcli.runs.checkpoint import Checkpoint, check_content
from dlcli.runs.checkpoint_maker import CheckpointMaker
from dlcli.runs.group.checkpoint import MemberState
from dlcli.runs.log import Row, log_digest
from dlcli.runs.tensor_file import DamagedError

_ANY_SHA256 = "0" * 64


class MemberCheckpoints:
    """Builder of the checkpoints of a member, which are checked as if they were loaded from files.

    Args:
        saved: State of the member in the checkpoint of its group.
        rows: Log rows of the member.
        config: Config of the group.
    """

    def __init__(self, saved: MemberState, rows: Sequence[Row], config: Config) -> None:
        self._saved, self._rows = saved, rows
        scalings = (saved.input_scaling, saved.target_scaling)
        own = config.model_copy(update={"seed": saved.seed})
        self._make = CheckpointMaker(own, saved.info, *scalings, saved.arithmetic)

    def best(self) -> Checkpoint | None:
        """Return the checkpoint `best`; None before the end of the first epoch.

        Raises:
            DamagedError: If its content is not valid.
        """
        if (best := self._saved.best) is None:
            return None
        return self._checked(self._make.best(best.parameters, best.position, self._row(best.position.epochs)))

    def last(self, best_sha256: str | None) -> Checkpoint | None:
        """Return the checkpoint `last`; None without a training state.

        Args:
            best_sha256: SHA-256 of the file of `best`; None before the end of the first epoch.

        Raises:
            DamagedError: If its content is not valid.
        """
        if (state := self._saved.state) is None:
            return None
        epochs = state.position.epochs
        digest = log_digest(self._rows[:epochs])
        row = self._row(epochs) if epochs else None  # the first epoch has no row yet
        return self._checked(self._make.last(state, row, best_sha256, digest))

    def check(self) -> None:
        """Check both checkpoints.

        Raises:
            DamagedError: If the content of a checkpoint is not valid.
        """
        self.last(None if self.best() is None else _ANY_SHA256)

    def _row(self, epoch: int) -> Row:
        if not 0 < epoch <= len(self._rows):
            raise self._damaged(f"epoch {epoch} is not in its log")
        return self._rows[epoch - 1]

    def _checked(self, checkpoint: Checkpoint) -> Checkpoint:
        try:
            check_content(checkpoint)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        return checkpoint

    def _damaged(self, reason: str) -> DamagedError:
        message = f"cannot use the checkpoint of the group: seed {self._saved.seed} is not valid ({reason})"
        return DamagedError(message, hint="restore the files of the group, or train again")
