"""Schema and validation of the checkpoint header."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from dlcli.data.splits import DataInfo
from dlcli.training.arithmetic import StepName
from dlcli.training.fast.onednn import Library

SCHEMA = 5
Count = Annotated[int, Field(ge=0, le=2**53)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
NotNegative = Annotated[float, Field(ge=0)]


class HeaderPart(BaseModel):
    """Part of a header; validation is strict and rejects unknown keys and non-finite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class PositionPart(HeaderPart):
    """See `Position`."""

    epochs: Count
    step: Count
    examples: Count


class MonitorPart(HeaderPart):
    """See `Monitor`."""

    metric: str
    min_delta: NotNegative
    best_value: float | None
    best_epoch: Count


class PlateauPart(HeaderPart):
    """See `Plateau`."""

    factor: NotNegative
    best_val_loss: float | None
    bad_epochs: Count


class ArithmeticPart(HeaderPart):
    """See `Arithmetic`."""

    step: StepName
    threads: Annotated[int, Field(ge=1, le=65536)]
    library: Library


class LimitsPart(HeaderPart):
    """See `limits` in identity.py."""

    epochs: Annotated[Count, Field(ge=1)]
    patience: Annotated[Count, Field(ge=1)] | None


class TrainingPart(HeaderPart):
    """Training state without tensors.

    Attributes:
        position: Number of completed epochs, steps and examples.
        best: Monitor of the best checkpoint.
        stopping: Monitor of early stopping.
        plateau: State of the plateau schedule.
        limits: Number of epochs, and patience of early stopping.
        best_sha256: SHA-256 of the best checkpoint that was saved together with this state; None before the end of the
            first epoch.
        log_sha256: SHA-256 of the log at the time of this state; empty before the end of the first epoch.
    """

    position: PositionPart
    best: MonitorPart
    stopping: MonitorPart
    plateau: PlateauPart
    limits: LimitsPart
    best_sha256: Sha256 | None
    log_sha256: Sha256 | Literal[""]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        epochs = self.position.epochs
        if not (epochs == 0) == (self.best.best_epoch == 0) == (self.stopping.best_epoch == 0):
            raise ValueError("the best epoch must be 0 before an epoch is completed, and at least 1 afterwards")
        if max(self.best.best_epoch, self.stopping.best_epoch, self.plateau.bad_epochs) > epochs:
            raise ValueError(f"a count exceeds the number of completed epochs, {epochs}")
        if (self.best_sha256 is None) != (epochs == 0) or (self.log_sha256 == "") != (epochs == 0):
            raise ValueError("the best checkpoint or the log contradicts the number of epochs")
        return self


class Header(HeaderPart):
    """Header of a checkpoint; see `Checkpoint`."""

    sha256: Sha256
    schema_number: Annotated[int, Field(alias="schema", ge=SCHEMA, le=SCHEMA)]
    versions: dict[str, str]
    epoch: Annotated[Count, Field(ge=1)]
    step: Annotated[Count, Field(ge=1)]
    monitor: Annotated[str, Field(pattern="^(val/|train/loss$)")]
    val: dict[str, float | None]
    settings: dict[str, JsonValue]
    data: DataInfo
    arithmetic: ArithmeticPart
    training: TrainingPart | None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.data.task == "classification" and len(self.data.class_names) != self.data.out_features:
            raise ValueError("the number of class names differs from the number of outputs")
        if len(self.data.feature_names) not in (0, self.data.in_features):
            raise ValueError("the number of feature names differs from the number of inputs")
        if self.training is not None:
            position = self.training.position
            if (self.epoch, self.step) != (position.epochs + (position.examples > 0), position.step):
                raise ValueError("the epoch and the step contradict the position")
            if self.training.best.metric != self.monitor.rpartition("/")[2]:
                raise ValueError("the monitored metric differs from the metric of the best checkpoint")
        return self


def read_header(text: str) -> Header:
    """Parse and validate a header.

    Raises:
        ValueError: If the header is not valid; the message is a sentence for users.
    """
    try:
        return Header.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"its header is not valid: {place + ': ' if place else ''}{reason}") from error
