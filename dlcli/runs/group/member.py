"""Members of a group as runs: each seed is unpacked into a run folder when it is first used."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
from pathlib import Path
from typing import Any

from dlcli.config.load import load_config
from dlcli.errors import DataError, DlcliError, UsageError
from dlcli.runs.checkpoint import save_checkpoint
from dlcli.runs.files import read_file, sync_folder, write_atomic, write_json
from dlcli.runs.folder import GroupFolder, RunFolder
from dlcli.runs.group.checkpoint import MemberState
from dlcli.runs.group.log import read_log, split_by_seed
from dlcli.runs.group.member_checkpoints import MemberCheckpoints
from dlcli.runs.group.records import read_group
from dlcli.runs.group.resume import UNPACKED, find_status, load_group_of
from dlcli.runs.lock import file_lock
from dlcli.runs.log import CSV, JSONL, csv_text, parse_rows
from dlcli.runs.resolved import write_resolved_member
from dlcli.runs.summary import summarize
from dlcli.runs.tensor_file import read_digest

_LOCK = ".unpack"  # file that is locked while a seed is unpacked


def unpack_member(group: GroupFolder, seed: int) -> RunFolder:
    """Return a seed of a group as a run folder inside the group, which is written if it is missing or out of date.

    Apart from times, its checkpoints and logs equal those of `dlcli train --seed SEED`. If several processes need the
    folder at the same time, only one of them writes it.

    Raises:
        UsageError: If the group does not have the seed.
        DataError: If the group has no checkpoint yet, its files cannot be used, or its folder cannot be written to.
    """
    seeds = group.read_seeds()
    if seed not in seeds:
        message = f"{group.path} has no seed {seed}: its seeds are {seeds[0]} to {seeds[-1]}"
        raise UsageError(message, hint=f"name one of them, such as {group.path / str(seeds[0])}")
    member, state = RunFolder(group.path / str(seed)), _state_of(group)
    if _is_unpacked(member, state):
        return member
    try:
        with file_lock(group.path / _LOCK, wait_seconds=math.inf):
            if member.path.exists() and not member.is_unpacked:
                message = f"{member.path} was not unpacked from the group, and dlcli never overwrites a folder of yours"
                raise DataError(message, hint="move it to another place")
            if not _is_unpacked(member, state):
                _unpack(group, member, seed, state)
    except OSError as error:
        hint = "seeds are unpacked into the folder of their group; fix the permissions, or copy the group elsewhere"
        raise DataError(f"cannot write to {group.path}: {error.strerror or error}", hint=hint) from error
    return member


def _unpack(group: GroupFolder, member: RunFolder, seed: int, state: str) -> None:
    """Write a complete run folder under a temporary name, and then let it replace the older folder of the member."""
    names = (f".{seed}-{kind}{UNPACKED}" for kind in ("new", "old"))
    new, old = (group.path / name for name in names)
    try:
        for path in (new, old):
            shutil.rmtree(path, ignore_errors=True)  # a killed process may have left them
        new.mkdir()
        _write_member(group, RunFolder(new), seed, state)
        if member.path.exists():
            os.rename(member.path, old)
        os.rename(new, member.path)
        sync_folder(group.path)
    finally:
        for path in (new, old):
            shutil.rmtree(path, ignore_errors=True)


def _state_of(group: GroupFolder) -> str:
    """Return a digest that changes with the checkpoint or the summary of a group."""
    checkpoint = read_digest(group.checkpoint("last")) or read_digest(group.checkpoint("previous")) or ""
    summary = read_file(group.summary) if group.summary.exists() else b""
    return hashlib.sha256(checkpoint.encode() + summary).hexdigest()


def _is_unpacked(member: RunFolder, state: str) -> bool:
    with contextlib.suppress(DlcliError):
        return bool(member.read_manifest().get("group", {}).get("state") == state)
    return False


def _write_member(group: GroupFolder, member: RunFolder, seed: int, state: str) -> None:
    """Write the run folder of a member from the files of its group."""
    resolved = load_config(group.resolved)
    checkpoint = load_group_of(group, "last" if group.checkpoint("last").exists() else "previous", resolved.config)
    saved = next(each for each in checkpoint.members if each.seed == seed)
    logs = {
        name: split_by_seed(read_log(group.path / name, end), [seed])[seed] for name, end in checkpoint.logs.items()
    }
    rows = parse_rows(logs[JSONL])
    best_sha256 = _write_checkpoints(member, MemberCheckpoints(saved, rows, resolved.config))
    for name, lines in logs.items():
        if lines:
            write_atomic(member.path / name, b"".join(line + b"\n" for line in lines))
    if rows:
        write_atomic(member.path / CSV, csv_text(rows, heading=True).encode())
    for source, copy in (
        (group.config, member.config),
        (group.data, member.data),
        (group.checkpoint("parent"), member.checkpoint("parent")),
    ):
        if source.exists():
            _link_or_copy(source, copy)
    write_resolved_member(group, resolved, member, seed)
    write_json(member.manifest, _manifest(group, saved, state))
    status = find_status(saved, resolved.config)
    status = group.status if status == "unfinished" else status
    if status != "unfinished":
        record = summarize(
            rows, saved.best.position.epochs if saved.best else 0, resolved.config.checkpoint.monitor, best_sha256
        )
        more = {"error": saved.error} if saved.error else {}
        test = _test_metrics(group, seed)
        seconds = sum(row["epoch_seconds"] for row in rows)
        write_json(member.summary, {"status": status, **record, "seconds": seconds, **more, **test})


def _write_checkpoints(member: RunFolder, checkpoints: MemberCheckpoints) -> str | None:
    """Write the checkpoints that a member has; return the SHA-256 of `best`.

    Raises:
        DamagedError: If their content is not valid.
    """
    member.checkpoint("last").parent.mkdir()
    best = checkpoints.best()
    best_sha256 = save_checkpoint(member.checkpoint("best"), best) if best else None
    if last := checkpoints.last(best_sha256):
        save_checkpoint(member.checkpoint("last"), last)
    return best_sha256


def _manifest(group: GroupFolder, saved: MemberState, state: str) -> dict[str, Any]:
    """Return the manifest of a member: the group's manifest with the member's seed and a reference to the group."""
    record = group.read_manifest()
    counts = record.pop("class_counts_of", {})
    del record["seeds"]
    return record | {
        "seed": saved.seed,
        "class_counts": counts.get(str(saved.seed), record.get("class_counts")),
        "threads": saved.arithmetic.threads,
        "arithmetic": vars(saved.arithmetic),
        "group": {"run": str(group.path), "state": state},
    }


def _test_metrics(group: GroupFolder, seed: int) -> dict[str, Any]:
    records = read_group(group).seeds if "seeds" in group.read_summary() else ()
    tests = [record.test for record in records if record.seed == seed and record.test]
    return {"test": tests[0]} if tests else {}


def _link_or_copy(source: Path, copy: Path) -> None:
    """Create a hard link to a file, or a copy if the file system does not support links."""
    try:
        os.link(source.resolve(), copy)
    except OSError:
        write_atomic(copy, read_file(source))
