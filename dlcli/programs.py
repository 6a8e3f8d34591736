"""Audit hook that stops dlcli and its libraries from starting other programs.

Some libraries start programs that they do not need: matplotlib `fc-list`, Python's `platform` module `uname`, CUDA's
loader `ldconfig`. PATH decides which program a name refers to, and it may contain the current folder. All of these
libraries continue if the program is missing, so the hook raises FileNotFoundError.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Python's audit events, see https://docs.python.org/3/library/audit_events.html
_STARTS = {
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.startfile/2"),
    *("pty.spawn", "_winapi.CreateProcess", "_posixsubprocess.fork_exec"),
}
_allowed: list[bool] = []


def refuse_programs() -> None:
    """Make every attempt to start a program fail as if it were missing, until the process ends."""
    sys.addaudithook(_refuse)


@contextmanager
def programs_allowed() -> Iterator[None]:
    """Allow programs to be started in the block."""
    _allowed.append(True)
    try:
        yield
    finally:
        _allowed.pop()


def _refuse(event: str, _arguments: object) -> None:
    if event in _STARTS and not _allowed:
        raise FileNotFoundError(errno.ENOENT, "dlcli does not start other programs")
