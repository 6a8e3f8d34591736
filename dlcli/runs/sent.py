"""Files of a run as one message, for processes that resume it without access to its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from dlcli.config.load import load_config
from dlcli.config.render import render_yaml
from dlcli.config.schema import Config
from dlcli.experiment import Parent
from dlcli.runs.checkpoint import Checkpoint, load_checkpoint
from dlcli.runs.files import read_file
from dlcli.runs.folder import RunFolder
from dlcli.runs.parent import load_parent


@dataclass(frozen=True)
class SentRun:
    """Run to resume, received from another process.

    Attributes:
        config: Config to continue with.
        checkpoint: Checkpoint to continue from; None restarts from epoch 1.
        parent: Trained model that the run started from.
    """

    config: Config
    checkpoint: Checkpoint | None
    parent: Parent | None


def pack_run(folder: RunFolder, checkpoint: Path | None, config: Config) -> bytes:
    """Return the message with the files of a run that all processes need.

    Args:
        folder: Run folder.
        checkpoint: File to resume from; None restarts from epoch 1.
        config: Config to continue with.

    Raises:
        DataError: If a file cannot be read.
    """
    files = {"last": checkpoint, "parent": folder.checkpoint("parent"), "data": folder.data}
    contents = {name: read_file(path) for name, path in files.items() if path is not None and path.exists()}
    text = render_yaml(config, lambda *_: "")
    header = {"config": text, "sizes": {name: len(item) for name, item in contents.items()}}
    start = json.dumps(header).encode()
    return b"".join([len(start).to_bytes(8, "little"), start, *contents.values()])


@contextmanager
def unpacked_run(message: bytes) -> Iterator[SentRun]:
    """Yield the run in a message; data that is part of the run becomes a temporary file.

    Raises:
        DataError: If a file is damaged.
    """
    start = 8 + int.from_bytes(message[:8], "little")
    header = json.loads(message[8:start])
    with TemporaryDirectory(prefix="dlcli-") as place:
        folder = RunFolder(Path(place).resolve())
        folder.checkpoint("last").parent.mkdir()
        paths = {"last": folder.checkpoint("last"), "parent": folder.checkpoint("parent"), "data": folder.data}
        for name, size in header["sizes"].items():
            paths[name].write_bytes(message[start : start + size])
            start += size
        folder.resolved.write_text(header["config"], encoding="utf-8")
        config = load_config(folder.resolved).config
        if folder.data.exists():
            config = config.with_layout({"path": str(folder.data)})
        checkpoint = load_checkpoint(paths["last"]) if paths["last"].exists() else None
        yield SentRun(config, checkpoint, load_parent(folder, config))
