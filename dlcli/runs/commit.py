"""The commit that a folder is at, read from git's files.

No program is started: `git` runs what a repository's own `.git/config` names (`core.fsmonitor`, filters, hooks), and
the folder a user stands in may come from anywhere. Whether files differ from the commit is not told: to compare them,
git passes them through the filters that the repository names.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")  # SHA-1 or SHA-256
_MOST_BYTES = 4096  # of a file that holds one line
_MOST_PACKED_BYTES = 2**24  # of packed-refs: some 200,000 branches and tags
_MOST_LINKS = 5  # from reference to reference, as git has it


def find_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in the repository around `folder`.

    Args:
        folder: Absolute; it and those above it are searched for `.git`.

    Returns:
        40 or 64 hexadecimal digits; None outside git, before the first commit, or where git keeps it in another way.
    """
    with contextlib.suppress(OSError, ValueError):
        for one in (folder, *folder.parents):
            if os.path.lexists(one / ".git"):
                repository = _repository(one / ".git")
                return None if repository is None else _resolve("HEAD", repository)
    return None


def _repository(path: Path) -> Path | None:
    """Return the folder that `.git` is, or that it names in a worktree or a submodule."""
    if path.is_dir():
        return path
    text = _read(path)
    return path.parent / text.removeprefix("gitdir: ") if text.startswith("gitdir: ") else None


def _resolve(reference: str, repository: Path) -> str | None:
    """Return the commit that a reference leads to."""
    shared = repository / (_read(repository / "commondir") or ".")  # a worktree has its own HEAD, and little more
    for _ in range(_MOST_LINKS):
        text = _read(repository / reference) or _read(shared / reference) or _find_packed(reference, shared)
        if not text.startswith("ref: "):
            return text if _COMMIT.fullmatch(text) else None
        reference = text.removeprefix("ref: ").strip()
        if not reference.startswith("refs/") or ".." in reference.split("/"):
            return None
    return None


def _find_packed(reference: str, repository: Path) -> str:
    """Return what `packed-refs` says of a reference, empty if nothing."""
    for line in _read(repository / "packed-refs", _MOST_PACKED_BYTES).splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return commit
    return ""


def _read(path: Path, most: int = _MOST_BYTES) -> str:
    """Return a regular file's text without blanks around it; empty if there is none, or it is larger than `most`."""
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a device may do something
            return ""
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe in its place has no writer
        with open(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                content = file.read(most + 1)
                return os.fsdecode(content).strip() if len(content) <= most else ""
    return ""
