"""Checkpoints of groups: what is saved is read again, and other content is refused without a traceback."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from dlcli.api import resume_seeds, train_seeds
from dlcli.config.load import load_config
from dlcli.errors import DataError
from dlcli.runs.checkpoint import load_checkpoint
from dlcli.runs.find import find_run
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.checkpoint import GroupCheckpoint, MemberState, load_group_checkpoint, save_group_checkpoint
from dlcli.runs.tensor_file import DamagedError, save_tensors

FILE = Path("group/checkpoints/last.safetensors")


@pytest.fixture
def group(clean_place: Path) -> GroupFolder:
    train_seeds("moons", ["training.epochs=2", "optimizer.name=adam", "scheduler.name=none"], seeds=3, run_dir="group")
    return GroupFolder(Path("group"))


def tensors_of(member: MemberState) -> dict[str, torch.Tensor]:
    assert member.state is not None
    assert member.best is not None
    parts = {name: getattr(member.state, name) for name in ("parameters", "optimizer", "sums", "generators")}
    parts |= {"best": member.best.parameters}
    return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def assert_equal(before: GroupCheckpoint, after: GroupCheckpoint) -> None:
    for old, new in zip(before.members, after.members, strict=True):
        if old.state is not None:
            olds, news = tensors_of(old), tensors_of(new)
            assert olds.keys() == news.keys()
            assert all(torch.equal(olds[name], news[name]) for name in olds)
            assert new.state is not None
            names = ("position", "best", "stopping", "plateau", "arithmetic")
            assert all(getattr(old.state, name) == getattr(new.state, name) for name in names)
        names = ("seed", "info", "arithmetic", "error")
        assert all(getattr(old, name) == getattr(new, name) for name in names)
        assert old.input_scaling.is_close(new.input_scaling)
    names = ("settings", "limits", "logs")
    assert all(getattr(before, name) == getattr(after, name) for name in names)


def test_members_of_other_shapes_and_without_state_are_read_as_they_were_saved(group: GroupFolder) -> None:
    saved = load_group_checkpoint(FILE)
    first, second, third = saved.members
    assert first.state is not None
    wider = {name: torch.cat([tensor, tensor]) for name, tensor in first.state.parameters.items()}
    other = replace(first.info, feature_names=("a", "b"))
    members = [
        replace(first, state=replace(first.state, parameters=wider), info=other),
        replace(second, state=None, best=None, error="training diverged"),
        third,
    ]
    changed = replace(saved, members=members)
    save_group_checkpoint(Path("copy"), changed)
    assert_equal(changed, load_group_checkpoint(Path("copy")))
    save_group_checkpoint(Path("again"), load_group_checkpoint(Path("copy")))
    assert Path("again").read_bytes() == Path("copy").read_bytes()


def forge(change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> None:
    """Change header and tensors of the checkpoint, and write it with a checksum that matches."""
    content = FILE.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["dlcli"])
    del header["sha256"]
    tensors = safetensors.torch.load(content)
    change(header, tensors)
    save_tensors(FILE, tensors, header)


def remove_a_tensor(_: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    del tensors[next(name for name in tensors if "parameters" in name)]


def shorten_a_stack(_: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    name = next(name for name in tensors if "parameters" in name)
    tensors[name] = tensors[name][:2].clone()


def spoil(kind: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., None]:
    def spoiled(_: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        for name in tensors:
            if kind in name:
                tensors[name] = change(tensors[name])

    return spoiled


CHANGES: dict[str, Callable[..., None]] = {
    "a tensor is missing": remove_a_tensor,
    "a stack is too short": shorten_a_stack,
    "a member that does not exist": lambda header, _: next(iter(header["stacks"].values()))["members"].append(7),
    "an unknown key": lambda header, _: header.update(more=1),
    "no members": lambda header, _: header.update(members=[]),
    "a description that does not exist": lambda header, _: header["members"][0].update(info=5),
    "no state for its tensors": lambda header, _: header["members"][0].update(best=None, state={}),
    "a negative position": lambda header, _: header["members"][0]["state"]["position"].update(step=-1),
    "parameters that are not finite": spoil("parameters", lambda tensor: tensor * torch.nan),
    "parameters of another type": spoil("parameters", lambda tensor: tensor.double()),
    "no random generators": spoil("generators", torch.zeros_like),
    "best parameters of another shape": spoil("best", lambda tensor: torch.cat([tensor, tensor], dim=-1)),
    "scalings of zero": spoil("input_scaling.scale", torch.zeros_like),
}


@pytest.mark.parametrize("change", CHANGES)
def test_forged_content_is_refused_without_a_traceback(group: GroupFolder, change: str) -> None:
    forge(CHANGES[change])
    with pytest.raises(DataError, match=r"^cannot use .*group|does not belong to group"):
        find_run("group/0")
    with suppress(DataError):  # it does not belong to the group
        assert "cannot use" in resume_seeds("group").recovered[0]
    assert [path.name for path in Path("group").iterdir() if path.name.endswith(".unpacked")] == []


def test_files_of_other_groups_are_refused(group: GroupFolder) -> None:
    train_seeds(
        "moons",
        ["training.epochs=2", "optimizer.name=adam", "scheduler.name=none", "optimizer.lr=0.5"],
        seeds=3,
        run_dir="other",
    )
    FILE.write_bytes(Path("other/checkpoints/last.safetensors").read_bytes())
    with pytest.raises(DataError, match=r"last\.safetensors does not belong to group"):
        find_run("group/0")
    FILE.write_bytes(b"PK")
    with pytest.raises(DamagedError, match="does not read pickle files"):
        find_run("group/0")
    group.manifest.write_text(group.manifest.read_text().replace('"seeds": [', '"seeds": ["x", '))
    with pytest.raises(DataError, match=r"cannot use group/group\.json: it has no list of seeds"):
        find_run("group/0")


def test_a_seed_is_complete_whoever_unpacks_it_at_the_same_time(group: GroupFolder) -> None:
    def unpack(_: int) -> Path:
        path = find_run("group/1").path
        assert load_checkpoint(path / "checkpoints" / "last.safetensors").epoch == 2
        return path

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(unpack, range(16))) == {Path("group/1")}
        assert [path.name for path in Path("group").iterdir() if path.name.endswith(".unpacked")] == []
        manifest = Path("group/1/manifest.json")
        manifest.write_text(manifest.read_text().replace('"state": "', '"state": "old'))


def test_a_seed_is_unpacked_again_after_the_group_has_changed(group: GroupFolder) -> None:
    path = find_run("group/1").path
    (path / "evaluation.json").write_text("{}")
    assert find_run("group/1").path == path
    assert (path / "evaluation.json").exists()
    loaded = load_config(group.resolved, ["training.epochs=3"])
    resume_seeds("group", loaded)
    assert not path.exists()
    assert find_run("group/1").read_summary()["epochs"] == 3
    assert [entry.name for entry in Path("group").iterdir() if entry.name.endswith(".unpacked")] == []
