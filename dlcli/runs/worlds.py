"""Records of the processes that trained a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def read_worlds(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the record of the processes of a run and of each resumption; a missing record means one process."""
    resumed = manifest.get("resumed")
    records = [manifest, *(resumed if isinstance(resumed, list) else ())]
    worlds = [record.get("world") for record in records if isinstance(record, Mapping)]
    return [{"size": 1, "shards": None, **(world if isinstance(world, Mapping) else {})} for world in worlds]
