"""Header of a group checkpoint."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, ValidationError

from dlcli.data.splits import DataInfo
from dlcli.runs.header import (
    ArithmeticPart,
    Count,
    HeaderPart,
    LimitsPart,
    MonitorPart,
    PlateauPart,
    PositionPart,
    Sha256,
)

SCHEMA = 1


class StatePart(HeaderPart):
    """See `TrainingState`."""

    position: PositionPart
    best: MonitorPart
    stopping: MonitorPart
    plateau: PlateauPart


class MemberPart(HeaderPart):
    """Member of a group; `info` and `arithmetic` are indices into the lists `infos` and `arithmetics` of the header."""

    seed: Count
    info: Count
    arithmetic: Count
    state: StatePart | None
    best: PositionPart | None
    error: str | None


class StackPart(HeaderPart):
    """Stack of the tensors `name` of several members, in the order of `members`."""

    name: str
    members: list[Count]


class LogPart(HeaderPart):
    """Size in bytes and checksum of a log."""

    size: Count
    sha256: Sha256


class Header(HeaderPart):
    """Header of a group checkpoint."""

    sha256: Sha256
    schema_number: Annotated[int, Field(alias="schema", ge=SCHEMA, le=SCHEMA)]
    versions: dict[str, str]
    settings: dict[str, JsonValue]
    limits: LimitsPart
    logs: dict[str, LogPart]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    infos: list[DataInfo]
    arithmetics: list[ArithmeticPart]
    members: list[MemberPart]
    stacks: dict[str, StackPart]


def read_header(text: str) -> Header:
    """Parse and validate a header.

    Raises:
        ValueError: If the header is not valid.
    """
    try:
        return Header.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"its header is not valid: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
