"""Construction of the checkpoints of one training, shared by recording, verification and groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dlcli.config.schema import Config
from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.identity import identifying_settings, limits
from dlcli.runs.log import Row, row_metrics
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.state import Position, TrainingState


class CheckpointMaker:
    """Builder of the checkpoints of one training.

    Args:
        config: Config of the run.
        info: Description of the data.
        input_scaling: Scaling of the inputs.
        target_scaling: Scaling of the targets.
        arithmetic: Choices that affect the last bits of the results.
    """

    def __init__(
        self, config: Config, info: DataInfo, input_scaling: Scaling, target_scaling: Scaling, arithmetic: Arithmetic
    ) -> None:
        self._limits = limits(config)
        self._shared: dict[str, Any] = {
            "input_scaling": input_scaling,
            "target_scaling": target_scaling,
            "monitor": config.checkpoint.monitor,
            "settings": identifying_settings(config),
            "info": info,
            "arithmetic": arithmetic,
        }

    def best(self, parameters: Mapping[str, Tensor], position: Position, row: Row) -> Checkpoint:
        """Return the best checkpoint, which has no training state.

        Args:
            parameters: Parameters of the model after its best epoch.
            position: Position of training after that epoch.
            row: Log row of that epoch.
        """
        return self._make(parameters, position, row)

    def last(self, state: TrainingState, row: Row | None, best_sha256: str | None, log_sha256: str) -> Checkpoint:
        """Return a checkpoint that training can resume from.

        Args:
            state: Current training state.
            row: Log row of the last completed epoch; None before the end of the first epoch.
            best_sha256: SHA-256 of the matching best checkpoint.
            log_sha256: SHA-256 of the log rows.
        """
        records = {"limits": self._limits, "best_sha256": best_sha256, "log_sha256": log_sha256}
        return self._make(state.parameters, state.position, row, training=state, **records)

    def _make(self, parameters: Mapping[str, Tensor], position: Position, row: Row | None, **more: Any) -> Checkpoint:
        return Checkpoint(
            parameters=parameters,
            epoch=position.epochs + (position.examples > 0),
            step=position.step,
            val=row_metrics(row) if row else {},
            **self._shared,
            **more,
        )
