"""Reading of config files and presets."""

from __future__ import annotations

import glob
import os
from typing import NamedTuple

from dlcli.config.paths import open_regular
from dlcli.config.presets import presets
from dlcli.config.schema import data_sources
from dlcli.config.suggest import closest
from dlcli.config.tree import Place
from dlcli.errors import ConfigError, UsageError

STDIN = "-"
MAX_BYTES = 64 * 1024  # the largest preset has 1 KiB; a config this long is a mistake


class Source(NamedTuple):
    """Text of a config.

    Attributes:
        name: Name of the config in messages.
        text: YAML text.
        folder: Folder that paths in the text are relative to; "" is the working folder.
    """

    name: str
    text: str
    folder: str


def is_path(source: str) -> bool:
    """Return whether `source` can only be a path; a preset takes precedence over a file of the same bare name."""
    return os.sep in source or source.endswith((".yaml", ".yml"))


def read_source(source: str) -> Source:
    """Return the text of a config file or preset.

    Args:
        source: Path of a file, name of a preset, `-` for standard input, or `/dev/fd/N`, to which the shell expands
            `<(command)`. A preset takes precedence over a file of the same bare name.

    Raises:
        UsageError: If no such file or preset exists, or it cannot be read.
        ConfigError: If the file is too large or is not UTF-8 text.
    """
    if source == STDIN or source.startswith("/dev/fd/"):
        return Source("stdin", _decode("stdin", _read_stream(source)), "")
    available = presets()
    if is_path(source) or (source not in available and os.path.exists(source)):
        return Source(source, _read_file(source), os.path.dirname(source))
    if source not in available:
        raise UsageError(f"no config file or preset is called {source!r}", hint=_correct(source))
    return Source(f"presets/{source}.yaml", available[source].read_text(encoding="utf-8"), "")


def config_files(folder: str) -> list[str]:
    """Return the paths of the YAML files in a folder; "" is the working folder."""
    return sorted(glob.glob(os.path.join(glob.escape(folder), "*.y*ml")))


def _correct(source: str) -> str:
    """Return the hint for an unknown preset: the preset, config file or data source with the most similar name."""
    if source in data_sources():
        file = f"FILE.{source} --target COLUMN" if source in ("csv", "parquet", "npz") else source
        return f"{source} is a data source: create a config with `dlcli config init --data {file} -o {source}.yaml`"
    guess = closest(source, [*presets(), *config_files(""), *data_sources()], cutoff=0.6)
    if guess in data_sources() and guess not in presets():
        return f"did you mean the data source `{guess}`?"
    return f"did you mean `{guess}`?" if guess else "run `dlcli config list` to see the presets"


def _read_stream(source: str) -> bytes:
    """Return the content of standard input or of an open file of this process."""
    try:
        with open(0 if source == STDIN else source, "rb", closefd=source != STDIN) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {source}: {(error.strerror or str(error)).lower()}") from error


def _read_file(name: str) -> str:
    try:
        with open_regular(name) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: the name is not a valid file name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        hint = "run `dlcli config list` to see the presets, or `dlcli config init -o FILE` to create a config"
        if isinstance(error, FileNotFoundError) and (
            guess := closest(name, config_files(os.path.dirname(name)), cutoff=0.75)
        ):
            hint = f"did you mean `{guess}`?"
        raise UsageError(f"cannot read {name}: {reason.lower()}", hint=hint) from error
    return _decode(name, content)


def _decode(name: str, content: bytes) -> str:
    if len(content) > MAX_BYTES:
        message = f"the file is too large for a config: over {MAX_BYTES:,} bytes"
        raise ConfigError(
            name, [Place(name, 1, 1).problem("", message, "check the file name; the largest preset has 1 KB")]
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        place = Place(name, line, column)
        raise ConfigError(name, [place.problem("", "the file is not UTF-8 text", "save the file as UTF-8")]) from error
