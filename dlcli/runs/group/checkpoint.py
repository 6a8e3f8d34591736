"""Checkpoint of a group: the training states and best models of all members in one file.

Tensors of the same name, shape and type are stacked, so that a file of 1,000 small models has a few dozen tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo
from dlcli.runs.checkpoint import writer_versions
from dlcli.runs.group.header import SCHEMA, Header, MemberPart, StatePart, read_header
from dlcli.runs.group.log import LogEnd
from dlcli.runs.soundness import part
from dlcli.runs.tensor_file import load_tensors, save_tensors
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.schedule import Plateau
from dlcli.training.state import Monitor, Position, TrainingState
from dlcli.training.together.members import BestModel

T = TypeVar("T")
Tensors = Mapping[str, Tensor]

_HINT = "continue with `dlcli train --resume GROUP`, which uses the checkpoint before, or train again"
_SCALINGS = ("input_scaling.shift", "input_scaling.scale", "target_scaling.shift", "target_scaling.scale")
_STATE_TENSORS = ("parameters", "optimizer", "sums", "generators")


@dataclass(frozen=True)
class MemberState:
    """Everything that a group saves about one of its members.

    Attributes:
        seed: Seed of the member.
        info: Description of its data.
        input_scaling: Scaling of the inputs.
        target_scaling: Scaling of the targets.
        arithmetic: Choices that affect the last bits of the results.
        state: Training state; None before the end of the first epoch and after divergence.
        best: Best model; None before the end of the first epoch.
        error: Error message if the training diverged; None otherwise.
    """

    seed: int
    info: DataInfo
    input_scaling: Scaling
    target_scaling: Scaling
    arithmetic: Arithmetic
    state: TrainingState | None = None
    best: BestModel | None = None
    error: str | None = None


@dataclass(frozen=True)
class GroupCheckpoint:
    """Content of a checkpoint file of a group.

    Attributes:
        members: States of the members.
        settings: Settings that determine the results, as JSON values by dotted name, without the seed.
        limits: Limits that end training: `epochs` and `patience`.
        logs: End of each log at the time of the checkpoint, by file name.
        seconds: Training time up to the checkpoint.
        sha256: SHA-256 of the file; empty if the checkpoint was not read from a file.
    """

    members: Sequence[MemberState]
    settings: Mapping[str, Any]
    limits: Mapping[str, int | None]
    logs: Mapping[str, LogEnd]
    seconds: float
    sha256: str = ""


def save_group_checkpoint(path: Path, checkpoint: GroupCheckpoint, *, previous: Path | None = None) -> str:
    """Write a checkpoint atomically; see `save_tensors`."""
    infos, info_places = _number([member.info for member in checkpoint.members])
    arithmetics, arithmetic_places = _number([member.arithmetic for member in checkpoint.members])
    stacks, names = _stack([_tensors_of(member) for member in checkpoint.members])
    header = {
        "schema": SCHEMA,
        "versions": writer_versions(),
        "settings": dict(checkpoint.settings),
        "limits": dict(checkpoint.limits),
        "logs": {name: asdict(end) for name, end in checkpoint.logs.items()},
        "seconds": checkpoint.seconds,
        "infos": [asdict(info) for info in infos],
        "arithmetics": [asdict(arithmetic) for arithmetic in arithmetics],
        "members": [
            {
                "seed": member.seed,
                "info": info,
                "arithmetic": arithmetic,
                "state": _describe(member.state) if member.state else None,
                "best": vars(member.best.position) if member.best else None,
                "error": member.error,
            }
            for member, info, arithmetic in zip(checkpoint.members, info_places, arithmetic_places, strict=True)
        ],
        "stacks": names,
    }
    return save_tensors(path, stacks, header, previous=previous)


def load_group_checkpoint(path: Path) -> GroupCheckpoint:
    """Load a checkpoint with its tensors on the CPU.

    Only the checksum and the structure are verified; `MemberCheckpoints.check` verifies the values of a member.

    Raises:
        DamagedError: If the file is damaged or is not a checkpoint.
        DataError: If the file is missing, cannot be read or was written by another version of dlcli.
    """
    return load_tensors(path, SCHEMA, read_header, _build, hint=_HINT)


def _build(stacks: Tensors, header: Header) -> GroupCheckpoint:
    if sorted(stacks) != sorted(header.stacks):
        raise ValueError("its tensors do not match its header")
    tensors: list[dict[str, Tensor]] = [{} for _ in header.members]
    for key, stack in header.stacks.items():
        for number, tensor in zip(stack.members, stacks[key].unbind(), strict=True):
            # A view would not do: torch reads generator states from the start of their storage.
            tensors[number][stack.name] = tensor.clone()
    return GroupCheckpoint(
        members=[_member(header, each, own) for each, own in zip(header.members, tensors, strict=True)],
        settings=header.settings,
        limits=header.limits.model_dump(),
        logs={name: LogEnd(**end.model_dump()) for name, end in header.logs.items()},
        seconds=header.seconds,
        sha256=header.sha256,
    )


def _member(header: Header, member: MemberPart, tensors: Tensors) -> MemberState:
    arithmetic = Arithmetic(**header.arithmetics[member.arithmetic].model_dump())
    shift, scale, target_shift, target_scale = (tensors[name] for name in _SCALINGS)
    best = None
    if member.best is not None:
        best = BestModel(Position(**member.best.model_dump()), part("best", tensors))
    return MemberState(
        seed=member.seed,
        info=header.infos[member.info],
        input_scaling=Scaling(shift, scale),
        target_scaling=Scaling(target_shift, target_scale),
        arithmetic=arithmetic,
        state=None if member.state is None else _state(member.state, tensors, arithmetic),
        best=best,
        error=member.error,
    )


def _state(state: StatePart, tensors: Tensors, arithmetic: Arithmetic) -> TrainingState:
    return TrainingState(
        position=Position(**state.position.model_dump()),
        **{name: part(name, tensors) for name in _STATE_TENSORS},
        best=Monitor(**state.best.model_dump()),
        stopping=Monitor(**state.stopping.model_dump()),
        plateau=Plateau(**state.plateau.model_dump()),
        arithmetic=arithmetic,
    )


def _describe(state: TrainingState) -> dict[str, Any]:
    return {name: vars(getattr(state, name)) for name in ("position", "best", "stopping", "plateau")}


def _tensors_of(member: MemberState) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a member with their names."""
    inputs, targets = member.input_scaling, member.target_scaling
    yield from zip(_SCALINGS, (inputs.shift, inputs.scale, targets.shift, targets.scale), strict=True)
    parts: dict[str, Tensors] = {"best": member.best.parameters} if member.best else {}
    if member.state is not None:
        parts |= {name: getattr(member.state, name) for name in _STATE_TENSORS}
    for prefix, tensors in parts.items():
        for name, tensor in tensors.items():
            yield f"{prefix}.{name}", tensor


