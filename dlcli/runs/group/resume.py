"""Resuming of groups: selection of a checkpoint, and checks of settings and files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dlcli.config.load import LoadedConfig
from dlcli.config.schema import Config
from dlcli.errors import DataError
from dlcli.runs.files import sync_folder, to_json, write_atomic
from dlcli.runs.folder import GroupFolder, RunFolder
from dlcli.runs.group.checkpoint import GroupCheckpoint, MemberState, load_group_checkpoint
from dlcli.runs.group.log import read_log, split_by_seed
from dlcli.runs.group.member_checkpoints import MemberCheckpoints
from dlcli.runs.group.records import MemberProgress, replay
from dlcli.runs.identity import limits, lowered_limits, settings_of_group
from dlcli.runs.log import JSONL, TRACE, parse_rows
from dlcli.runs.reopen import record_resumption, remove_temporary_files, reset_checkpoints
from dlcli.runs.run_checkpoint import Which
from dlcli.runs.tensor_file import DamagedError
from dlcli.training.state import TrainingState

UNPACKED = ".unpacked"  # suffix of temporary folders of unpacking, which a crash may leave behind


@dataclass(frozen=True)
class GroupPoint:
    """Point that a group resumes from.

    Attributes:
        which: Name of the checkpoint, last or previous.
        checkpoint: Newest usable checkpoint; None restarts from epoch 1.
        members: Progress of the members at the checkpoint.
        logs: Logs up to the checkpoint, by file name.
        damaged: Damaged checkpoint files.
        notes: Messages about unusable checkpoints, and where training continues instead.
    """

    which: Which
    checkpoint: GroupCheckpoint | None
    members: Sequence[MemberProgress]
    logs: Mapping[str, bytes]
    damaged: Sequence[Path]
    notes: Sequence[str]

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return self.checkpoint.seconds if self.checkpoint else 0.0


def find_group_point(folder: GroupFolder, config: Config) -> GroupPoint:
    """Return the newest point that the training of a group can resume from with identical results.

    Args:
        folder: Group folder.
        config: Config of the group, from resolved.yaml.

    Raises:
        DataError: If a checkpoint belongs to another group or was written by another version of dlcli, or a log has
            been changed.
    """
    damaged, notes = [], []
    which: Which
    for which in ("last", "previous"):
        path = folder.checkpoint(which)
        if not path.exists():
            continue
        try:
            checkpoint = load_group_of(folder, which, config)
            logs = {name: read_log(folder.path / name, end) for name, end in checkpoint.logs.items()}
            members = members_of(checkpoint, logs[JSONL], config)
        except DamagedError as error:
            damaged.append(path)
            notes.append(error.message)
            continue
        if notes:
            notes.append(f"continuing from {path}")
        return GroupPoint(which, checkpoint, members, logs, damaged, notes)
    notes.append("restarting from epoch 1; the result will be identical")
    return GroupPoint("last", None, (), {}, damaged, notes)


def load_group_of(folder: GroupFolder, which: Which, config: Config) -> GroupCheckpoint:
    """Load a checkpoint of a group and check that it belongs to the group.

    Raises:
        DamagedError: If the checkpoint is damaged.
        DataError: If the checkpoint is missing, or does not match resolved.yaml and group.json.
    """
    path = folder.checkpoint(which)
    checkpoint = load_group_checkpoint(path)
    data = folder.read_manifest().get("data", {}).get("sha256")
    is_same = (
        to_json(checkpoint.settings) == to_json(settings_of_group(config))
        and not lowered_limits(checkpoint.limits, limits(config))
        and [member.seed for member in checkpoint.members] == folder.read_seeds()
        and all(dict(member.info.checksums) == data for member in checkpoint.members)
    )
    if not is_same:
        message = f"{path} does not belong to {folder.path}: resolved.yaml or {folder.manifest.name} records other"
        hint = "a file was edited or copied from another group; restore it, or train again"
        raise DataError(f"{message} settings, seeds or data", hint=hint)
    return checkpoint


def members_of(checkpoint: GroupCheckpoint, log: bytes, config: Config) -> list[MemberProgress]:
    """Return the progress of the members at a checkpoint, computed from the log up to that point.

    Raises:
        DamagedError: If the state of a member is not valid.
    """
    lines, members = split_by_seed(log, [state.seed for state in checkpoint.members]), []
    for state in checkpoint.members:
        rows = parse_rows(lines[state.seed])
        MemberCheckpoints(state, rows, config).check()
        member = replay(state.seed, rows, config.checkpoint.monitor)
        member.status, member.error = find_status(state, config), state.error
        members.append(member)
    return members


def find_status(member: MemberState, config: Config) -> str:
    """Return how the training of a member ended, or `unfinished`."""
    if member.error is not None:
        return "diverged"
    if member.state is None:
        return "unfinished"
    epochs, patience = member.state.position.epochs, config.early_stopping.patience
    if epochs >= config.training.epochs:
        return "finished"
    is_waiting = patience is not None and epochs - member.state.stopping.best_epoch >= patience
    return "stopped early" if is_waiting else "unfinished"


def reopen_group(
    folder: GroupFolder,
    old: LoadedConfig,
    config: Config,
    point: GroupPoint,
    device: torch.device,
    command: Sequence[str],
) -> None:
    """Reset a group folder to the state of a resume point, and record the resumption; see `reopen_run`."""
    members = [RunFolder(folder.path / str(seed)) for seed in folder.read_seeds()]
    unpacked = [member.path for member in members if member.is_unpacked]
    for path in (*unpacked, *folder.path.glob(f".*{UNPACKED}")):
        shutil.rmtree(path, ignore_errors=True)
    reset_checkpoints(folder, point)
    for name, content in point.logs.items():
        write_atomic(folder.path / name, content)
    if point.checkpoint is None:
        sync_folder(folder.checkpoint("last").parent)  # a checkpoint that reappears after a crash would lack its logs
        for name in (JSONL, TRACE):
            (folder.path / name).unlink(missing_ok=True)
    remove_temporary_files(folder)
    steps = (
        [member.state.position.step for member in point.checkpoint.members if member.state] if point.checkpoint else []
    )
    record_resumption(folder, old, config, sum(steps), device, command)


def copy_of(state: TrainingState | None) -> TrainingState | None:
    """Return a state with copied optimizer tensors, which training may then change in place."""
    if state is None:
        return None
    return replace(state, optimizer={name: tensor.clone() for name, tensor in state.optimizer.items()})
