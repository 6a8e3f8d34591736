"""Checkpoints of a training: the same for the run that records it and for the verification that repeats it."""

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
    """Makes the checkpoints of one training.

    Args:
        fit: What trains; its parameters and its position are taken between events.
        splits: Give the scaling that predictions need, and the checksums of the data.
        config: The run's.
    """

    def __init__(self, fit: Fit, splits: Splits, config: Config) -> None:
        self._fit = fit
        self._limits = limits(config)
        self._shared: dict[str, Any] = {
            "input_scaling": splits.input_scaling,
            "target_scaling": splits.target_scaling,
            "monitor": config.checkpoint.monitor,
            "settings": identifying_settings(config),
            "data": dict(splits.info.checksums),
            "arithmetic": fit.arithmetic,
        }

    def best(self, rows: Sequence[Row]) -> Checkpoint:
        """Return a checkpoint of the model as it is.

        Args:
            rows: The log so far.
        """
        return self._make(self._fit.parameters(), rows)

    def last(self, state: TrainingState, rows: Sequence[Row], best_sha256: str | None, log_sha256: str) -> Checkpoint:
        """Return a checkpoint that training continues from.

        Args:
            state: Taken now.
            rows: The log so far.
            best_sha256: Of the best checkpoint that belongs to it.
            log_sha256: Of the log so far.
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
