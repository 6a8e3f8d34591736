"""A preset's name or a path -> what to call the config, its text, and what paths in it are relative to."""

from __future__ import annotations

import difflib
import os
from typing import NamedTuple

from dlcli.config.paths import open_regular
from dlcli.config.presets import presets
from dlcli.config.tree import Place
from dlcli.errors import ConfigError, UsageError

MAX_BYTES = 64 * 1024  # the largest preset has 1 KiB; a config this long is a mistake


class Source(NamedTuple):
    """A config's text.

    Attributes:
        name: What to call it.
        text: YAML.
        folder: What paths in it are relative to; "" is the working folder.
    """

    name: str
    text: str
    folder: str


def is_path(source: str) -> bool:
    """Return whether `source` can only be a path; a bare word is a preset first."""
    return os.sep in source or source.endswith((".yaml", ".yml"))


def read_source(source: str) -> Source:
    """Return a config's text, and what to call it.

    Args:
        source: A path, or the name of a preset: a bare word is a preset first.

    Raises:
        UsageError: If there is no such file or preset, or it cannot be read.
        ConfigError: If it is too large, or no UTF-8 text.
    """
    known = presets()
    if is_path(source) or (source not in known and os.path.exists(source)):
        return Source(source, _read_file(source), os.path.dirname(source))
    if source not in known:
        guess = difflib.get_close_matches(source, known, n=1)
        raise UsageError(
            f"there is no config file or preset {source!r}",
            hint=f"did you mean `{guess[0]}`?" if guess else "`dlcli config list` shows the presets",
        )
    return Source(f"presets/{source}.yaml", known[source].read_text(encoding="utf-8"), "")


def _read_file(name: str) -> str:
    try:
        with open_regular(name) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: no name that a file could have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"cannot read {name}: {reason.lower()}",
            hint="`dlcli config list` shows the presets, `dlcli config init` writes a file to start from",
        ) from error
    if len(content) > MAX_BYTES:
        message = f"the file is too large for a config: over {MAX_BYTES:,} bytes"
        raise ConfigError(name, [Place(name, 1, 1).problem("", message, "the largest preset has 1 KB")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        place = Place(name, line, column)
        raise ConfigError(name, [place.problem("", "the file is not UTF-8 text", "save the file as UTF-8")]) from error
