"""Training on several processes, of which only the first one writes, prints and compares."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from dlcli.errors import DivergedError, DlcliError, Interrupted, RemoteError, full_record
from dlcli.runs.files import to_json
from dlcli.training.rank_messages import Ranks

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")
Decode = Callable[[dict[str, Any]], R]
_COMMON = (DivergedError, Interrupted)  # errors of training that all processes raise after the same step


def train_together(ranks: Ranks, lead: Callable[[], R], follow: Callable[[], object], decode: Decode[R]) -> R:
    """Train with `lead` in the first process and with `follow` in the others; return the result of the first one.

    Args:
        ranks: Connected processes.
        lead: Function that trains and returns the result.
        follow: Function that takes the same training steps as `lead`.
        decode: Function that builds the result from the JSON values of its fields.

    Raises:
        DlcliError: In all processes, if training fails in one of them.
    """
    if not ranks.place.is_first:
        try:
            follow()
        except _COMMON as error:  # the first process saves the run, and then raises the same error
            share_result(ranks, lead, decode)
            raise RemoteError(full_record(error)) from error
        except KeyboardInterrupt:
            with suppress(DlcliError):  # the first process may have ended
                share_result(ranks, lead, decode)
            raise
    return share_result(ranks, lead, decode, common=_COMMON)


def share_result(
    ranks: Ranks, produce: Callable[[], R], decode: Decode[R], common: tuple[type[DlcliError], ...] = (DlcliError,)
) -> R:
    """Call `produce` in the first process, and return its result in all processes; see `Ranks.tell`."""
    result: R | None = None

    def encode() -> bytes:
        nonlocal result
        result = produce()
        return to_json(asdict(result)).encode()

    message = ranks.tell(encode, common=common)
    return decode(json.loads(message)) if result is None else result
