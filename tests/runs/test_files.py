from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path

import pytest

from dlcli.errors import DataError
from dlcli.runs.files import append_text, read_file, read_json, sync_file, to_json, write_atomic, write_json


def test_json_replaces_nan_and_infinity_by_null() -> None:
    text = to_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": ("x", None)})
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == {
        "a": None,
        "b": [None, 1.5],
        "c": ["x", None],
    }


def test_json_round_trips_file_names_that_are_not_utf8(clean_place: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_json(Path("a.json"), {"command": [name, "café"]})
    assert json.loads(Path("a.json").read_bytes())["command"] == [name, "café"]
    assert b"caf\\udce9" in Path("a.json").read_bytes()
    append_text(Path("a.jsonl"), to_json({"x": name}) + "\n" + name)
    assert Path("a.jsonl").read_bytes().endswith(b"\ncaf\\udce9")


def irregular(kind: str) -> Path:
    path = Path("a")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as unix_socket:
            unix_socket.bind("a")
    return path


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_irregular_files_are_rejected_without_blocking(clean_place: Path, kind: str) -> None:
    path = irregular(kind)
    for use in (read_file, sync_file, lambda path: append_text(path, "x")):
        with pytest.raises(DataError, match=r"cannot (read|write) a: not a regular file"):
            use(path)
    if kind == "folder":
        with pytest.raises(DataError, match=r"cannot write a: Is a directory"):
            write_atomic(path, b"x")
    else:
        write_atomic(path, b"x")
        assert path.read_bytes() == b"x"
    os.mkfifo(".b.tmp")
    write_atomic(Path("b"), b"x")
    assert Path("b").read_bytes() == b"x"


def test_a_pipe_with_a_reader_is_rejected(clean_place: Path) -> None:
    os.mkfifo("a")
    reader = os.open("a", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(DataError, match="cannot write a: not a regular file"):
        append_text(Path("a"), "x")
    os.close(reader)


def test_links_are_followed_for_reading_but_not_for_writing(clean_place: Path) -> None:
    Path("precious").write_text("mine")
    Path("a").symlink_to("precious")
    assert read_file(Path("a")) == b"mine"
    with pytest.raises(DataError, match="cannot write a: "):
        append_text(Path("a"), "x")
    write_atomic(Path("a"), b"new")
    assert Path("precious").read_text() == "mine"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(clean_place: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    write_atomic(Path("a"), b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(DataError, match="cannot write a: No space left on device"):
        write_atomic(Path("a"), b"new")
    assert Path("a").read_bytes() == b"old"
    assert [file.name for file in Path().iterdir()] == ["a"]


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
def test_read_json_rejects_everything_but_objects(clean_place: Path, text: str) -> None:
    Path("a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"cannot read a\.json: not"):
        read_json(Path("a.json"))
    write_json(Path("a.json"), {"x": 1})
    assert read_json(Path("a.json")) == {"x": 1}
