"""Header of a checkpoint: types and ranges of all that it says, checked once, where it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from dlcli.runs.files import to_json
from dlcli.training.arithmetic import StepName
from dlcli.training.fast.onednn import Library

SCHEMA = 4
Count = Annotated[int, Field(ge=0, le=2**53)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
NotNegative = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class PositionPart(_Part):
    """See `Position`."""

    epochs: Count
    step: Count
    examples: Count


class MonitorPart(_Part):
    """See `Monitor`."""

    metric: str
    min_delta: NotNegative
    best_value: float | None
    best_epoch: Count


class PlateauPart(_Part):
    """See `Plateau`."""

    factor: NotNegative
    best_val_loss: float | None
    bad_epochs: Count


class ArithmeticPart(_Part):
    """See `Arithmetic`."""

    step: StepName
    threads: Annotated[int, Field(ge=1, le=65536)]
    library: Library


class LimitsPart(_Part):
    """See `limits` in identity.py."""

    epochs: Annotated[Count, Field(ge=1)]
    patience: Annotated[Count, Field(ge=1)] | None


class TrainingPart(_Part):
    """What training continues from, besides tensors.

    Attributes:
        position: How far it has come.
        best: Monitor of the best checkpoint.
        stopping: Monitor of early stopping.
        plateau: What the schedule remembers.
        limits: When training ends.
        best_sha256: The best checkpoint that belongs to this one; None before the first epoch has ended.
        log_sha256: The log that belongs to this one; "" before the first epoch has ended.
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
            raise ValueError("the best epoch does not agree with the number of epochs")
        if max(self.best.best_epoch, self.stopping.best_epoch, self.plateau.bad_epochs) > epochs:
            raise ValueError(f"it counts more epochs than have ended, {epochs}")
        if (self.best_sha256 is None) != (epochs == 0) or (self.log_sha256 == "") != (epochs == 0):
            raise ValueError("the best checkpoint or the log does not agree with the number of epochs")
        return self


class Header(_Part):
    """What the header of a checkpoint says; see `Checkpoint`."""

    sha256: Sha256
    schema_number: Annotated[int, Field(alias="schema", ge=SCHEMA, le=SCHEMA)]
    versions: dict[str, str]
    epoch: Annotated[Count, Field(ge=1)]
    step: Annotated[Count, Field(ge=1)]
    monitor: Annotated[str, Field(pattern="^val/")]
    val: dict[str, float | None]
    settings: dict[str, JsonValue]
    fingerprint: Sha256
    data: dict[str, str]
    arithmetic: ArithmeticPart
    training: TrainingPart | None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.fingerprint != fingerprint(self.settings):
            raise ValueError("the settings do not agree with their fingerprint")
        if self.training is not None:
            position = self.training.position
            if (self.epoch, self.step) != (position.epochs + (position.examples > 0), position.step):
                raise ValueError("the epoch and the step do not agree with the position")
            if self.training.best.metric != self.monitor.removeprefix("val/"):
                raise ValueError("the monitored metric is not that of the best checkpoint")
        return self


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of settings."""
    return hashlib.sha256(to_json(dict(sorted(settings.items()))).encode()).hexdigest()


def read_header(text: str) -> Header:
    """Return what a header says.

    Raises:
        ValueError: In a sentence, if it is not what dlcli writes.
    """
    try:
        return Header.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"its header is not valid: {place + ': ' if place else ''}{reason}") from error
