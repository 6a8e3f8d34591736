"""Construction of checkpoints from a training in progress, shared by recording and verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.identity import identifying_settings, limits
from dlcli.runs.log import Row, row_metrics
from dlcli.training.fit import Fit
from dlcli.training.state import TrainingState


class CheckpointMaker:
    """Builder of the checkpoints of one training.

    Args:
        fit: Training to read parameters and position from, between two events.
        splits: Data splits, for their scaling and description.
        config: Config of the run.
    """

    def __init__(self, fit: Fit, splits: Splits, config: Config) -> None:
        self._fit = fit
        self._limits = limits(config)
        self._shared: dict[str, Any] = {
            "input_scaling": splits.input_scaling,
            "target_scaling": splits.target_scaling,
            "monitor": config.checkpoint.monitor,
            "settings": identifying_settings(config),
            "info": splits.info,
            "arithmetic": fit.arithmetic,
        }

    def best(self, rows: Sequence[Row]) -> Checkpoint:
        """Return a checkpoint of the current model, without training state.

        Args:
            rows: Log rows of the completed epochs.
        """
        return self._make(self._fit.parameters(), rows)

    def last(self, state: TrainingState, rows: Sequence[Row], best_sha256: str | None, log_sha256: str) -> Checkpoint:
        """Return a checkpoint that training can resume from.

        Args:
            state: Current training state.
            rows: Log rows of the completed epochs.
            best_sha256: SHA-256 of the matching best checkpoint.
            log_sha256: SHA-256 of the log rows.
        """
        records = {"limits": self._limits, "best_sha256": best_sha256, "log_sha256": log_sha256}
        return self._make(state.parameters, rows, training=state, **records)

    def _make(self, parameters: Mapping[str, Tensor], rows: Sequence[Row], **more: Any) -> Checkpoint:
        position = self._fit.position
        return Checkpoint(
            parameters=parameters,
            epoch=position.epochs + (position.examples > 0),
            step=position.step,
            val=row_metrics(rows[-1]) if rows else {},
            **self._shared,
            **more,
        )
