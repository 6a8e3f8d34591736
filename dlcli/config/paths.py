"""What a user writes for a path -> the path that is meant: `~`, `$NAME`, and what it is relative to."""

from __future__ import annotations

import os
import re
import shlex
import stat
from typing import BinaryIO

from dlcli.errors import UsageError, one_line

_VARIABLE = re.compile(r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def expand_path(path: str, what: str = "the path") -> str:
    """Return `path` with a leading `~` or `~user`, and each `$NAME` and `${NAME}`, replaced by what they stand for.

    A `$` that no name follows stays; `$$` is a `$`, and `./~` a file called `~`. What a variable or a home folder
    holds is taken as it is.

    Args:
        path: As the user wrote it.
        what: What to call the path in messages.

    Raises:
        UsageError: If the path is empty, a variable is not set or there is no such user.
    """
    if not path:
        raise UsageError(f"{what} is empty", hint="write a path; the value of an unset shell variable is empty")
    if "\0" in path:
        raise UsageError(f"{what} has a NUL character: {path!r}", hint="delete the character")
    user, home = "", ""
    if path.startswith("~"):
        user = path.partition(os.sep)[0]
        home = os.path.expanduser(user)
        if home.startswith("~"):
            whose = f"there is no user {user[1:]!r}" if user != "~" else "the home folder is not known"
            raise UsageError(f"{what} {path!r}: {whose}", hint=f"write the folder out, or `.{os.sep}{path}` for a name")

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name is None:
            return "$"
        if not os.environ.get(name):
            hint = f"set it: `export {name}=DIR`; a name with a dollar sign is written with `$$`"
            raise UsageError(f"{what} {path!r}: the environment variable {name} is not set", hint=hint)
        return os.environ[name]

    return home + _VARIABLE.sub(value, path[len(user) :])


def as_argument(path: str) -> str:
    """Return a path as it is typed in a shell for dlcli to read it: quoted, dollars doubled, never like an option."""
    if path.startswith(("-", "~")):
        path = f".{os.sep}{path}"
    return shlex.quote(one_line(escape_path(path)))


def escape_path(path: str) -> str:
    """Return what `expand_path` makes an absolute `path` of again."""
    return path.replace("$", "$$")


def resolve_path(path: str, folder: str, what: str) -> str:
    """Return the expanded, absolute path without links; it can be kept as text.

    Args:
        path: As the user wrote it.
        folder: What it is relative to; "" is the working folder.
        what: What to call the path in messages.

    Raises:
        UsageError: If it cannot be expanded, or is not text: a run could not keep it.
    """
    resolved = os.path.realpath(os.path.join(folder, expand_path(path, what)))
    try:
        resolved.encode()
    except UnicodeEncodeError as error:
        message = f"{what} cannot be kept as text: the bytes of {resolved!r} are not UTF-8"
        raise UsageError(message, hint="rename the folder, or make a link to it: `ln -s FOLDER data`") from error
    return resolved


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading; never wait for a pipe, a device or a socket.

    Raises:
        OSError: If it cannot be opened, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | _NON_BLOCKING)
    mode = os.fstat(descriptor).st_mode  # of what was opened: a name may stand for something else by then
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(None, "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file", os.fspath(path))