def _stack(members: Sequence[Iterator[tuple[str, Tensor]]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return stacks of tensors with equal name, shape and type, and the tensor name and the members of each stack."""
    places: dict[tuple[str, torch.Size, torch.dtype], tuple[list[int], list[Tensor]]] = {}
    for number, tensors in enumerate(members):
        for name, tensor in tensors:
            numbers, values = places.setdefault((name, tensor.shape, tensor.dtype), ([], []))
            numbers.append(number)
            values.append(tensor)
    stacks, names = {}, {}
    for i, ((name, _, _), (numbers, values)) in enumerate(places.items()):
        stacks[f"{i}.{name}"] = torch.stack(values).cpu()
        names[f"{i}.{name}"] = {"name": name, "members": numbers}
    return stacks, names


def _number(values: Sequence[T]) -> tuple[list[T], list[int]]:
    """Return the distinct values in order of appearance, and for each value its index in that list."""
    distinct: dict[str, T] = {}
    texts: dict[int, str] = {}  # by id, because members often share one object
    for value in values:
        if id(value) not in texts:
            texts[id(value)] = repr(value)
            distinct.setdefault(texts[id(value)], value)
    places = {text: place for place, text in enumerate(distinct)}
    return list(distinct.values()), [places[texts[id(value)]] for value in values]
