"""Expansion of user-written paths: `~`, `$NAME` and relative paths."""

from __future__ import annotations

import os
import re
import shlex
import stat
from typing import BinaryIO

from dlcli.errors import UsageError, one_line

_VARIABLE = re.compile(r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # at least two letters, because C:// is a Windows drive
_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def expand_path(path: str, label: str = "the path") -> str:
    """Expand a leading `~` or `~user` and every `$NAME` and `${NAME}` in a path.

    A `$` without a name stays; `$$` stands for `$`, and `./~` for a file called `~`. Expanded values are not expanded
    again.

    Args:
        path: Path as the user wrote it.
        label: Name of the path in messages.

    Raises:
        UsageError: If the path is empty or contains NUL, a variable is not set, or the user does not exist.
    """
    if not path:
        raise UsageError(f"{label} is empty", hint="write a path; an unset shell variable expands to an empty string")
    if "\0" in path:
        raise UsageError(f"{label} has a NUL character: {path!r}", hint="delete the character")
    user, home = "", ""
    if path.startswith("~"):
        user = path.partition(os.sep)[0]
        home = os.path.expanduser(user)
        if home.startswith("~"):
            reason = f"no user {user[1:]!r}" if user != "~" else "your home folder is unknown"
            raise UsageError(
                f"{label} {path!r}: {reason}", hint=f"write the full path, or `.{os.sep}{path}` for a literal `~`"
            )

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        if not os.environ.get(name):
            hint = f"set it with `export {name}=DIR`, or write `$$` for a literal dollar sign"
            raise UsageError(f"{label} {path!r}: the environment variable {name} is not set", hint=hint)
        return os.environ[name]

    return home + _VARIABLE.sub(value, path[len(user) :])


def as_argument(path: str) -> str:
    """Return a path as a shell argument of dlcli: quoted, dollar signs doubled, not mistaken for an option."""
    if path.startswith(("-", "~")):
        path = f".{os.sep}{path}"
    return shlex.quote(one_line(escape_path(path)))


def escape_path(path: str) -> str:
    """Return the text that `expand_path` expands to the absolute path `path`."""
    return path.replace("$", "$$")


def resolve_path(path: str, folder: str, label: str) -> str:
    """Return the expanded absolute path with symbolic links resolved.

    Args:
        path: Path as the user wrote it.
        folder: Folder that the path is relative to; "" is the working folder.
        label: Name of the path in messages.

    Raises:
        UsageError: If the path is a URL, cannot be expanded, or is not valid UTF-8 and so cannot be stored in a run.
    """
    if _URL.match(path):
        raise UsageError(f"{label} is a URL: {path!r}", hint="download the data, and write the path of its folder")
    joined = os.path.join(folder, expand_path(path, label))
    try:
        resolved = os.path.realpath(joined)
        resolved.encode()
    except UnicodeEncodeError as error:
        message = f"{label} cannot be stored as text: {joined!r} is not valid UTF-8"
        raise UsageError(
            message, hint="rename the folder, or create a symbolic link to it: `ln -s FOLDER data`"
        ) from error
    return resolved


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading, without blocking on pipes, devices or sockets.

    Raises:
        OSError: If the file cannot be opened or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | _NON_BLOCKING)
    mode = os.fstat(descriptor).st_mode  # not os.stat: the name may refer to another file by now
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(None, "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file", os.fspath(path))
