"""Git commit of a folder, read from the files in `.git` without running git.

The working folder may be untrusted, and `git` executes programs named in its `.git/config` (`core.fsmonitor`, filters,
hooks). For the same reason, uncommitted changes are not detected: git would run the filters to compare files.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")  # SHA-1 or SHA-256
_MOST_BYTES = 4096  # limit for files of a single line
_MOST_PACKED_BYTES = 2**24  # limit for packed-refs, about 200,000 branches and tags
_MOST_LINKS = 5  # git's limit for symbolic references


def find_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in the repository around `folder`.

    Args:
        folder: Absolute path; `.git` is searched for in it and in its parents.

    Returns:
        40 or 64 hexadecimal digits; None outside a repository, before the first commit, or if git stores the
        reference in another format.
    """
    with contextlib.suppress(OSError, ValueError):
        for parent in (folder, *folder.parents):
            if os.path.lexists(parent / ".git"):
                repository = _repository(parent / ".git")
                return None if repository is None else _resolve("HEAD", repository)
    return None


def _repository(path: Path) -> Path | None:
    """Return the repository folder; in a worktree or a submodule, `.git` is a file that contains its path."""
    if path.is_dir():
        return path
    text = _read(path)
    return path.parent / text.removeprefix("gitdir: ") if text.startswith("gitdir: ") else None


def _resolve(reference: str, repository: Path) -> str | None:
    """Return the commit that a reference points to, or None."""
    shared = repository / (_read(repository / "commondir") or ".")  # a worktree shares most references, but not HEAD
    for _ in range(_MOST_LINKS):
        text = _read(repository / reference) or _read(shared / reference) or _find_packed(reference, shared)
        if not text.startswith("ref: "):
            return text if _COMMIT.fullmatch(text) else None
        reference = text.removeprefix("ref: ").strip()
        if not reference.startswith("refs/") or ".." in reference.split("/"):
            return None
    return None


def _find_packed(reference: str, repository: Path) -> str:
    """Return the commit of a reference in `packed-refs`, or an empty string."""
    for line in _read(repository / "packed-refs", _MOST_PACKED_BYTES).splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return commit
    return ""


def _read(path: Path, most: int = _MOST_BYTES) -> str:
    """Return the stripped text of a regular file; empty if the file is missing or larger than `most` bytes."""
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a device can have side effects
            return ""
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # the file may now be a pipe
        with open(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                content = file.read(most + 1)
                return os.fsdecode(content).strip() if len(content) <= most else ""
    return ""
