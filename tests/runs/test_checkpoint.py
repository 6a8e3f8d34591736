from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

import pytest
import safetensors.torch
import torch

from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo
from dlcli.errors import DataError
from dlcli.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dlcli.training.arithmetic import Arithmetic

CHECKPOINT = Checkpoint(
    parameters={"0.weight": torch.randn(3, 2), "0.bias": torch.tensor([1.5, -0.0, 1e-40])},
    input_scaling=Scaling(torch.tensor([1.0, 2.0]).double(), torch.tensor([3.0, 4.0]).double()),
    target_scaling=Scaling.identity(),
    epoch=3,
    step=42,
    monitor="val/loss",
    val={"loss": 0.25, "r2": float("nan")},
    arithmetic=Arithmetic("manual", 2, "torch"),
    info=DataInfo("made up", "regression", 2, 3),
    settings={"model.hidden_sizes": [], "model.dropout": 0.0, "training.precision": "float32"},
)


def test_save_and_load_round_trip_is_bit_identical(clean_place: Path) -> None:
    save_checkpoint(Path("a"), CHECKPOINT)
    loaded = load_checkpoint(Path("a"))
    assert loaded.settings == CHECKPOINT.settings
    assert loaded.arithmetic == CHECKPOINT.arithmetic
    for name, value in CHECKPOINT.parameters.items():
        assert value.numpy().tobytes() == loaded.parameters[name].numpy().tobytes()
    assert torch.equal(loaded.input_scaling.scale, CHECKPOINT.input_scaling.scale)
    assert (loaded.epoch, loaded.step, loaded.monitor) == (3, 42, "val/loss")
    assert loaded.val == {"loss": 0.25, "r2": None}, "strict JSON has no NaN"


def test_saving_the_same_checkpoint_gives_the_same_bytes(clean_place: Path) -> None:
    digests = set()
    for _ in range(20):
        save_checkpoint(Path("a"), CHECKPOINT)
        digests.add(hashlib.sha256(Path("a").read_bytes()).hexdigest())
    assert len(digests) == 1
    assert [file.name for file in Path().iterdir()] == ["a"], "no temporary file may remain"


def other_tensors(path: Path) -> None:
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)


def truncated(path: Path) -> None:
    save_checkpoint(path, CHECKPOINT)
    path.write_bytes(path.read_bytes()[:-3])


def other_schema(path: Path, schema: int) -> None:
    save_checkpoint(path, CHECKPOINT)
    content = path.read_bytes().replace(b'schema\\": 5', b'schema\\": %d' % schema)
    digest = re.search(rb"[0-9a-f]{64}", content)
    assert digest is not None
    blank = content.replace(digest.group(), b"0" * 64, 1)
    path.write_bytes(blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "a does not exist"),
        (lambda path: path.mkdir(), "cannot read a: not a regular file"),
        (os.mkfifo, "cannot read a: not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "cannot read a: not a regular file"),
        (lambda path: path.touch(), "cannot use a: it is empty"),
        (lambda path: path.write_text("hello"), "not a dlcli checkpoint, or damaged: it has no dlcli checksum"),
        (other_tensors, "not a dlcli checkpoint"),
        (truncated, "damaged: its content does not match its SHA-256"),
        (
            lambda path: other_schema(path, 7),
            r"cannot use a: it was written by a newer dlcli \(schema 7; this version reads 5\)",
        ),
        (
            lambda path: other_schema(path, 3),
            r"cannot use a: it was written by an older dlcli \(schema 3; this version reads 5\)",
        ),
    ],
    ids=["missing", "folder", "pipe", "device", "empty", "text", "other tensors", "truncated", "newer", "older"],
)
def test_load_rejects_files_that_are_not_checkpoints(clean_place: Path, make: object, message: str) -> None:
    make(Path("a"))  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as caught:
        load_checkpoint(Path("a"))
    assert caught.value.hint or "cannot read" in caught.value.message


def test_save_does_not_follow_a_link_at_the_temporary_path(clean_place: Path) -> None:
    Path("precious").write_text("mine")
    Path(".a.tmp").symlink_to("precious")
    save_checkpoint(Path("a"), CHECKPOINT)
    assert load_checkpoint(Path("a")).step == 42
    assert Path("precious").read_text() == "mine"


def test_saved_files_respect_the_umask(clean_place: Path) -> None:
    umask = os.umask(0o027)
    try:
        save_checkpoint(Path("a"), CHECKPOINT)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(Path("a").stat().st_mode) == 0o640
