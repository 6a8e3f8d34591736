"""Identity of a study: the config, space and settings that all of its workers must have."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlcli.errors import UsageError
from dlcli.sweeps.storage import engine_of

if TYPE_CHECKING:
    from optuna import Study


IDENTITY = "dlcli:identity"  # user attribute of the study


def bind(study: Study, identity: Mapping[str, Any]) -> None:
    """Record the identity of a study, or check that it equals the identity that was recorded first.

    If two processes with different identities start at once, only the process that records its own first continues.

    Args:
        study: Study from `open_study`.
        identity: JSON object, such as config, space and settings.

    Raises:
        UsageError: If the study has another identity; the message names each difference.
    """
    if _identity(study) is None:
        _record_identity(study, json.dumps(identity, sort_keys=True))
    check_identity(study, identity)


def check_identity(study: Study, identity: Mapping[str, Any]) -> None:
    """Check that a study has this identity or none; see `bind`."""
    mine = _flatten(json.loads(json.dumps(identity)))
    recorded = _identity(study)
    first = mine if recorded is None else _flatten(recorded)
    if mine != first:
        lines = [
            f"  {key}: {_show(first, key)} there, {_show(mine, key)} here"
            for key in sorted(first.keys() | mine.keys())
            if key not in first or key not in mine or first[key] != mine[key]
        ]
        hint = "use the same config, or start a new sweep"
        raise UsageError("\n".join([f"the sweep {study.study_name} has another config:", *lines]), hint=hint)


def _identity(study: Study) -> dict[str, Any] | None:
    """Return the identity that was recorded first, or None; attributes of a journal are in the order of its lines."""
    records = [value for key, value in study.user_attrs.items() if key.startswith(IDENTITY)]
    return json.loads(records[0]) if records else None


def _record_identity(study: Study, identity: str) -> None:
    """Record an identity: in a journal after earlier ones, in a database only if there is none."""
    engine = engine_of(study)
    if engine is None:
        study.set_user_attr(f"{IDENTITY}:{uuid.uuid4().hex}", identity)
        return
    from sqlalchemy import column, exc, insert, table

    attributes = table("study_user_attributes", column("study_id"), column("key"), column("value_json"))
    values = {"study_id": study._study_id, "key": IDENTITY, "value_json": json.dumps(identity)}
    try:
        with engine.begin() as connection:
            connection.execute(insert(attributes).values(values))
    except exc.IntegrityError:  # another process was first: (study_id, key) is unique
        return


def _flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of nested JSON objects by dotted key; lists are leaves."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    leaves: dict[str, Any] = {}
    for key, item in value.items():
        leaves |= _flatten(item, f"{path}.{key}" if path else key)
    return leaves


def _show(leaves: Mapping[str, Any], key: str) -> str:
    return json.dumps(leaves[key]) if key in leaves else "nothing"
