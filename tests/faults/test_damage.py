"""Tests of damaged checkpoints and other files in their place: rejected by name, without executing anything."""

from __future__ import annotations

import gzip
import io
import itertools
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import Finished

from dlcli.api import train
from dlcli.config.load import load_config
from dlcli.errors import DataError
from dlcli.runs.checkpoint import load_checkpoint
from dlcli.runs.tensor_file import DamagedError
from faults.outcome import SETTINGS


@pytest.fixture
def run(clean_place: Path) -> Path:
    train(load_config("digits", SETTINGS), run_dir=Path("runs/run"))
    return Path("runs/run")


def flips(content: bytes, draw: random.Random) -> Iterator[bytes]:
    for place in draw.sample(range(8 * len(content)), 2000):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        yield bytes(flipped)


def truncations(content: bytes, draw: random.Random) -> Iterator[bytes]:
    yield from (content[:length] for length in draw.sample(range(len(content)), 500))


def holes(content: bytes, draw: random.Random) -> Iterator[bytes]:
    """Yield copies with blocks of zeros, which file systems can leave after a crash."""
    made = 0
    while made < 300:
        start, length = draw.randrange(len(content)), draw.choice((16, 512, 4096))
        hollow = content[:start] + bytes(len(content[start : start + length])) + content[start + length :]
        if hollow != content:
            made += 1
            yield hollow


@pytest.mark.parametrize(("damage", "count"), [(flips, 2000), (truncations, 500), (holes, 300)])
def test_every_damaged_checkpoint_is_rejected_with_its_name_and_the_reason(
    run: Path, damage: Callable[[bytes, random.Random], Iterator[bytes]], count: int
) -> None:
    content = (run / "checkpoints" / "last.safetensors").read_bytes()
    path, refused = Path("damaged.safetensors"), 0
    for damaged in damage(content, random.Random(0)):
        path.write_bytes(damaged)
        with pytest.raises(DamagedError, match=r"^cannot use damaged\.safetensors: it is ") as caught:
            load_checkpoint(path)
        assert "\n" not in caught.value.message
        refused += 1
    assert refused == count


def other_files(canary: str) -> Iterator[tuple[str, bytes]]:
    """Yield files of other kinds; the pickles among them create the file `canary` when loaded."""
    draw = np.random.default_rng(0)
    hostile = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    for protocol in (b"", b"\x80\x02", b"\x80\x04", b"\x80\x05"):
        yield "pickle", protocol + hostile
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for name in ("archive/data.pkl", "data.pkl", "checkpoint/data.pkl", "../../data.pkl"):
            zipped = io.BytesIO()
            with zipfile.ZipFile(zipped, "w", method) as file:
                file.writestr(name, hostile)
                file.writestr("archive/version", "3")
            yield "zip", zipped.getvalue()
    torch_file = io.BytesIO()
    getattr(torch, "save")({"x": torch.zeros(3)}, torch_file)  # noqa: B009  # users may have such files
    yield "torch.save", torch_file.getvalue()
    numbers = io.BytesIO()
    np.savez(numbers, x=np.zeros(3))
    yield "npz", numbers.getvalue()
    yield "gzip", gzip.compress(b"text")
    for tensors in ({}, {"x": torch.zeros(1)}, {"model.0.weight": torch.zeros(2, 2)}):
        yield "safetensors", safetensors.torch.save(tensors)
        yield "safetensors", safetensors.torch.save(tensors, metadata={"dlcli": "{}"})
        yield "safetensors", safetensors.torch.save(tensors, metadata={"dlcli": '{"sha256": "' + "0" * 64 + '"}'})
    for length in (0, 2**63, 2**64 - 1, 10**9):
        yield "header", struct.pack("<Q", length) + b'{"__metadata__":{}}'
    yield "sqlite", b"SQLite format 3\x00" + bytes(500)
    texts = (
        b"\x89PNG\r\n\x1a\n",
        b"%PDF-1.7",
        b"\x7fELF",
        b"<html>",
        b"{}",
        b"[" * 5000,
        b"---\n",
        b"\xff\xfe",
        b"\x00" * 99,
    )
    yield from (("text", text) for text in texts)
    while True:
        yield "noise", draw.bytes(int(draw.integers(1, 5000)))


def test_files_of_other_kinds_are_rejected_and_not_executed(
    run: Path, dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    canary, kinds = str(clean_place / "canary"), []
    for kind, content in itertools.islice(other_files(canary), 60):
        for which in ("best", "last", "previous"):
            (run / "checkpoints" / f"{which}.safetensors").write_bytes(content)
        with pytest.raises(DataError, match=r"cannot use runs/run/checkpoints/best\.safetensors: it is "):
            load_checkpoint(run / "checkpoints" / "best.safetensors")
        done = dlcli("eval", "runs/run")
        assert (done.code, done.out) == (3, "")
        assert "error: cannot use runs/run/checkpoints/best.safetensors: it is " in done.err
        assert "Traceback" not in done.err
        kinds.append(kind)
    assert len(kinds) == 60
    assert len(set(kinds)) >= 9
    resumed = dlcli("train", "--resume", "runs/run")
    assert resumed.code == 0, "without a checkpoint, training restarts from epoch 1"
    assert not Path(canary).exists()


def test_resume_skips_reports_and_renames_a_damaged_checkpoint(run: Path, dlcli: Callable[..., Finished]) -> None:
    def bytes_of(which: str) -> bytes:
        return (run / "checkpoints" / f"{which}.safetensors").read_bytes()

    best, last = bytes_of("best"), bytes_of("last")
    damaged = last[:-1] + bytes([last[-1] ^ 1])
    (run / "checkpoints" / "last.safetensors").write_bytes(damaged)
    assert dlcli("eval", "runs/run").code == 0
    refused = dlcli("eval", "runs/run", "--checkpoint", "last")
    assert refused.code == 3
    assert "last.safetensors: it is damaged: its content does not match its SHA-256" in refused.err
    done = dlcli("train", "--resume", "runs/run")
    assert done.code == 0
    assert "note: cannot use runs/run/checkpoints/last.safetensors: it is damaged" in done.err
    assert "note: restarting from epoch 1; the result will be identical" in done.err
    assert (bytes_of("best"), bytes_of("last")) == (best, last)
    assert (run / "checkpoints" / "last.safetensors.damaged").read_bytes() == damaged


@pytest.mark.parametrize("lost", ["best", "log", "all"])
def test_resume_restarts_if_files_that_a_checkpoint_needs_are_lost(
    run: Path, dlcli: Callable[..., Finished], lost: str
) -> None:
    expected = (run / "checkpoints" / "last.safetensors").read_bytes()
    if lost == "best":
        (run / "checkpoints" / "best.safetensors").write_bytes(b"")
    elif lost == "log":
        (run / "metrics.jsonl").write_text("")
    else:
        shutil.rmtree(run / "checkpoints")
    done = dlcli("train", "--resume", "runs/run", "--progress", "plain")
    assert done.code == 0, done.err
    assert "restarting from epoch 1" in done.err
    assert (run / "checkpoints" / "last.safetensors").read_bytes() == expected
    assert [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()] == ["epoch", "1", "2"]
