from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from dlcli.errors import DataError
from dlcli.runs.files import read_json, to_json, write_json, write_whole


def test_json_is_strict() -> None:
    text = to_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": ("x", None)})
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == {
        "a": None,
        "b": [None, 1.5],
        "c": ["x", None],
    }


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(clean_place: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    write_whole(Path("a"), b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(DataError, match="cannot write a: No space left on device"):
        write_whole(Path("a"), b"new")
    assert Path("a").read_bytes() == b"old"
    assert [file.name for file in Path().iterdir()] == ["a"]


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
def test_what_is_no_json_object_is_named(clean_place: Path, text: str) -> None:
    Path("a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"cannot read a\.json: not"):
        read_json(Path("a.json"))
    write_json(Path("a.json"), {"x": 1})
    assert read_json(Path("a.json")) == {"x": 1}
