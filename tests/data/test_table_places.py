"""Places of tables: no URL reaches the network, and a name with brackets is no pattern."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import Finished

from dlcli.data.tables.npz import read_npz
from dlcli.data.tables.read import read_csv, read_parquet
from dlcli.errors import DataError

URLS = ("https://example.org/t", "http://127.0.0.1/t", "s3://bucket/t", "gs://b/t", "abfss://c@a/t", "hf://datasets/t")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every socket an error, and let polars read bytes and open files only: it resolves paths itself."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    for name in ("scan_csv", "scan_parquet", "scan_ipc", "scan_ndjson", "read_csv_batched"):
        monkeypatch.setattr(pl, name, refuse, raising=False)
    for name in ("read_csv", "read_parquet", "read_parquet_schema"):
        original = getattr(pl, name)

        def checked(source: Any, *args: Any, original: Any = original, **options: Any) -> Any:
            assert not isinstance(source, (str, Path)), source
            return original(source, *args, **options)

        monkeypatch.setattr(pl, name, checked)


@pytest.mark.usefixtures("offline")
def test_urls_are_refused_without_a_connection(dlcli: Callable[..., Finished]) -> None:
    for url in URLS:
        for name, read in (("csv", read_csv), ("parquet", read_parquet), ("npz", read_npz)):
            path = f"{url}.{name}"
            with pytest.raises(DataError, match=r"is a (cloud path|web address), not a file"):
                read(Path(path))
            target = "" if name == "npz" else ", target: y"
            Path("t.yaml").write_text(f"data: {{name: {name}, path: '{path}'{target}}}\n")
            for command in ("train -c t.yaml", "data check t.yaml", "config validate t.yaml"):
                done = dlcli(*command.split())
                assert (done.code, f"data.path is a URL: '{path}'" in done.out + done.err) == (2, True), command
            done = dlcli("config", "init", "--data", path, "--target", "y")
            assert (done.code, "not a file" in done.err) == (3, True), done.err


@pytest.mark.usefixtures("offline")
def test_a_file_with_brackets_in_its_name_is_read_itself(dlcli: Callable[..., Finished]) -> None:
    draw = np.random.default_rng(0)
    for name, x in (("data[1]", draw.normal(size=60)), ("data1", np.zeros(60))):
        frame = pl.DataFrame({"x": x, "y": ["a", "b"] * 30})
        frame.write_parquet(f"{name}.parquet")
        frame.write_csv(f"{name}.csv")
        np.savez(f"{name}.npz", inputs=x[:, None], targets=frame["y"].to_numpy().astype(str))
    for form in ("csv", "parquet", "npz"):
        target = "" if form == "npz" else ", target: y"
        Path("t.yaml").write_text(f"data: {{name: {form}, path: 'data[1].{form}'{target}}}\ntraining: {{epochs: 1}}\n")
        done = dlcli("train", "-c", "t.yaml", "--run-dir", form)
        assert done.code == 0, done.err
        assert "1 features, 0 to 0" not in done.err
